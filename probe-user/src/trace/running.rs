//! Polls that are under way, read from outside: what the programs keep of each thread.

use super::identity::Identity;
use super::on_cpu::{Clocks, CpuSample, Samples, copied};
use super::slots::{Slot, Table};
use super::{Doing, OffCpu, SitePlan, TracePlan};
use crate::decode::{RuntimeKind, TaskId};
use crate::target::Avma;
use async_inspect_ebpf::{EVENT_UNREADABLE, Frame, NONE, Sample, Thread};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A poll that has begun and not ended.
#[derive(Clone, Debug)]
pub struct PollUnderWay {
    slot: Slot,
    key: u64,
    /// As the user knows it.
    pub tid: u32,
    pub task: TaskId,
    /// The task's.
    pub name: Arc<str>,
    /// CLOCK_MONOTONIC, ns.
    pub since_ns: u64,
    /// The stack pointer when the poll function was entered.
    pub sp: Avma,
    /// Up to now. None where time off CPU is not watched.
    pub off_cpu: Option<(OffCpu, Doing)>,
}

/// Reads what polls are under way. Beside a [`super::Tracer`], on any thread; while its probes are out it sees none.
pub struct Running {
    threads: Arc<Table<Thread>>,
    /// Set before the probes go: what then stands in the table may have ended.
    out: Arc<AtomicBool>,
    identity: Identity,
    /// Names of the sites; None where their tasks are not told apart, or run where they may block.
    names: Vec<Option<Arc<str>>>,
    watches_off_cpu: bool,
    /// None where it is not looked at what threads compute.
    samples: Option<(Arc<Clocks>, Samples)>,
}

impl Running {
    /// Whether it can be looked at what threads compute in polls that take long.
    pub fn takes_samples(&self) -> bool {
        self.samples.is_some()
    }

    /// Has it looked at what these threads compute, and at no others; at most 256 of them.
    pub fn sample_only(&self, tids: &HashSet<u32>) {
        self.samples.iter().for_each(|(clocks, _)| clocks.only(tids));
    }

    /// What was found of that since the last call, at most so many; of each thread in the order of time.
    pub fn samples(&mut self, most: usize) -> Vec<CpuSample> {
        let Running { samples, identity, names, watches_off_cpu, .. } = self;
        let mut read = |sample: &Sample| {
            let name = names.get(sample.site as usize)?.clone()?;
            let (registers, stack) = copied(sample);
            let off_cpu = OffCpu { blocked_ns: sample.blocked_ns, preempted_ns: sample.preempted_ns };
            let took_ns = sample.t_ns.saturating_sub(sample.start_ns);
            Some(CpuSample {
                t_ns: sample.t_ns,
                tid: identity.outer_tid(sample.tid),
                task: TaskId { runtime: RuntimeKind::Tokio, id: sample.task },
                name,
                since_ns: sample.start_ns,
                sp: Avma(sample.sp),
                off_cpu: watches_off_cpu.then(|| off_cpu.within(took_ns)),
                nth: sample.nth,
                registers,
                stack,
            })
        };
        let Some((_, samples)) = samples else { return Vec::new() };
        let next = || samples.next(&mut read);
        std::iter::from_fn(next).take(most).flatten().collect()
    }

    /// Whether the probes are out for a while.
    pub fn is_paused(&self) -> bool {
        self.out.load(Ordering::SeqCst)
    }

    pub(super) fn of(
        threads: Arc<Table<Thread>>,
        out: Arc<AtomicBool>,
        identity: Identity,
        plan: &TracePlan,
        watches_off_cpu: bool,
        samples: Option<(Arc<Clocks>, Samples)>,
    ) -> Running {
        let told = |(number, site): (usize, &SitePlan)| {
            (site.id_offset != NONE && !plan.pool_sites.contains(&(number as u32))).then(|| site.name.clone())
        };
        let names = plan.sites.iter().enumerate().map(told).collect();
        Running { threads, out, identity, names, watches_off_cpu, samples }
    }

    /// The innermost poll of each thread that polls, begun before `before_ns` (CLOCK_MONOTONIC).
    pub fn polls(&mut self, now_ns: u64, before_ns: u64) -> Vec<PollUnderWay> {
        let mut found = Vec::new();
        if self.out.load(Ordering::SeqCst) {
            return found;
        }
        for (slot, key) in self.threads.keys() {
            let thread = self.steady(slot);
            let Some(frame) = innermost(&thread).filter(|frame| frame.start_ns <= before_ns) else {
                continue;
            };
            let Some(Some(name)) = self.names.get(frame.site as usize) else { continue };
            if frame.flags & u32::from(EVENT_UNREADABLE) != 0 {
                continue;
            }
            found.push(PollUnderWay {
                slot,
                key,
                tid: self.identity.outer_tid(thread.tid),
                task: TaskId { runtime: RuntimeKind::Tokio, id: frame.task },
                name: name.clone(),
                since_ns: frame.start_ns,
                sp: Avma(frame.sp),
                off_cpu: self.watches_off_cpu.then(|| off_cpu(&thread, frame, now_ns)),
            });
        }
        found
    }

    /// What the programs keep of a thread, which did not come on or off a CPU while it was read. What they write last of that
    /// stands before the sums, and is read first.
    fn steady(&self, slot: Slot) -> Thread {
        const TRIES: usize = 3;
        let mut thread = self.threads.value(slot);
        for _ in 1..TRIES {
            let again = self.threads.value(slot);
            if thread.off_since_ns == again.off_since_ns {
                break;
            }
            thread = again;
        }
        thread
    }

    /// Whether it has not ended yet, and no other poll has begun within it.
    pub fn is_under_way(&self, poll: &PollUnderWay) -> bool {
        let thread = self.threads.value(poll.slot);
        // Where the probes have gone out, or the thread has ended, what stood in the slot is still there.
        !self.out.load(Ordering::SeqCst)
            && self.threads.key(poll.slot) == poll.key
            && innermost(&thread)
                .is_some_and(|frame| (frame.start_ns, frame.sp) == (poll.since_ns, poll.sp.0))
    }
}

fn innermost(thread: &Thread) -> Option<&Frame> {
    thread.frames.get((thread.depth as usize).checked_sub(1)?)
}

/// Of the frame's poll, and what the thread does now.
fn off_cpu(thread: &Thread, frame: &Frame, now_ns: u64) -> (OffCpu, Doing) {
    let mut sums = OffCpu {
        blocked_ns: thread.blocked_ns.saturating_sub(frame.blocked_ns),
        preempted_ns: thread.preempted_ns.saturating_sub(frame.preempted_ns),
    };
    let doing = match (thread.off_since_ns, thread.asleep) {
        (0, _) => Doing::Running,
        (since_ns, 0) => {
            sums.preempted_ns += now_ns.saturating_sub(since_ns);
            Doing::Ready
        }
        (since_ns, _) => {
            sums.blocked_ns += now_ns.saturating_sub(since_ns);
            Doing::Asleep
        }
    };
    // It is read while it is written.
    (sums.within(now_ns.saturating_sub(frame.start_ns)), doing)
}
