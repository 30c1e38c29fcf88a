//! Rankings of where the time goes, and the critical path of a task, for people.

use super::compare::place;
use super::names;
use super::paint::Paint;
use super::places::{Places, ending};
use super::units::{count, counted, or_dash, span};
use crate::analysis::{Bottlenecks, CriticalPath, Doing, Step, WaitRank};
use crate::trace::Histogram;
use std::io::{self, Write};

/// Rows of each table.
const ROWS: usize = 5;
/// Chains of a critical path.
const CHAINS: usize = 5;
const PLACE: usize = 32;

/// Tables of those rankings that have anything.
pub fn write(
    out: &mut impl Write,
    bottlenecks: &Bottlenecks,
    places: &Places,
    paint: Paint,
) -> io::Result<()> {
    let Bottlenecks { waits, polls, locks, not_kept } = bottlenecks;
    if !waits.is_empty() {
        title(out, paint, "where tasks wait", ["WAITED", "TASKS", "P50", "P95", "P99"])?;
    }
    for WaitRank { point, waits: rank } in waits.iter().take(ROWS) {
        let kinds: Vec<&str> = rank.waits_for.iter().copied().collect();
        let kinds = if kinds.is_empty() { String::new() } else { format!("  for {}", kinds.join(", ")) };
        let stays = &rank.times.stays.all;
        row(
            out,
            [Some(span(rank.waited_ns)), Some(count(rank.tasks))],
            stays,
            &ending(&place(point, places), PLACE),
            &(names::short(&point.task) + &kinds),
        )?;
    }
    if !polls.is_empty() {
        title(out, paint, "what polls cost", ["BUSY", "POLLS", "P50", "P95", "P99"])?;
    }
    for rank in polls.iter().take(ROWS) {
        let polls = &rank.times.polls.all;
        let first = [Some(span(polls.sum_ns)), Some(count(polls.count()))];
        let place = ending(&place(&rank.point, places), PLACE);
        row(out, first, polls, &place, &names::short(&rank.point.task))?;
    }
    if !locks.is_empty() {
        title(out, paint, "which locks are waited for", ["WAITED", "NOW", "MOST", "", ""])?;
    }
    for lock in locks.iter().take(ROWS) {
        let line = lock.acquired_at.as_ref().or(lock.wanted_at.as_ref());
        let place = or_dash(line.map(|line| ending(&places.show(line), PLACE)));
        let held = if lock.acquired_at.is_some() { "held since there" } else { "wanted there" };
        writeln!(
            out,
            "  {:>9} {:>9} {:>9} {:>9} {:>9}  {place:<PLACE$}  {} {}, {held}; {}",
            span(lock.waited_ns),
            count(lock.waiters),
            count(lock.most),
            "",
            "",
            lock.kind.as_str(),
            lock.address,
            names::short(&lock.name),
        )?;
    }
    if *not_kept > 0 {
        writeln!(out, "\n{} are not counted: there was no room for them", counted(*not_kept, "stay"))?;
    }
    Ok(())
}

fn title(out: &mut impl Write, paint: Paint, what: &str, columns: [&str; 5]) -> io::Result<()> {
    let [a, b, c, d, e] = columns;
    writeln!(out, "\n{}", paint.bold(what))?;
    let columns = format!("  {a:>9} {b:>9} {c:>9} {d:>9} {e:>9}  {:<PLACE$}  TASK", "PLACE");
    writeln!(out, "{}", paint.dim(columns))
}

fn row(
    out: &mut impl Write,
    first: [Option<String>; 2],
    times: &Histogram,
    place: &str,
    task: &str,
) -> io::Result<()> {
    let [a, b] = first.map(or_dash);
    let [p50, p95, p99] = [50, 95, 99].map(|percent| or_dash(times.percentile(percent).map(span)));
    writeln!(out, "  {a:>9} {b:>9} {p50:>9} {p95:>9} {p99:>9}  {place:<PLACE$}  {task}")
}

/// What a task waited for, and what that waited for, each chain with the time it lasted.
pub fn write_path(
    out: &mut impl Write,
    path: &CriticalPath,
    places: &Places,
    paint: Paint,
) -> io::Result<()> {
    let chains = path.chains();
    writeln!(out, "\n{}", paint.bold(format!("what #{} waited for", path.task.id)))?;
    if chains.is_empty() {
        return writeln!(out, "  it was not there");
    }
    for (chain, ns) in chains.iter().take(CHAINS) {
        for (nth, step) in chain.iter().enumerate() {
            let time = match (nth, *ns) {
                (0, 0) => "now".to_owned(),
                (0, ns) => span(ns),
                _ => String::new(),
            };
            writeln!(out, "  {time:>9}  {:indent$}{}", "", words(step, places), indent = nth * 2)?;
        }
    }
    if chains.len() > CHAINS {
        writeln!(out, "  and {} more", counted((chains.len() - CHAINS) as u64, "chain"))?;
    }
    if path.elsewhere_ns > 0 {
        writeln!(out, "  {:>9}  in chains beyond those that are told apart", span(path.elsewhere_ns))?;
    }
    Ok(())
}

fn words(step: &Step, places: &Places) -> String {
    let at = step.place.line.as_ref().map_or_else(String::new, |line| format!(" at {}", places.show(line)));
    let doing = match step.doing {
        Doing::Waits(kind) => format!("waits for {}", kind.as_str()),
        Doing::Idle => "waits".into(),
        Doing::Runs => "runs".into(),
        Doing::Scheduled => "is woken, and not polled yet".into(),
        Doing::Ended => "has ended".into(),
        Doing::Again => "again".into(),
    };
    format!("#{} {} {doing}{at}", step.task.id, names::short(&step.name))
}
