//! What the trace says, already translated from the kernel's records into frames and task ids.

use super::{CpuSamples, Histogram};
use crate::decode::{CodeFrame, FrameId, TaskId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The primary await chain of a task, outermost first. Equal paths share one allocation.
pub type Path = Arc<[FrameId]>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PollEnd {
    Pending,
    Complete,
    Cancelled,
    Panicked,
    /// The task ended, and its memory was freed or reused before it could be read how.
    Gone,
    /// Entry probes only: the end of the poll is not seen.
    Unseen,
}

/// Who does something to a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Doer {
    /// While it was polled.
    Task(TaskId),
    /// A thread that polled no task then, by its id: a driver of the runtime, a `block_on`, a thread of the user's own. With
    /// entry probes only: any thread, for it is not seen whether it polls one.
    Thread(u32),
}

/// Polls of all tasks of one name that began at one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timed {
    pub name: Arc<str>,
    /// None: of all places that are not told apart.
    pub at: Option<Path>,
    /// Their durations; none with entry probes only.
    pub polls: Histogram,
    /// Of those that followed a wake that was seen: the time since.
    pub delays: Histogram,
    /// From the end of the poll before to that wake, or to the poll where none was seen; the sum of those that are known.
    pub idle_ns: u64,
}

/// Time within polls in which their thread was on no CPU, ns. The rest of their duration it ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OffCpu {
    /// It slept: in a system call, for a page, for a lock.
    pub blocked_ns: u64,
    /// It was ready to run, and others ran.
    pub preempted_ns: u64,
}

/// What a thread does while it polls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Doing {
    /// It sleeps until something happens.
    Asleep,
    Running,
    /// It could run, and others do.
    Ready,
}

/// A poll that took long already when it was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LongPoll {
    /// When it began; CLOCK_MONOTONIC, ns.
    pub since_ns: u64,
    pub doing: Doing,
    /// Up to then; None where it is not watched.
    pub off_cpu: Option<OffCpu>,
    /// In which it sleeps.
    pub system_call: Option<Arc<str>>,
    /// What it has called since the poll began, innermost first. Empty where it does not sleep.
    pub stack: Box<[CodeFrame]>,
    /// What it computed up to then, as far as it was looked at.
    #[serde(default)]
    pub cpu: CpuSamples,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TraceEvent {
    /// Comes first, if anything is watched beside polls that is counted.
    Watches {
        t_ns: u64,
        wakes: bool,
        /// Of each poll it is told how long its thread was off CPU.
        #[serde(default)]
        off_cpu: bool,
    },
    /// A task seen for the first time; `parent` where the spawn itself was seen.
    Spawn {
        t_ns: u64,
        task: TaskId,
        name: Arc<str>,
        parent: Option<Doer>,
    },
    /// The task's waker was used, whether or not it was to be polled anyway.
    Wake {
        t_ns: u64,
        task: TaskId,
        by: Doer,
    },
    /// `count` polls began `sum_ns` in all after their task was woken for them. `max_ns`: the longest up to now. `idle_ns`: how
    /// long it had been idle before, and before polls that followed no wake that was seen; None with entry probes only.
    Delays {
        t_ns: u64,
        task: TaskId,
        count: u64,
        sum_ns: u64,
        max_ns: u64,
        #[serde(default)]
        idle_ns: Option<u64>,
        /// The task's longest poll up to now.
        #[serde(default)]
        poll_max_ns: Option<u64>,
    },
    /// `count` polls of `task` on thread `tid` that ended at `t_ns`; `duration_ns` is their sum.
    /// A poll whose start was not seen has no duration.
    Poll {
        t_ns: u64,
        task: TaskId,
        tid: u32,
        count: u64,
        duration_ns: Option<u64>,
        end: PollEnd,
        /// Part of `duration_ns`; None where it is not watched.
        #[serde(default)]
        off_cpu: Option<OffCpu>,
    },
    /// A poll under way takes long.
    LongPoll {
        t_ns: u64,
        task: TaskId,
        tid: u32,
        /// The task's.
        name: Arc<str>,
        poll: Arc<LongPoll>,
    },
    /// A poll that was told to take long lasted at least until then: told each time that it has taken twice as long, and at
    /// its end.
    LongPollLasts {
        t_ns: u64,
        task: TaskId,
        tid: u32,
        since_ns: u64,
        /// Up to then; None where it is not watched.
        off_cpu: Option<OffCpu>,
        over: bool,
        /// What it computed since it was told last.
        #[serde(default)]
        cpu: CpuSamples,
    },
    /// The path at poll exit differs from that at poll entry.
    State {
        t_ns: u64,
        task: TaskId,
        from: Path,
        to: Path,
    },
    /// Where a task stands of which nothing was told before: its first poll that was seen left it there and found it there.
    Stands {
        t_ns: u64,
        task: TaskId,
        at: Path,
    },
    /// Polls since the last such event of the same name and place; only the maxima are of all up to now.
    Timed {
        t_ns: u64,
        of: Box<Timed>,
    },
    /// Events the ring buffer had no room for.
    Lost {
        t_ns: u64,
        count: u64,
    },
    /// The probes went out to keep their cost within the budget: nothing is seen until they are in again.
    Paused {
        t_ns: u64,
    },
    Resumed {
        t_ns: u64,
    },
}

impl TraceEvent {
    /// CLOCK_MONOTONIC, ns.
    pub fn t_ns(&self) -> u64 {
        match self {
            TraceEvent::Watches { t_ns, .. }
            | TraceEvent::Spawn { t_ns, .. }
            | TraceEvent::Wake { t_ns, .. }
            | TraceEvent::Delays { t_ns, .. }
            | TraceEvent::Poll { t_ns, .. }
            | TraceEvent::LongPoll { t_ns, .. }
            | TraceEvent::LongPollLasts { t_ns, .. }
            | TraceEvent::State { t_ns, .. }
            | TraceEvent::Stands { t_ns, .. }
            | TraceEvent::Timed { t_ns, .. }
            | TraceEvent::Lost { t_ns, .. }
            | TraceEvent::Paused { t_ns }
            | TraceEvent::Resumed { t_ns } => *t_ns,
        }
    }
}
