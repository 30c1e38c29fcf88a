//! Guards of locks for which threads wait, kept by a task that is suspended.

use super::group::{Groups, MAX_TASKS, once_each, some};
use crate::analysis::{Answer, Case, Finding, FoundPlace, Lint, Part, Sentence, sentence};
use crate::decode::{Certainty, Hold, HoldRole, Task, TaskState};
use crate::target::Avma;
use std::sync::Arc;
use std::time::Duration;

pub struct LockAcrossAwait;

const AGAIN: Duration = Duration::from_millis(200);

/// One of them.
type Kept<'a> = (&'a Task, &'a Hold);

/// Where its function awaits meanwhile.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    certainty: Certainty,
    awaits: FoundPlace,
}

impl Lint for LockAcrossAwait {
    fn name(&self) -> &'static str {
        "lock-across-await"
    }

    fn what(&self) -> &'static str {
        "guards of std's and parking_lot's locks that are kept across an await"
    }

    fn needs_trees(&self) -> bool {
        true
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
    Key { certainty: hold.certainty, awaits }
}

fn finding(key: &Key, kept: &[Kept<'_>]) -> Finding {
    let mut locks: Vec<Avma> = kept.iter().map(|(_, hold)| hold.address).collect();
    locks.sort_unstable();
    locks.dedup();
    let mut tasks: Vec<&Task> = kept.iter().map(|(task, _)| *task).collect();
    tasks.dedup_by_key(|task| task.id);
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
    let mut evidence: Vec<Sentence> = some(&of_first(kept)).map(|(task, hold)| keeps(task, hold)).collect();
    evidence.extend([awaits, last]);
    let taken = kept.iter().take(MAX_TASKS).filter_map(|(_, hold)| hold.acquired_at.clone());
    let taken = taken.map(|line| FoundPlace { function: key.awaits.function.clone(), line: Some(line) });
    Finding {
        lint: LockAcrossAwait.name(),
        certainty: key.certainty,
        tasks: tasks.iter().take(MAX_TASKS).map(|task| task.id).collect(),
        places: once_each([key.awaits.clone()].into_iter().chain(taken)),
        resources: if tasks.len() == 1 { locks } else { Vec::new() },
        message: message(&tasks, &of_first(kept)),
        evidence,
        remedy: remedy(kept[0].1),
    }
}

/// What the first task keeps: the others keep the same.
fn of_first<'a>(kept: &[Kept<'a>]) -> Vec<Kept<'a>> {
    kept.iter().copied().take_while(|(task, _)| task.id == kept[0].0.id).collect()
}

fn keeps(task: &Task, hold: &Hold) -> Sentence {
    let mut keeps = sentence![Part::Task(task.id), " ", &task.name, " keeps a guard"];
    // rustc's own names tell nothing.
    if !hold.local.starts_with("__") {
        keeps.append(sentence![" `", Part::Name(Arc::from(&*hold.local)), "`"]);
    }
    keeps.append(sentence![" of ", Part::Thing(hold.kind, hold.address)]);
    if let Some(line) = &hold.acquired_at {
        keeps.append(sentence![", taken at ", line]);
    }
    keeps
}

fn message(tasks: &[&Task], kept: &[Kept<'_>]) -> Sentence {
    let (mut words, suspended) = match tasks {
        [only] => (sentence![Part::Task(only.id), " ", &only.name, " keeps "], " while it is suspended"),
        _ => {
            let count = Part::Count(tasks.len() as u64);
            (sentence![count, " tasks ", &tasks[0].name, " keep "], " while they are suspended")
        }
    };
    match kept {
        [(_, only)] => words.append(sentence!["a blocking ", only.kind.as_str(), " locked"]),
        _ => words.append(sentence![Part::Count(kept.len() as u64), " guards of blocking locks"]),
    }
    words.add(suspended);
    words
}

fn remedy(hold: &Hold) -> &'static str {
    match hold.role {
        HoldRole::Shared => "end the guard's scope before the await, or use tokio's RwLock",
        _ => "end the guard's scope before the await (drop() alone may not do), or use tokio's lock",
    }
}
