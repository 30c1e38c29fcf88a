//! Guards of locks for which threads wait, kept by a task that is suspended.

use super::group::{Groups, MAX_TASKS};
use crate::analysis::{Answer, Case, Finding, FoundPlace, Lint, Part, Sentence, sentence};
use crate::decode::{Certainty, Hold, HoldRole, SourceLine, Task, TaskState};
use crate::target::Avma;
use std::time::Duration;

pub struct LockAcrossAwait;

const AGAIN: Duration = Duration::from_millis(200);

/// One of them.
type Kept<'a> = (&'a Task, &'a Hold);

#[derive(PartialEq, Eq, Hash)]
struct Key {
    certainty: Certainty,
    awaits: FoundPlace,
    taken: Option<SourceLine>,
    local: Box<str>,
}

impl Lint for LockAcrossAwait {
    fn name(&self) -> &'static str {
        "lock-across-await"
    }

    fn what(&self) -> &'static str {
        "guards of std's and parking_lot's locks that are kept across an await"
    }

    fn look(&self, case: &Case<'_>) -> Answer {
        let kept: Vec<(usize, Kept<'_>)> = kept(case).collect();
        if kept.is_empty() {
            return Answer::Fine;
        }
        let mut groups = Groups::default();
        for (_, kept) in kept.into_iter().filter(|(number, _)| case.unmoved_since(*number).is_some()) {
            groups.add(key(case, kept), kept);
        }
        if groups.is_empty() {
            return Answer::LookAgain(AGAIN);
        }
        Answer::of(groups.into_iter().map(|(key, kept)| finding(&key, &kept)).collect())
    }
}

fn kept<'a>(case: &Case<'a>) -> impl Iterator<Item = (usize, Kept<'a>)> {
    let stands = |(_, task): &(usize, &Task)| task.state == TaskState::Idle && !task.stale;
    let tasks = case.snapshot.tasks.iter().enumerate().filter(stands);
    tasks.flat_map(|(number, task)| {
        task.holds.iter().filter(|hold| hold.blocks_threads).map(move |hold| (number, (task, hold)))
    })
}

fn key(case: &Case<'_>, (_, hold): Kept<'_>) -> Key {
    let frame = case.frames().get(hold.frame);
    let awaits = FoundPlace { function: frame.function.clone(), line: frame.line.clone() };
    let (certainty, taken, local) = (hold.certainty, hold.acquired_at.clone(), hold.local.clone());
    Key { certainty, awaits, taken, local }
}

fn finding(key: &Key, kept: &[Kept<'_>]) -> Finding {
    let mut locks: Vec<Avma> = kept.iter().map(|(_, hold)| hold.address).collect();
    locks.sort_unstable();
    locks.dedup();
    let (task, hold) = kept[0];
    let mut keeps = sentence![Part::Task(task.id), " ", &task.name, " keeps a guard"];
    keeps.append(local(key));
    keeps.append(sentence![" of ", Part::Thing(hold.kind, hold.address)]);
    if let Some(line) = &key.taken {
        keeps.append(sentence![", taken at ", line]);
    }
    let mut awaits = sentence!["it awaits"];
    if let Some(line) = &key.awaits.line {
        awaits.append(sentence![" at ", line]);
    }
    awaits.append(sentence![
        " in ",
        &key.awaits.function,
        ", and a thread that wants the lock sleeps until it goes on"
    ]);
    let last = match key.certainty {
        Certainty::Proven => sentence!["the lock itself says that it is locked"],
        Certainty::Possible => sentence!["whether the guard is still there is not known"],
    };
    let taken =
        key.taken.clone().map(|line| FoundPlace { function: key.awaits.function.clone(), line: Some(line) });
    Finding {
        lint: LockAcrossAwait.name(),
        certainty: key.certainty,
        tasks: kept.iter().take(MAX_TASKS).map(|(task, _)| task.id).collect(),
        places: super::group::once_each([key.awaits.clone()].into_iter().chain(taken)),
        resources: if locks.len() == 1 { locks } else { Vec::new() },
        message: message(kept),
        evidence: vec![keeps, awaits, last],
        remedy: remedy(hold),
    }
}

fn local(key: &Key) -> Sentence {
    // rustc's own names tell nothing.
    if key.local.starts_with("__") { Sentence::default() } else { sentence![format!(" `{}`", key.local)] }
}

fn message(kept: &[Kept<'_>]) -> Sentence {
    let kind = kept[0].1.kind.as_str();
    match kept {
        [(task, _)] => sentence![
            Part::Task(task.id),
            " ",
            &task.name,
            " keeps a blocking ",
            kind,
            " locked while it is suspended"
        ],
        _ => sentence![
            Part::Count(kept.len() as u64),
            " tasks ",
            &kept[0].0.name,
            " keep a blocking ",
            kind,
            " locked while they are suspended"
        ],
    }
}

fn remedy(hold: &Hold) -> &'static str {
    match hold.role {
        HoldRole::Shared => "end the guard's scope before the await, or use tokio's RwLock",
        _ => "end the guard's scope before the await (drop() alone may not do), or use tokio's lock",
    }
}
