//! Where the time goes: await points by time waited there, points by what polls from there cost, locks by the waiting they cause.

use super::critical_path::awaited;
use crate::decode::{ResourceKind, TaskState};
use crate::model::{AwaitPoint, LockWaits, Model, PointTimes, Profile, Spot};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// Rows of each ranking.
const ROWS: usize = 20;

/// The longest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bottlenecks {
    pub waits: Vec<WaitRank>,
    pub polls: Vec<PollRank>,
    pub locks: Vec<LockWaits>,
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
    /// Sum over all tasks, of stays that ended and of those that last, ns.
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
}

impl Bottlenecks {
    /// Of all that was watched.
    pub fn of(profile: &Profile, model: &Model) -> Bottlenecks {
        Bottlenecks {
            waits: waits(profile, model),
            polls: polls(profile),
            locks: locks(model),
            not_kept: profile.not_kept,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.waits.is_empty() && self.polls.is_empty() && self.locks.is_empty()
    }
}

fn waits(profile: &Profile, model: &Model) -> Vec<WaitRank> {
    let mut ranks: BTreeMap<AwaitPoint, Waits> = BTreeMap::new();
    for (point, times) in profile.points().filter(|(_, times)| !times.stays.all.is_empty()) {
        let rank = ranks.entry(point.clone()).or_default();
        rank.waited_ns = times.stays.all.sum_ns;
        rank.times = times.clone();
    }
    for entry in model.tasks().filter(|entry| !entry.has_ended()) {
        let Some(stop) = entry.history.back() else { continue };
        let Some(place) = stop.path.place else { continue };
        let Some(point) = AwaitPoint::of(&entry.name, Spot::Await(place), model) else { continue };
        let rank = ranks.entry(point).or_default();
        rank.tasks += 1;
        let since = stop.since.t_ns.max(model.started_ns());
        rank.waited_ns = rank.waited_ns.saturating_add(model.now_ns().saturating_sub(since));
        let waits = model.in_snapshot(entry.id).filter(|task| task.state == TaskState::Idle);
        let kinds = waits.and_then(awaited).map(|wait| wait.kind).into_iter();
        rank.waits_for.extend(kinds.filter(|kind| *kind != ResourceKind::Unknown).map(ResourceKind::as_str));
    }
    let mut ranks: Vec<WaitRank> =
        ranks.into_iter().map(|(point, waits)| WaitRank { point, waits }).collect();
    ranks.sort_by_key(|rank| Reverse(rank.waits.waited_ns));
    ranks.truncate(ROWS);
    ranks
}

fn polls(profile: &Profile) -> Vec<PollRank> {
    let with_polls = profile.points().filter(|(_, times)| !times.polls.all.is_empty());
    let mut ranks: Vec<PollRank> =
        with_polls.map(|(point, times)| PollRank { point: point.clone(), times: times.clone() }).collect();
    ranks.sort_by_key(|rank| Reverse(rank.times.polls.all.sum_ns));
    ranks.truncate(ROWS);
    ranks
}

fn locks(model: &Model) -> Vec<LockWaits> {
    let mut locks: Vec<LockWaits> = model.locks().filter(|lock| lock.waited_ns > 0).cloned().collect();
    locks.sort_by_key(|lock| (Reverse(lock.waited_ns), lock.address));
    locks.truncate(ROWS);
    locks
}
