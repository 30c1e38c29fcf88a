//! Many tasks wait for one lock, and go through it one after the other.

use super::group::once_each;
use crate::analysis::{Answer, Case, Finding, FoundPlace, Lint, Part, Sentence, sentence};
use crate::decode::{Certainty, Frame, FrameId, ResourceKind, SourceLine, Task, TaskId};
use crate::model::LockWaits;
use std::cmp::Reverse;
use std::sync::Arc;
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
    let message = sentence![
        format!("{average:.0} tasks wait on average for "),
        Part::Thing(lock.kind, lock.address),
        through(lock),
        Part::Span(lock.in_a_row_ns),
        " of waiting in ",
        Part::Span(passed),
    ];
    let place = |frame| case.place_at(Some(frame), &lock.name);
    let held = Held::of(case, lock);
    let wanted = lock.wanted.map(place);
    let mut evidence: Vec<Sentence> = held.how(case).into_iter().collect();
    if let Some((wanted, line)) = wanted.as_ref().and_then(|wanted| Some((wanted, wanted.line.as_ref()?))) {
        evidence.push(sentence![&wanted.function, " wants it at ", line]);
    }
    Finding {
        lint: LockConvoy.name(),
        certainty: if certain { Certainty::Proven } else { Certainty::Possible },
        tasks: waiters(case, lock),
        places: once_each(held.places(case).into_iter().chain(wanted.filter(|place| place.line.is_some()))),
        resources: vec![lock.address],
        message,
        evidence,
        remedy: remedy(lock),
    }
}

/// Who holds it, as far as that is known.
struct Held<'a> {
    task: Option<&'a Task>,
    /// Where it was taken.
    since: Option<SourceLine>,
    /// The future that keeps it: its function is that of the line, and awaits where it stands.
    frame: Option<FrameId>,
    /// Others hold it as well.
    many: bool,
}

impl<'a> Held<'a> {
    fn of(case: &Case<'a>, lock: &LockWaits) -> Held<'a> {
        let task = lock.holder.and_then(|id| case.task(id));
        let task = task.filter(|task| task.hold_of(lock.address).is_some());
        let many = lock.holders > 1;
        let now = task.and_then(|task| task.hold_of(lock.address));
        match now.filter(|hold| hold.acquired_at.is_some()) {
            Some(hold) => Held { task, since: hold.acquired_at.clone(), frame: Some(hold.frame), many },
            None => Held { task, since: lock.acquired_at.clone(), frame: lock.acquired_in, many },
        }
    }

    fn frame(&self, case: &Case<'_>) -> Option<Arc<Frame>> {
        self.frame.map(|frame| case.frames().get(frame))
    }

    /// What its holder awaits meanwhile: that is what all wait for.
    fn how(&self, case: &Case<'_>) -> Option<Sentence> {
        let it = if self.many { "a permit of it is held since " } else { "it is held since " };
        let mut words = sentence![it, self.since.as_ref()?];
        let frame = self.frame(case);
        if let Some(frame) = &frame {
            words.append(sentence![" in ", &frame.function]);
        }
        let awaits = frame.and_then(|frame| frame.line.clone());
        if let Some(line) = &awaits {
            words.append(sentence![", which awaits at ", line]);
        }
        if let Some(task) = self.task {
            words.append(sentence![", by ", Part::Task(task.id), " ", &task.name]);
            if let Some(now) = case.location(task).filter(|now| awaits.as_ref() != Some(now)) {
                words.append(sentence![", now at ", &now]);
            }
        }
        Some(words)
    }

    fn places(&self, case: &Case<'_>) -> Vec<FoundPlace> {
        let function = self.frame(case).map(|frame| (frame.function.clone(), frame.line.clone()));
        let Some((function, awaits)) = function else { return Vec::new() };
        let lines = [self.since.clone(), awaits].into_iter().flatten();
        let own = lines.map(|line| FoundPlace { function: function.clone(), line: Some(line) });
        let now = self.task.map(|task| case.place(task)).filter(|place| place.line.is_some());
        own.chain(now).collect()
    }
}

fn through(lock: &LockWaits) -> String {
    match lock.holders {
        0 | 1 => " and go through it one after the other: ".into(),
        many => format!(" and go through it {many} at a time: "),
    }
}

fn remedy(lock: &LockWaits) -> &'static str {
    match lock.kind {
        ResourceKind::Semaphore => {
            "give it more permits if what they guard allows that (a larger pool), or keep each for less time: begin nothing \
             that does not need it before it is given back"
        }
        ResourceKind::RwLock => {
            "hold it for less time: do not await while writing, write less often, or split what it protects"
        }
        ResourceKind::OnceCell => {
            "fill it before the load comes, or make filling it faster: all wait for the first"
        }
        _ => {
            "hold it for less time: do not await while holding it, split what it protects, or give each task its share"
        }
    }
}

/// Ids that are told of one lock.
const IDS: usize = 100;

fn waiters(case: &Case<'_>, lock: &LockWaits) -> Vec<TaskId> {
    let waits = |task: &&Task| task.waits.iter().any(|wait| wait.address == Some(lock.address));
    case.snapshot.tasks.iter().filter(waits).map(|task| task.id).take(IDS).collect()
}
