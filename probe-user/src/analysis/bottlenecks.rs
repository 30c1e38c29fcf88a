//! Where the time goes: await points by time waited there, points by what polls from there cost, locks by the waiting they cause.

use super::FoundPlace;
use super::calls::{own_frame, recognise};
use super::critical_path::awaited;
use crate::decode::{CodeFrame, FrameId, ResourceKind, TaskState, wait_of_chain};
use crate::model::{
    AwaitPath, AwaitPoint, LockWaits, LongPolls, Model, PointTimes, Profile, Spot, TaskEntry,
};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// Rows of each ranking.
const ROWS: usize = 20;

/// The longest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bottlenecks {
    pub waits: Vec<WaitRank>,
    pub polls: Vec<PollRank>,
    pub locks: Vec<LockRank>,
    /// Polls were not watched: the times of waits are by snapshots, as those of locks always are.
    pub by_snapshots: bool,
    /// As [`Profile::not_kept`].
    pub not_kept: u64,
}

/// An await point, and how long tasks waited there within the watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitRank {
    pub point: AwaitPoint,
    pub waits: Waits,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waits {
    /// That stand there at the end.
    pub tasks: u64,
    /// Sum over all tasks, of stays that ended and of those that last, as far as they lay within the watch, ns.
    pub waited_ns: u64,
    /// Those that ended.
    pub times: PointTimes,
    /// What tasks wait for there, at the end.
    pub waits_for: BTreeSet<&'static str>,
}

/// A point, and what polls cost that began there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PollRank {
    pub point: AwaitPoint,
    pub times: PointTimes,
    pub long: Option<LongAt>,
}

/// Where polls from a point were, when they took long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LongAt {
    pub place: FoundPlace,
    pub asleep: bool,
    /// Long polls that were seen there, and how long they lasted in all, ns.
    pub count: u64,
    pub total_ns: u64,
}

/// A lock, and how long tasks waited for it within the watch.
#[derive(Clone, Debug, PartialEq)]
pub struct LockRank {
    /// With the time up to the end.
    pub waits: LockWaits,
    /// Where its holder took it, and where the function that did awaits meanwhile.
    pub acquired: Option<FoundPlace>,
    pub held: Option<FoundPlace>,
    pub wanted: Option<FoundPlace>,
}

