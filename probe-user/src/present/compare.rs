//! What became slower, for people.

use super::names;
use super::paint::Paint;
use super::places::{Places, ending};
use super::units::{counted, or_dash, span};
use crate::analysis::{Change, Comparison, Metric, Verdict};
use crate::decode::SourceLine;
use crate::model::{AwaitPoint, Mode};
use std::io::{self, Write};

/// One of the two that are compared.
#[derive(Clone, Debug)]
pub struct Side {
    /// As it was typed.
    pub what: String,
    pub mode: Mode,
    pub watched_ns: u64,
    /// Stays, and histograms of polls, that there was no room for.
    pub not_kept: u64,
}

/// Rows of each table, unless all are asked for.
const ROWS: usize = 15;
const PLACE: usize = 28;
/// From here on most points differ alike.
const ALIKE: f64 = 1.15;

pub fn write(
    out: &mut impl Write,
    comparison: &Comparison,
    [before, after]: &[Side; 2],
    places: &Places,
    all: bool,
    paint: Paint,
) -> io::Result<()> {
    let of = |verdict| comparison.changes.iter().filter(move |change| change.verdict == verdict);
    let side = |side: &Side| format!("{} of {}", span(side.watched_ns), side.what);
    writeln!(out, "{}", paint.bold(format!("{} against {}", side(after), side(before))))?;
    let rows = if all { usize::MAX } else { ROWS };
    table(out, "slower", of(Verdict::Slower), rows, places, paint)?;
    table(out, "faster", of(Verdict::Faster), rows, places, paint)?;
    if all {
        table(out, "no change", of(Verdict::Same), rows, places, paint)?;
        table(out, "not clear", of(Verdict::Unclear), rows, places, paint)?;
    }
    let [slower, faster, same, unclear] =
        [Verdict::Slower, Verdict::Faster, Verdict::Same, Verdict::Unclear].map(|v| of(v).count() as u64);
    if slower + faster == 0 {
        writeln!(out, "{}", paint.good("nothing became slower or faster beyond noise"))?;
    }
    let ratio = comparison.median_ratio;
    let median =
        ratio.map_or(String::new(), |ratio| format!("; in the median they changed by {}", times(ratio)));
    writeln!(
        out,
        "{same} the same within a tenth, {unclear} not clear (too few, or too much noise){median}"
    )?;
    if ratio.is_some_and(|ratio| !(1.0 / ALIKE..ALIKE).contains(&ratio)) {
        writeln!(out, "{}", paint.warn("most changed alike: perhaps it is the machine, or its load"))?;
    }
    for side in [before, after].into_iter().filter(|side| side.not_kept > 0) {
        writeln!(out, "{} of {} are not counted", counted(side.not_kept, "stay"), side.what)?;
    }
    for (what, points) in [("before", &comparison.only_before), ("after", &comparison.only_after)] {
        if !points.is_empty() {
            writeln!(out, "{} seen only {what}", counted(points.len() as u64, "await point"))?;
        }
        for point in points.iter().take(if all { usize::MAX } else { 0 }) {
            writeln!(out, "  {}  {}", place(point, places), names::short(&point.task))?;
        }
    }
    Ok(())
}

fn table<'a>(
    out: &mut impl Write,
    title: &str,
    changes: impl Iterator<Item = &'a Change>,
    rows: usize,
    places: &Places,
    paint: Paint,
) -> io::Result<()> {
    let changes: Vec<&Change> = changes.collect();
    if changes.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{}", paint.bold(title))?;
    let columns = format!(
        "  {:<7} {:<15} {:>9} {:>9}  {:<6} {:<PLACE$}  TASK",
        "BY", "BETWEEN", "BEFORE", "AFTER", "WHAT", "PLACE"
    );
    writeln!(out, "{}", paint.dim(columns))?;
    for change in changes.iter().take(rows) {
        let by = or_dash(change.ratio.map(|(ratio, ..)| times(ratio)));
        let between = or_dash(change.ratio.map(|(_, low, high)| format!("{} – {}", times(low), times(high))));
        let mean = |times: &crate::trace::Histogram| or_dash(times.mean_ns().map(span));
        writeln!(
            out,
            "  {by:<7} {between:<15} {:>9} {:>9}  {:<6} {:<PLACE$}  {}",
            mean(&change.before),
            mean(&change.after),
            metric_word(change.metric),
            ending(&place(&change.point, places), PLACE),
            names::short(&change.point.task)
        )?;
    }
    if changes.len() > rows {
        writeln!(out, "  and {} more (--all)", changes.len() - rows)?;
    }
    Ok(())
}

/// `×2.1`
fn times(ratio: f64) -> String {
    if ratio >= 10.0 { format!("×{ratio:.0}") } else { format!("×{ratio:.2}") }
}

pub fn metric_word(metric: Metric) -> &'static str {
    match metric {
        Metric::Stay => "stay",
        Metric::Poll => "poll",
        Metric::Delay => "delay",
    }
}

pub fn verdict_word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Slower => "slower",
        Verdict::Faster => "faster",
        Verdict::Same => "same",
        Verdict::Unclear => "unclear",
    }
}

/// `src/api.rs:156`, or where a task begins.
pub fn place(point: &AwaitPoint, places: &Places) -> String {
    if point.line == 0 {
        return "start".into();
    }
    places.show(&SourceLine { file: point.file.clone(), line: point.line })
}
