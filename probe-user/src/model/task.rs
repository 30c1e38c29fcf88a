//! One row of the task table.

use super::{AwaitPath, Ending, Sampled, Wakes};
use crate::decode::{FrameId, TaskId, TaskState};
use crate::trace::{Doer, LongPoll, OffCpu};
use std::collections::VecDeque;
use std::sync::Arc;

/// How far a time is to be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    Exact,
    /// It was so already when we first looked: the real time is earlier.
    AtLeast,
    /// Seen by comparing snapshots: good to one interval, and what lay between is unknown.
    About,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Since {
    pub t_ns: u64,
    pub known: Known,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TaskPhase {
    Running,
    Scheduled,
    Idle,
    Ended(Ending),
    /// Seen, but never between two polls nor in a snapshot.
    Unknown,
}

impl From<TaskState> for TaskPhase {
    fn from(state: TaskState) -> TaskPhase {
        match state {
            TaskState::Idle => TaskPhase::Idle,
            TaskState::Scheduled => TaskPhase::Scheduled,
            TaskState::Running => TaskPhase::Running,
            TaskState::Complete => TaskPhase::Ended(Ending::Complete),
            TaskState::Cancelled => TaskPhase::Ended(Ending::Cancelled),
        }
    }
}

/// A place the task came to, and when.
#[derive(Clone, Debug)]
pub struct Stop {
    pub since: Since,
    pub path: Arc<AwaitPath>,
}

#[derive(Clone, Debug)]
pub struct TaskEntry {
    pub id: TaskId,
    pub name: Arc<str>,
    pub phase: TaskPhase,
    pub parent: Option<Doer>,
    /// When it was first seen; exact where its birth was seen.
    pub born: Since,
    pub ended_ns: Option<u64>,
    /// Counted since we began to watch; None where polls are not seen.
    pub polls: Option<u64>,
    /// Sum of the measured polls, ns; an estimate where the mode is to look now and then.
    pub busy_ns: Option<u64>,
    /// Part of `busy_ns`; None where it is not watched.
    pub off_cpu: Option<OffCpu>,
    /// Polls whose duration was not seen: `busy_ns` is then a lower bound.
    pub unmeasured: u64,
    pub wakes: Wakes,
    /// The poll that is under way, where it was seen to take long.
    pub long_poll: Option<Arc<LongPoll>>,
    /// Since when it has not been polled.
    pub idle: Option<Since>,
    /// Oldest first; the last one is where it stands. Bounded.
    pub history: VecDeque<Stop>,
    /// Older stops were dropped from `history`.
    pub history_cut: bool,
    pub(super) last_event_ns: u64,
    pub(super) seen: SeenIn,
    pub(super) sampled: Option<Box<Sampled>>,
}

/// Where the latest snapshot has this task, and how often snapshots missed it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SeenIn {
    /// 0: in no snapshot yet.
    pub generation: u32,
    pub index: u32,
    pub misses: u8,
    /// Since when all snapshots had it the same, CLOCK_MONOTONIC ns; None where the latest but one had it otherwise, or not.
    pub unmoved_ns: Option<u64>,
}

impl TaskEntry {
    pub(super) fn new(id: TaskId, name: Arc<str>, born: Since) -> TaskEntry {
        TaskEntry {
            id,
            name,
            phase: TaskPhase::Unknown,
            parent: None,
            born,
            ended_ns: None,
            polls: None,
            busy_ns: None,
            off_cpu: None,
            unmeasured: 0,
            wakes: Wakes::default(),
            long_poll: None,
            idle: None,
            history: VecDeque::new(),
            history_cut: false,
            last_event_ns: 0,
            seen: SeenIn::default(),
            sampled: None,
        }
    }

    /// Where it stands now, as far as known.
    pub fn path(&self) -> Option<&Arc<AwaitPath>> {
        self.history.back().map(|stop| &stop.path)
    }

    /// The place at which it stood before `t_ns`, and since when, as far back as its history goes, CLOCK_MONOTONIC ns.
    pub(super) fn stood_until(&self, t_ns: u64) -> Option<(FrameId, u64)> {
        let mut before = self.history.iter().rev().skip_while(|stop| stop.since.t_ns >= t_ns);
        let last = before.next()?;
        let place = last.path.place?;
        let there = before.take_while(|stop| stop.path.place == Some(place));
        Some((place, there.last().unwrap_or(last).since.t_ns))
    }

    pub fn has_ended(&self) -> bool {
        matches!(self.phase, TaskPhase::Ended(_))
    }

    /// How long it has been seen, up to `now_ns` or its end.
    pub fn age(&self, now_ns: u64) -> (u64, Known) {
        (self.ended_ns.unwrap_or(now_ns).saturating_sub(self.born.t_ns), self.born.known)
    }

    /// How long it has not been polled; None while it runs or after its end.
    pub fn idle_for(&self, now_ns: u64) -> Option<(u64, Known)> {
        let since = self.idle.filter(|_| matches!(self.phase, TaskPhase::Idle))?;
        Some((now_ns.saturating_sub(since.t_ns), since.known))
    }

    pub(super) fn arrive(&mut self, stop: Stop, bound: usize) {
        if self.history.len() >= bound.max(1) {
            self.history.pop_front();
            self.history_cut = true;
        }
        self.history.push_back(stop);
    }
}
