//! Who woke a task, how often, and how long it then waited to be polled.

use super::{Event, Model};
use crate::decode::TaskId;
use crate::trace::Doer;

/// Times between a wake and the start of the poll that followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delays {
    pub count: u64,
    pub sum_ns: u64,
    pub max_ns: u64,
    /// How long the task, or all, had been idle before their polls; None where that is not seen.
    pub idle_ns: Option<u64>,
    /// The longest poll; None where that is not seen.
    pub poll_max_ns: Option<u64>,
}

impl Delays {
    pub fn mean_ns(&self) -> Option<u64> {
        self.sum_ns.checked_div(self.count)
    }

    fn add(&mut self, more: Delays) {
        self.count += more.count;
        self.sum_ns = self.sum_ns.saturating_add(more.sum_ns);
        self.max_ns = self.max_ns.max(more.max_ns);
        if let Some(idle_ns) = more.idle_ns {
            self.idle_ns = Some(self.idle_ns.unwrap_or(0).saturating_add(idle_ns));
        }
        self.poll_max_ns = self.poll_max_ns.max(more.poll_max_ns);
    }
}

/// What is known of one task's wakes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wakes {
    /// Uses of its waker since we began to watch, also those that found it woken already.
    pub count: u64,
    /// Of these, by the task itself while it was polled.
    pub by_itself: u64,
    /// When, and by whom, last. CLOCK_MONOTONIC, ns.
    pub last: Option<(u64, Doer)>,
    pub delays: Delays,
}

impl Model {
    /// A waker may be used after its task's end, or before anything else tells of the task: then it is counted, and makes
    /// no task.
    pub(super) fn woken(&mut self, t_ns: u64, task: TaskId, by: Doer, out: &mut Vec<Event>) {
        *self.totals.wakes.get_or_insert(0) += 1;
        if let Some(wakes) = self.wakes_of(task) {
            wakes.count += 1;
            wakes.by_itself += u64::from(by == Doer::Task(task));
            wakes.last = Some((t_ns, by));
        }
        out.push(Event::Wake { t_ns, task, by });
    }

    pub(super) fn delayed(&mut self, t_ns: u64, task: TaskId, more: Delays, out: &mut Vec<Event>) {
        self.totals.delays.add(more);
        if let Some(wakes) = self.wakes_of(task) {
            wakes.delays.add(more);
        }
        let Delays { count, sum_ns, max_ns, idle_ns, poll_max_ns } = more;
        out.push(Event::Delays { t_ns, task, count, sum_ns, max_ns, idle_ns, poll_max_ns });
    }

    /// Of a task that lives, or that ended just now.
    fn wakes_of(&mut self, task: TaskId) -> Option<&mut Wakes> {
        match self.live.get_mut(&task) {
            Some(entry) => Some(&mut entry.wakes),
            None if !self.just_ended.contains_key(&task) => None,
            None => self.ended.iter_mut().rev().find(|entry| entry.id == task).map(|entry| &mut entry.wakes),
        }
    }
}