impl Bottlenecks {
    /// Of all that was watched.
    pub fn of(profile: &Profile, model: &Model) -> Bottlenecks {
        Bottlenecks {
            waits: waits(profile, model),
            polls: polls(profile, model),
            locks: locks(model),
            by_snapshots: !model.mode().counts_polls(),
            not_kept: profile.not_kept,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.waits.is_empty() && self.polls.is_empty() && self.locks.is_empty()
    }
}

fn waits(profile: &Profile, model: &Model) -> Vec<WaitRank> {
    let mut ranks: BTreeMap<AwaitPoint, Waits> = BTreeMap::new();
    for (point, times) in profile.points() {
        let waited_ns = times.stays.all.sum_ns.saturating_add(times.cut_ns);
        if waited_ns > 0 {
            let times = times.clone();
            ranks.insert(point.clone(), Waits { waited_ns, times, ..Waits::default() });
        }
    }
    for entry in model.tasks().filter(|entry| !entry.has_ended()) {
        let Some((place, since_ns)) = profile.stands(entry, model) else { continue };
        let Some(point) = AwaitPoint::of(&entry.name, Spot::Await(place), model) else { continue };
        let rank = ranks.entry(point).or_default();
        rank.tasks += 1;
        rank.waited_ns = rank.waited_ns.saturating_add(model.now_ns().saturating_sub(since_ns));
        rank.waits_for.extend(named(entry, place, model).map(ResourceKind::as_str));
    }
    read(model, &mut ranks);
    let mut ranks: Vec<WaitRank> =
        ranks.into_iter().map(|(point, waits)| WaitRank { point, waits }).collect();
    ranks.sort_by_key(|rank| Reverse(rank.waits.waited_ns));
    ranks.truncate(ROWS);
    ranks
}

/// Adds what tasks wait for at each place in the latest snapshot: also for those who came there since.
fn read(model: &Model, ranks: &mut BTreeMap<AwaitPoint, Waits>) {
    let tasks = model.snapshot().into_iter().flat_map(|snapshot| &snapshot.tasks);
    for task in tasks.filter(|task| task.state == TaskState::Idle) {
        for at in task.waits.iter().filter_map(|wait| wait.at).collect::<BTreeSet<_>>() {
            let point = AwaitPoint::of(&task.name, Spot::Await(at), model);
            let rank = point.and_then(|point| ranks.get_mut(&point));
            let kind = awaited(task, Some(at)).map(|wait| wait.kind).filter(is_known);
            if let (Some(rank), Some(kind)) = (rank, kind) {
                rank.waits_for.insert(kind.as_str());
            }
        }
    }
}

/// What the names of its futures tell of where a task stands.
fn named(entry: &TaskEntry, place: FrameId, model: &Model) -> Option<ResourceKind> {
    let wait = wait_of_chain(&entry.path()?.frames, model.frames())?;
    Some(wait.kind).filter(|kind| is_known(kind) && wait.at == Some(place))
}

fn is_known(kind: &ResourceKind) -> bool {
    *kind != ResourceKind::Unknown
}

fn polls(profile: &Profile, model: &Model) -> Vec<PollRank> {
    let mut ranks: Vec<PollRank> = profile
        .points()
        .filter(|(_, times)| !times.polls.all.is_empty())
        .map(|(point, times)| PollRank { point: point.clone(), times: times.clone(), long: None })
        .collect();
    ranks.sort_by_key(|rank| Reverse(rank.times.polls.all.sum_ns));
    ranks.truncate(ROWS);
    ranks.iter_mut().for_each(|rank| rank.long = long_at(&rank.point, model));
    ranks
}

/// Where the longest of them were, as far as stacks told.
fn long_at(point: &AwaitPoint, model: &Model) -> Option<LongAt> {
    let from = |at: &AwaitPath| {
        let spot = at.place.map_or(Spot::Start, Spot::Await);
        AwaitPoint::of(&point.task, spot, model).is_some_and(|from| from == *point)
    };
    let rows = model.long_polls().iter().filter(|row| row.name == point.task);
    let rows = rows.filter(|row| row.at.as_deref().is_some_and(from));
    let of_row = |row: &LongPolls| {
        let frame = if row.is_asleep() {
            let stack = &row.poll.stack;
            &stack[recognise(stack).and_then(|(_, own)| own).or_else(|| own_frame(stack))?]
        } else {
            row.cpu.most()?.own()?
        };
        let (count, total_ns) = (row.count, row.total_ns);
        Some(LongAt { place: place_of(frame)?, asleep: row.is_asleep(), count, total_ns })
    };
    rows.filter_map(of_row).max_by_key(|long| long.total_ns)
}

fn place_of(frame: &CodeFrame) -> Option<FoundPlace> {
    Some(FoundPlace { function: frame.function.clone()?, line: frame.line.clone() })
}

fn locks(model: &Model) -> Vec<LockRank> {
    let taken_ns = model.snapshot().and_then(|snapshot| snapshot.t_ns).unwrap_or(model.now_ns());
    let up_to_now = |lock: &LockWaits| LockWaits {
        waited_ns: lock.waited_until(model.now_ns(), taken_ns),
        ..lock.clone()
    };
    let mut locks: Vec<LockWaits> = model.locks().map(up_to_now).filter(|lock| lock.waited_ns > 0).collect();
    locks.sort_by_key(|lock| (Reverse(lock.waited_ns), lock.address));
    locks.truncate(ROWS);
    locks.into_iter().map(|lock| LockRank::of(lock, model)).collect()
}

impl LockRank {
    pub(super) fn of(waits: LockWaits, model: &Model) -> LockRank {
        let place = |frame: FrameId| {
            let frame = model.frames().get(frame);
            FoundPlace { function: frame.function.clone(), line: frame.line.clone() }
        };
        let held = waits.acquired_in.map(place);
        let taken = |line| {
            let function = held.as_ref().map_or_else(|| waits.name.clone(), |held| held.function.clone());
            FoundPlace { function, line: Some(line) }
        };
        let acquired = waits.acquired_at.clone().map(taken);
        let wanted = waits.wanted.map(place);
        LockRank { acquired, held, wanted, waits }
    }
}

#[cfg(test)]
#[path = "bottlenecks_tests.rs"]
mod tests;
