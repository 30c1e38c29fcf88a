//! Polls that take long, and time off CPU.

use super::{Event, LongPolls, Model, TaskEntry, TaskPhase};
use crate::decode::TaskId;
use crate::trace::{CpuSamples, LongPoll, OffCpu};
use std::sync::Arc;

impl Model {
    /// Polls that took long, by what they were held up by; also of tasks that have ended.
    pub fn long_polls(&self) -> &[LongPolls] {
        self.held_up.all()
    }

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

    /// More of what a task computes in the long poll that is under way.
    pub(super) fn computes(&mut self, id: TaskId, since_ns: u64, cpu: &CpuSamples) {
        let poll = self.live.get_mut(&id).and_then(|task| task.long_poll.as_mut());
        if let Some(poll) = poll.filter(|poll| poll.since_ns == since_ns && !cpu.is_empty()) {
            Arc::make_mut(poll).cpu.merge(cpu);
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
        let at = self.get(task).and_then(TaskEntry::path).cloned();
        self.held_up.begins(t_ns, (task, tid), &name, at, &poll);
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

/// Made up: `shop::api::fetch_user` computes; so often nothing tells where.
#[cfg(test)]
pub fn sample_cpu(count: u64, unknown: u64) -> CpuSamples {
    use crate::decode::{CodeFrame, SourceLine};
    let frame = |function: &str, file: &str, line, own_code| CodeFrame {
        function: Some(function.into()),
        line: Some(SourceLine { file: file.into(), line }),
        inlined: false,
        own_code,
    };
    let stack = [
        frame("serde_json::to_vec", "/home/x/.cargo/registry/src/serde_json/src/ser.rs", 2210, false),
        frame("shop::api::fetch_user", "/srv/shop/src/api.rs", 157, true),
    ];
    let mut samples = CpuSamples::default();
    (0..count - unknown).for_each(|_| samples.add(Box::new(stack.clone())));
    samples.add_unknown(unknown);
    samples
}

/// Made up: `shop::api::fetch_user` sleeps where it should await.
#[cfg(test)]
pub fn sample_long_poll(since_ns: u64) -> LongPoll {
    use crate::decode::{CodeFrame, SourceLine};
    let frame = |function: &str, own: Option<u32>, inlined| CodeFrame {
        function: Some(function.into()),
        line: own.map(|line| SourceLine { file: "/srv/shop/src/api.rs".into(), line }),
        inlined,
        own_code: own.is_some(),
    };
    LongPoll {
        since_ns,
        doing: crate::trace::Doing::Asleep,
        off_cpu: Some(OffCpu { blocked_ns: 11_000_000, preempted_ns: 20_000 }),
        system_call: Some("clock_nanosleep".into()),
        stack: Box::new([
            frame("clock_nanosleep", None, false),
            frame("std::thread::sleep", None, false),
            frame("shop::api::fetch_user", Some(155), true),
            frame("tokio::runtime::task::raw::poll", None, false),
        ]),
        cpu: CpuSamples::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::sample::{MS, SECOND, Shop, tokio};
    use crate::model::{Limits, Mode};
    use crate::trace::{PollEnd, TraceEvent};

    #[test]
    fn a_long_poll_lasts_until_its_end_is_told() {
        let shop = Shop::new();
        let mut model = Model::new(Mode::Session, shop.frames.clone(), SECOND, Limits::default());
        let (mut out, task) = (vec![], tokio(1));
        model.snapshot_taken(
            Box::new(shop.snapshot(SECOND, vec![shop.fetching(1, &shop.sleeping())])),
            &mut out,
        );
        model.trace(TraceEvent::Watches { t_ns: SECOND, wakes: false, off_cpu: true }, &mut out);
        let poll = |t_ns, blocked_ns| TraceEvent::Poll {
            t_ns,
            task,
            tid: 7,
            count: 1,
            duration_ns: Some(20 * MS),
            end: PollEnd::Pending,
            off_cpu: Some(OffCpu { blocked_ns, preempted_ns: 1 }),
        };
        let poll_end = |t_ns| poll(t_ns, 0);
        let began = 2 * SECOND;
        let long = |t_ns| TraceEvent::LongPoll {
            t_ns,
            task,
            tid: 7,
            name: "shop::api::fetch_user".into(),
            poll: Arc::new(sample_long_poll(began)),
        };
        model.trace(long(began + 12 * MS), &mut out);
        // An earlier one, told late.
        model.trace(poll(began - MS, 0), &mut out);
        let entry = model.get(task).expect("it lives");
        assert!(entry.long_poll.is_some() && entry.phase == TaskPhase::Running);
        model.trace(poll(began + 20 * MS, 15 * MS), &mut out);
        let entry = model.get(task).expect("it lives");
        assert!(entry.long_poll.is_none() && entry.phase == TaskPhase::Idle);
        let sums = Some(OffCpu { blocked_ns: 15 * MS, preempted_ns: 2 });
        assert_eq!((entry.off_cpu, model.totals().off_cpu), (sums, sums));
        let since_ns = began + 30 * MS;
        let mut more = long(since_ns + 12 * MS);
        if let TraceEvent::LongPoll { poll, .. } = &mut more {
            *poll = Arc::new(LongPoll { cpu: sample_cpu(1, 0), ..sample_long_poll(since_ns) });
        }
        model.trace(more, &mut out);
        for since_ns in [since_ns, began] {
            let (t_ns, off_cpu, cpu) = (since_ns + 14 * MS, None, sample_cpu(3, 1));
            let lasts = TraceEvent::LongPollLasts { t_ns, task, tid: 7, since_ns, off_cpu, over: false, cpu };
            model.trace(lasts, &mut out);
        }
        let poll = model.get(task).and_then(|entry| entry.long_poll.clone()).expect("it lasts");
        assert_eq!((poll.cpu.count, poll.cpu.unknown), (4, 1), "of another poll nothing is added");
        model.trace(poll_end(since_ns + 20 * MS), &mut out);
        // It has ended already.
        model.trace(long(began + 12 * MS), &mut out);
        assert!(model.get(task).is_some_and(|entry| entry.long_poll.is_none()));
    }
}
