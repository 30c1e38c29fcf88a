//! Polls that take long, and time off CPU.

use super::{Event, Model, TaskPhase};
use crate::decode::TaskId;
use crate::trace::{LongPoll, OffCpu};
use std::sync::Arc;

impl Model {
    /// In a poll that has just been added, which ended at `t_ns`.
    pub(super) fn was_off_cpu(&mut self, id: TaskId, t_ns: u64, off_cpu: Option<OffCpu>) {
        let mut task = self.live.get_mut(&id);
        if let Some(task) = &mut task
            && let Some(poll) = &task.long_poll
        {
            if poll.since_ns < t_ns {
                task.long_poll = None;
            } else {
                // It was told late: the next one has begun since.
                task.phase = TaskPhase::Running;
            }
        }
        let Some(more) = off_cpu else { return };
        for sum in task.map(|task| &mut task.off_cpu).into_iter().chain([&mut self.totals.off_cpu]) {
            *sum = Some(sum.unwrap_or_default().plus(more));
        }
    }

    pub(super) fn takes_long(
        &mut self,
        t_ns: u64,
        task: TaskId,
        tid: u32,
        name: Arc<str>,
        poll: Arc<LongPoll>,
        out: &mut Vec<Event>,
    ) {
        self.now_ns = self.now_ns.max(t_ns);
        if let Some(entry) = self.live.get_mut(&task) {
            // Its end may have been told already.
            if entry.idle.is_none_or(|idle| idle.t_ns <= poll.since_ns) {
                entry.phase = TaskPhase::Running;
                entry.long_poll = Some(poll.clone());
            }
        }
        out.push(Event::LongPoll { t_ns, task, tid, name, poll });
    }
}
