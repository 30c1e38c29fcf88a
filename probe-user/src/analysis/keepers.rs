//! Who keeps the lock for which a thread sleeps: the lock of std itself does not say, a guard in a suspended future does.

use super::held_workers::{Held, held_workers};
use super::lints::once_each;
use super::stalls::Stall;
use super::{Case, FoundPlace, Part, Sentence, sentence};
use crate::decode::{Certainty, Hold, Task, TaskState};
use crate::target::Avma;

/// A suspended task with a guard.
pub(super) struct Keeper<'a> {
    pub task: &'a Task,
    pub hold: &'a Hold,
}

/// More are not told.
const MOST: usize = 20;

/// Tasks that keep the lock whose word this is, and have stood where they stand since an earlier reading.
pub(super) fn keepers<'a>(case: &Case<'a>, word: Avma) -> Vec<Keeper<'a>> {
    let tasks = case.snapshot.tasks.iter().enumerate();
    let stands = tasks.filter(|(number, task)| {
        task.state == TaskState::Idle && !task.stale && case.unmoved_since(*number).is_some()
    });
    stands
        .flat_map(|(_, task)| task.holds.iter().map(move |hold| Keeper { task, hold }))
        .filter(|keeper| keeper.hold.blocks_threads && keeper.hold.word == Some(word))
        .take(MOST)
        .collect()
}

impl Keeper<'_> {
    /// `#7 app::keeper keeps the Mutex 0x7f.. that it waits for, taken at src/a.rs:3, while it awaits at src/a.rs:4`
    pub fn how(&self, case: &Case<'_>) -> Sentence {
        let Keeper { task, hold } = self;
        let keeps = match hold.certainty {
            Certainty::Proven => " keeps the ",
            Certainty::Possible => " possibly keeps the ",
        };
        let mut words = sentence![Part::Task(task.id), " ", &task.name, keeps];
        words.append(sentence![Part::Thing(hold.kind, hold.address), " that it waits for"]);
        if let Some(line) = &hold.acquired_at {
            words.append(sentence![", taken at ", line]);
        }
        words.append(sentence![", while it awaits"]);
        if let Some(line) = &case.frames().get(hold.frame).line {
            words.append(sentence![" at ", line]);
        }
        words
    }

    /// Where it awaits, and where it took the lock.
    pub fn places(&self, case: &Case<'_>) -> Vec<FoundPlace> {
        let frame = case.frames().get(self.hold.frame);
        let lines = [frame.line.clone(), self.hold.acquired_at.clone()];
        let place = |line| FoundPlace { function: frame.function.clone(), line: Some(line) };
        lines.into_iter().flatten().map(place).collect()
    }
}

/// A thread that sleeps within a poll until a task goes on that only this thread could poll.
pub(super) struct SelfBlocked<'a> {
    pub held: Held<'a>,
    pub keepers: Vec<Keeper<'a>>,
}

/// All of them. One thread polls all tasks of a current-thread runtime or a LocalSet, and does not while it sleeps in one of them.
pub(super) fn self_blocked<'a>(case: &Case<'a>) -> Vec<SelfBlocked<'a>> {
    let one = |held: Held<'a>| {
        let owner = held.task.owner?;
        let flavor = case.snapshot.runtimes.get(owner as usize)?.flavor.as_deref()?;
        let sleeps = held.poll.asleep == Some(true) && held.lasting.slept;
        let word = held.poll.futex.filter(|_| sleeps && matches!(flavor, "current_thread" | "local_set"))?;
        let keepers = keepers(case, word);
        let polled_here = |keeper: &Keeper<'_>| keeper.task.owner == Some(owner);
        (!keepers.is_empty() && keepers.iter().all(polled_here)).then_some(SelfBlocked { held, keepers })
    };
    held_workers(case).into_iter().filter_map(one).collect()
}

impl Stall {
    /// Of a thread that waits at a word for others to change it: who is to change it.
    pub fn lock(&self, case: &Case<'_>) -> Vec<Sentence> {
        if self.system_call.as_deref() != Some("futex") {
            return Vec::new();
        }
        let keepers = self.keepers(case);
        if keepers.is_empty() {
            let word = self.futex.map(|futex| format!(" {futex}")).unwrap_or_default();
            return vec![sentence![format!(
                "who is to change the word{word} that it waits at is not known: no suspended task keeps it, and a lock of std or parking_lot does not say who holds it"
            )]];
        }
        keepers.iter().map(|keeper| keeper.how(case)).collect()
    }

    /// Its own, and those of who keeps what it waits for.
    pub fn places(&self, case: &Case<'_>) -> Vec<FoundPlace> {
        let theirs = self.keepers(case).into_iter().flat_map(|keeper| keeper.places(case));
        once_each([self.place.clone()].into_iter().chain(theirs))
    }

    fn keepers<'a>(&self, case: &Case<'a>) -> Vec<Keeper<'a>> {
        self.futex.map(|word| keepers(case, word)).unwrap_or_default()
    }
}
