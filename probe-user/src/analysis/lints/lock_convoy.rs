//! Many tasks wait for one lock, and go through it one after the other.

use crate::analysis::{Answer, Case, Finding, FoundPlace, Lint, Part, Sentence, sentence};
use crate::decode::{Certainty, TaskId};
use crate::model::LockWaits;
use std::cmp::Reverse;
use std::time::Duration;

pub struct LockConvoy;

/// Tasks that wait, on average, before it is worth telling; and before it is sure to be one.
const MANY: u64 = 4;
const VERY_MANY: u64 = 8;
/// Snapshots in a row with waiters, and how long that must have been so, ns.
const SNAPSHOTS: u32 = 4;
const LASTS_NS: u64 = 900_000_000;
/// Locks that are told.
const TOLD: usize = 10;
const AGAIN: Duration = Duration::from_secs(1);

impl Lint for LockConvoy {
    fn name(&self) -> &'static str {
        "lock-convoy"
    }

    fn what(&self) -> &'static str {
        "many tasks wait for one lock and go through it one after the other"
    }

    fn needs_trees(&self) -> bool {
        true
    }

    fn look(&self, case: &Case<'_>) -> Answer {
        let Some(model) = case.watched else {
            return Answer::Blind("who goes through a lock shows only over time: watch for a second or more");
        };
        let now_ns = model.snapshot().and_then(|snapshot| snapshot.t_ns).unwrap_or(0);
        let crowded = model.locks().filter(|lock| lock.waiters >= MANY / 2 && lock.most >= MANY);
        let (old, young): (Vec<_>, Vec<_>) = crowded.partition(|lock| {
            lock.snapshots >= SNAPSHOTS && now_ns.saturating_sub(lock.since_ns) >= LASTS_NS
        });
        // Where nobody comes through it is no convoy: its holder is stuck, or slow.
        let moves = |lock: &&LockWaits| lock.handed_on * 4 >= lock.snapshots;
        let mut convoys: Vec<&LockWaits> =
            old.into_iter().filter(moves).filter(|lock| on_average(lock, now_ns) >= MANY as f64).collect();
        convoys.sort_by_key(|lock| (Reverse(lock.in_a_row_ns), lock.address));
        convoys.truncate(TOLD);
        if convoys.is_empty() && !young.is_empty() {
            return Answer::LookAgain(AGAIN);
        }
        Answer::of(convoys.into_iter().map(|lock| finding(case, lock, now_ns)).collect())
    }
}

fn on_average(lock: &LockWaits, now_ns: u64) -> f64 {
    lock.in_a_row_ns as f64 / now_ns.saturating_sub(lock.since_ns).max(1) as f64
}

fn finding(case: &Case<'_>, lock: &LockWaits, now_ns: u64) -> Finding {
    let average = on_average(lock, now_ns);
    let passed = now_ns.saturating_sub(lock.since_ns);
    let certain = average >= VERY_MANY as f64;
    let waiters = waiters(case, lock);
    let message = sentence![
        format!("{average:.0} tasks wait on average for "),
        Part::Thing(lock.kind, lock.address),
        " and go through it one after the other: ",
        Part::Span(lock.in_a_row_ns),
        " of waiting in ",
        Part::Span(passed),
    ];
    let mut places = Vec::new();
    let mut evidence = Vec::new();
    let holder = lock.holder.and_then(|id| case.task(id));
    if let Some(line) = &lock.acquired_at {
        let function = holder.map_or_else(|| lock.name.clone(), |holder| case.place(holder).function);
        places.push(FoundPlace { function, line: Some(line.clone()) });
        evidence.push(held(case, lock.holder, line));
    }
    if let Some(line) = &lock.wanted_at {
        let here = FoundPlace { function: lock.name.clone(), line: Some(line.clone()) };
        let function = waiters.first().and_then(|id| case.task(*id)).map(|task| case.place(task).function);
        places.push(FoundPlace { function: function.unwrap_or_else(|| here.function.clone()), ..here });
        evidence.push(sentence![&lock.name, " wants it at ", line]);
    }
    Finding {
        lint: LockConvoy.name(),
        certainty: if certain { Certainty::Proven } else { Certainty::Possible },
        tasks: waiters,
        places,
        resources: vec![lock.address],
        message,
        evidence,
        remedy: "hold it for less time: do not await while holding it, split what it protects, or give each task its share",
    }
}

/// Where it is held, and what its holder awaits meanwhile: that is what all wait for.
fn held(case: &Case<'_>, holder: Option<TaskId>, line: &crate::decode::SourceLine) -> Sentence {
    let mut words = sentence!["it is held since ", line];
    let Some(task) = holder.and_then(|id| case.task(id)) else { return words };
    words.append(sentence![" by ", Part::Task(task.id), " ", &task.name]);
    if let Some(now) = case.location(task) {
        words.append(sentence![", which is at ", &now]);
    }
    words
}

/// Ids that are told of one lock.
const IDS: usize = 100;

fn waiters(case: &Case<'_>, lock: &LockWaits) -> Vec<TaskId> {
    let waits =
        |task: &&crate::decode::Task| task.waits.iter().any(|wait| wait.address == Some(lock.address));
    case.snapshot.tasks.iter().filter(waits).map(|task| task.id).take(IDS).collect()
}
