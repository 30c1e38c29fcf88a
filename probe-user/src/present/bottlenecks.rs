//! Rankings of where the time goes, and the critical path of a task, for people.

use super::compare::place;
use super::names;
use super::paint::Paint;
use super::places::{Places, ending};
use super::units::{count, counted, or_dash, span};
use crate::analysis::{Bottlenecks, CriticalPath, Doing, LongAt, Step, WaitRank};
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
    let Bottlenecks { waits, polls, locks, by_snapshots, not_kept } = bottlenecks;
    let about = |ns, about: bool| format!("{}{}", if about { "~" } else { "" }, span(ns));
    if !waits.is_empty() {
        let note = if *by_snapshots { BY_SNAPSHOTS } else { "" };
        title(out, paint, ("where tasks wait", note), ["WAITED", "TASKS", "P50", "P95", "P99", "PLACE"])?;
    }
    for WaitRank { point, waits: rank } in waits.iter().take(ROWS) {
        let kinds: Vec<&str> = rank.waits_for.iter().copied().collect();
        let kinds = if kinds.is_empty() { String::new() } else { format!("  for {}", kinds.join(", ")) };
        let stays = &rank.times.stays.all;
        row(
            out,
            [Some(about(rank.waited_ns, *by_snapshots)), Some(count(rank.tasks))],
            stays,
            &ending(&place(point, places), PLACE),
            &(names::short(&point.task) + &kinds),
        )?;
    }
    if !polls.is_empty() {
        title(out, paint, ("what polls cost", ""), ["BUSY", "POLLS", "P50", "P95", "P99", "RESUMED FROM"])?;
    }
    for rank in polls.iter().take(ROWS) {
        let polls = &rank.times.polls.all;
        let first = [Some(span(polls.sum_ns)), Some(count(polls.count()))];
        let mut task = names::short(&rank.point.task);
        task.extend(rank.long.iter().map(|long| long_at(long, places)));
        row(out, first, polls, &ending(&place(&rank.point, places), PLACE), &task)?;
    }
    if !locks.is_empty() {
        let what = ("which locks are waited for", BY_SNAPSHOTS);
        title(out, paint, what, ["WAITED", "NOW", "MOST", "", "", "PLACE"])?;
    }
    for rank in locks.iter().take(ROWS) {
        let lock = &rank.waits;
        let (told, held) = match &rank.acquired {
            Some(acquired) => (Some(acquired), "held since there"),
            None => (rank.wanted.as_ref(), "wanted there"),
        };
        let line = told.and_then(|told| told.line.as_ref());
        let place = or_dash(line.map(|line| ending(&places.show(line), PLACE)));
        let function = told.map_or(&lock.name, |told| &told.function);
        writeln!(
            out,
            "  {:>9} {:>9} {:>9} {:>9} {:>9}  {place:<PLACE$}  {} {}, {held}; {}",
            about(lock.waited_ns, true),
            count(lock.waiters),
            count(lock.most),
            "",
            "",
            lock.kind.as_str(),
            lock.address,
            names::short(function),
        )?;
    }
    if *not_kept > 0 {
        writeln!(out, "\n{} are not counted: there was no room for them", counted(*not_kept, "stay"))?;
    }
    Ok(())
}

/// Why a time is only about right.
const BY_SNAPSHOTS: &str = "  (~: by snapshots, those who wait times the time between two)";

/// `; asleep at src/main.rs:43 for 3.0 s in 10 of them`
fn long_at(long: &LongAt, places: &Places) -> String {
    let doing = if long.asleep { "asleep" } else { "long" };
    let at = long.place.line.as_ref().map(|line| places.show(line));
    let at = at.unwrap_or_else(|| names::short(&long.place.function));
    format!("; {doing} at {at}, {} in {}", span(long.total_ns), counted(long.count, "poll"))
}

fn title(
    out: &mut impl Write,
    paint: Paint,
    (what, note): (&str, &str),
    columns: [&str; 6],
) -> io::Result<()> {
    let [a, b, c, d, e, place] = columns;
    writeln!(out, "\n{}{}", paint.bold(what), paint.dim(note))?;
    let columns = format!("  {a:>9} {b:>9} {c:>9} {d:>9} {e:>9}  {place:<PLACE$}  TASK");
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::{FoundPlace, LockRank, PollRank, Waits};
    use crate::decode::{ResourceKind, SourceLine};
    use crate::model::{AwaitPoint, LockWaits};
    use crate::target::Avma;

    fn line(file: &str, line: u32) -> SourceLine {
        SourceLine { file: format!("/srv/shop/src/{file}").into(), line }
    }

    fn point(function: &str, at: &SourceLine) -> AwaitPoint {
        let (task, function) = ("shop::serve".into(), function.into());
        AwaitPoint { task, function, file: at.file.clone(), line: at.line, ordinal: 0 }
    }

    #[test]
    fn tables() {
        let reserve = |at| {
            Some(FoundPlace { function: "shop::stock::reserve".into(), line: Some(line("stock.rs", at)) })
        };
        let waits = LockWaits {
            kind: ResourceKind::Mutex,
            address: Avma(0x7f00_2000_0050),
            waiters: 7,
            most: 9,
            waited_ns: 34_000_000_000,
            snapshots: 20,
            since_ns: 0,
            in_a_row_ns: 34_000_000_000,
            handed_on: 12,
            holder: None,
            holders: 1,
            acquired_at: None,
            acquired_in: None,
            name: "shop::refresh".into(),
            wanted: None,
        };
        let mutex =
            LockRank { waits: waits.clone(), acquired: reserve(19), held: reserve(20), wanted: reserve(19) };
        let pool = LockWaits { kind: ResourceKind::Semaphore, ..waits };
        let pool = LockRank { waits: pool, acquired: None, held: None, wanted: reserve(33) };
        let waited =
            Waits { tasks: 7, waited_ns: 34_000_000_000, waits_for: ["mutex"].into(), ..Waits::default() };
        let place = FoundPlace { function: "shop::report".into(), line: Some(line("report.rs", 43)) };
        let long = LongAt { place, asleep: true, count: 10, total_ns: 3_000_000_000 };
        let mut all = Bottlenecks {
            waits: vec![WaitRank {
                point: point("shop::stock::reserve", &line("stock.rs", 19)),
                waits: waited,
            }],
            polls: vec![PollRank {
                point: point("shop::handle", &line("main.rs", 58)),
                times: Default::default(),
                long: Some(long),
            }],
            locks: vec![mutex, pool],
            by_snapshots: false,
            not_kept: 2,
        };
        let places = Places::of_own([line("main.rs", 1).file]);
        let text = |all: &Bottlenecks| {
            let mut text = Vec::new();
            write(&mut text, all, &places, Paint { color: false }).unwrap();
            String::from_utf8(text).unwrap()
        };
        insta::assert_snapshot!(text(&all));
        all.by_snapshots = true;
        assert!(text(&all).contains("where tasks wait  (~: by snapshots"));
        assert!(text(&all).lines().filter(|line| line.contains("~34 s")).count() == 3);
    }
}
