//! Tasks that wake themselves all the time, and move nowhere.

use crate::analysis::stalls::who;
use crate::analysis::{Answer, Case, Finding, FoundPlace, Lint, Part, Sentence, sentence};
use crate::decode::{Certainty, TaskId};
use crate::model::{Model, TaskEntry, TaskPhase};
use std::collections::BTreeMap;
use std::sync::Arc;

pub struct BusyLoop;

/// Polls in a second that nobody needs.
const RATE: u64 = 10_000;
/// A poll that does no work at all takes no longer, with the probes' own part of it; ns on average.
const NO_WORK_NS: u64 = 5_000;
/// One that does hardly any.
const LITTLE_NS: u64 = 20_000;
/// So long it stood where it stands, ns.
const STANDS_NS: u64 = 500_000_000;
/// Polls were counted for so long at least, ns: a budget may keep the probes out nearly all the time.
const COUNTED_NS: u64 = 20_000_000;
/// Fewer wakes say nothing.
const FEW: u64 = 1000;
/// Tasks that are named of one finding.
const NAMED: usize = 100;

impl Lint for BusyLoop {
    fn name(&self) -> &'static str {
        "busy-loop"
    }

    fn what(&self) -> &'static str {
        "tasks that wake themselves all the time to look again at what has not changed"
    }

    fn look(&self, case: &Case<'_>) -> Answer {
        let Some(model) = case.watched.filter(|model| model.mode().times_polls()) else {
            return Answer::Blind("polls are not counted without probes");
        };
        let mut places: BTreeMap<(Arc<str>, Option<crate::decode::FrameId>), Vec<Spinning>> = BTreeMap::new();
        for entry in model.tasks() {
            if let Some(spinning) = spinning(model, entry) {
                let at = entry.path().and_then(|path| path.place);
                places.entry((entry.name.clone(), at)).or_default().push(spinning);
            }
        }
        let one = |((name, at), tasks): ((Arc<str>, Option<crate::decode::FrameId>), Vec<Spinning>)| {
            finding(&name, case.place_at(at, &name), &tasks)
        };
        Answer::of(places.into_iter().map(one).collect())
    }
}

/// A task that does nothing but being polled.
struct Spinning {
    task: TaskId,
    /// Polls in a second, while they were counted.
    rate: u64,
    /// Of one poll, on average.
    poll_ns: u64,
    stands_ns: u64,
    how: How,
}

enum How {
    /// Of so many uses of its waker so many were its own.
    Wakes { own: u64, all: u64 },
    /// It awaits `yield_now`.
    Yields,
}

fn spinning(model: &Model, entry: &TaskEntry) -> Option<Spinning> {
    if matches!(entry.phase, TaskPhase::Ended(_)) {
        return None;
    }
    let now_ns = model.now_ns();
    let out_ns = model.cost().map_or(0, |cost| cost.out_ns);
    let watched_ns = now_ns.saturating_sub(entry.born.t_ns.max(model.started_ns())).saturating_sub(out_ns);
    let polls = entry.polls.filter(|polls| *polls > 0)?;
    let rate = u128::from(polls) * 1_000_000_000 / u128::from(watched_ns.max(1));
    let stop = entry.history.back()?;
    let stands_ns = now_ns.saturating_sub(stop.since.t_ns);
    // In so short a time a few polls would be many.
    if rate < u128::from(RATE) || stands_ns < STANDS_NS || watched_ns < COUNTED_NS {
        return None;
    }
    // While others had its CPU it did not work.
    let worked_ns = entry.busy_ns?.saturating_sub(entry.off_cpu.map_or(0, |off_cpu| off_cpu.sum_ns()));
    let poll_ns = worked_ns.checked_div(polls.saturating_sub(entry.unmeasured))?;
    let (own, all) = (entry.wakes.by_itself, entry.wakes.count);
    let frames = model.frames();
    let yields =
        stop.path.frames.iter().rev().any(|frame| frames.get(*frame).function.contains("::yield_now"));
    let how = match () {
        () if yields => How::Yields,
        // Wakes are watched for a part of the time only, where their price is kept within a budget.
        () if all >= FEW && all >= polls / 20 && own >= all / 10 * 9 => How::Wakes { own, all },
        () => return None,
    };
    let rate = u64::try_from(rate).unwrap_or(u64::MAX);
    (poll_ns <= LITTLE_NS).then_some(Spinning { task: entry.id, rate, poll_ns, stands_ns, how })
}

fn finding(name: &Arc<str>, place: FoundPlace, tasks: &[Spinning]) -> Finding {
    let mut ids: Vec<TaskId> = tasks.iter().map(|one| one.task).collect();
    ids.sort_unstable();
    ids.truncate(NAMED);
    let idle = tasks.iter().all(|one| one.poll_ns <= NO_WORK_NS);
    let rate: u64 = tasks.iter().map(|one| one.rate).fold(0, u64::saturating_add);
    let mut message = who(&ids, name);
    let spins = if ids.len() == 1 { " spins" } else { " spin" };
    message.append(sentence![spins]);
    if let Some(line) = &place.line {
        message.append(sentence![" at ", line]);
    }
    message.append(sentence![": polled ", rate, " times a second, and nothing changes"]);
    Finding {
        lint: BusyLoop.name(),
        certainty: if idle { Certainty::Proven } else { Certainty::Possible },
        tasks: ids,
        places: vec![place],
        resources: Vec::new(),
        message,
        evidence: tasks.iter().take(8).map(evidence).collect(),
        remedy: "wait for what is to change: tokio::sync::Notify, watch or a channel; else sleep between two looks",
    }
}

fn evidence(one: &Spinning) -> Sentence {
    let mut words = sentence![
        one.task,
        ": ",
        one.rate,
        " polls a second of ",
        Part::Span(one.poll_ns),
        " each, at the same await for ",
        Part::Span(one.stands_ns)
    ];
    words.append(match one.how {
        How::Yields => sentence!["; it awaits yield_now, which is ready at once"],
        How::Wakes { own, all } => sentence!["; ", own, " of its ", all, " wakes are its own"],
    });
    words
}
