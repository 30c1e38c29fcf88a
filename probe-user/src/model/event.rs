//! The model's own event: what happened to a task, whoever saw it.

use super::{AwaitPath, PlaceTimes, Spot};
use crate::decode::TaskId;
use crate::trace::{Doer, LongPoll, OffCpu, PollEnd};
use std::sync::Arc;

/// How a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Ending {
    Complete,
    Cancelled,
    Panicked,
    /// It is no longer there; its last poll was not seen.
    Unseen,
}

/// All times are CLOCK_MONOTONIC nanoseconds.
#[derive(Clone, Debug)]
pub enum Event {
    /// First sight of a task. `existing`: it was there before we looked. `about`: a snapshot shows it, so it was born some time before.
    Spawn { t_ns: u64, task: TaskId, name: Arc<str>, parent: Option<Doer>, existing: bool, about: bool },
    /// Who spawned a task that a snapshot had shown before its spawn was told.
    Parent { t_ns: u64, task: TaskId, parent: Doer },
    /// `count` polls that ended at `t_ns`; `duration_ns` is their sum where it was measured.
    Poll {
        t_ns: u64,
        task: TaskId,
        tid: u32,
        count: u64,
        duration_ns: Option<u64>,
        end: PollEnd,
        /// Part of `duration_ns`; None where it is not watched.
        off_cpu: Option<OffCpu>,
    },
    /// A poll under way takes long.
    LongPoll { t_ns: u64, task: TaskId, tid: u32, name: Arc<str>, poll: Arc<LongPoll> },
    /// The await path changed. `from` is absent where the task had not been seen at any place yet.
    State { t_ns: u64, task: TaskId, from: Option<Arc<AwaitPath>>, to: Arc<AwaitPath> },
    /// The task's waker was used.
    Wake { t_ns: u64, task: TaskId, by: Doer },
    /// `count` polls began `sum_ns` in all after their task was woken for them; before it had been idle for so long.
    Delays {
        t_ns: u64,
        task: TaskId,
        count: u64,
        sum_ns: u64,
        max_ns: u64,
        idle_ns: Option<u64>,
        poll_max_ns: Option<u64>,
    },
    /// Polls of all tasks of a name that began at one place, since the last such event of both.
    Timed { t_ns: u64, of: Box<PlaceTimes> },
    /// `at`: where it stood when its last poll began, if its end was seen.
    Ended { t_ns: u64, task: TaskId, how: Ending, at: Option<Arc<AwaitPath>> },
    /// Trace events that were lost on the way.
    Lost { t_ns: u64, count: u64 },
    /// The probes went out for a while, or came in again, to keep their cost within the budget.
    Budget { t_ns: u64, probes_in: bool },
    /// Looks at what each thread polls: `looks` were made since the last ones, `missed` were not.
    Looked { t_ns: u64, looks: u32, missed: u32, period_ns: u64, threads: u32 },
    /// In `hits` of those, thread `tid` polled this task: for about `busy_ns`.
    Sampled {
        t_ns: u64,
        task: TaskId,
        tid: u32,
        /// Where those polls began.
        at: Spot,
        hits: u64,
        busy_ns: u64,
    },
}

impl Event {
    pub fn t_ns(&self) -> u64 {
        match self {
            Event::Spawn { t_ns, .. }
            | Event::Poll { t_ns, .. }
            | Event::LongPoll { t_ns, .. }
            | Event::State { t_ns, .. }
            | Event::Parent { t_ns, .. }
            | Event::Wake { t_ns, .. }
            | Event::Delays { t_ns, .. }
            | Event::Timed { t_ns, .. }
            | Event::Ended { t_ns, .. }
            | Event::Lost { t_ns, .. }
            | Event::Budget { t_ns, .. }
            | Event::Looked { t_ns, .. }
            | Event::Sampled { t_ns, .. } => *t_ns,
        }
    }
}
