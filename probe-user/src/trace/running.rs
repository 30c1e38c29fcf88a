//! Polls that are under way, read from outside: what the programs keep of each thread.

use super::identity::Identity;
use super::object::{Programs, map_error};
use super::{Doing, OffCpu, TraceError, TracePlan};
use crate::decode::{RuntimeKind, TaskId};
use crate::sys::bpf::{Cursor, read_batch};
use crate::target::Avma;
use async_inspect_ebpf::{EVENT_UNREADABLE, Frame, NONE, Thread};
use aya::maps::{HashMap, MapData};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use zerocopy::FromBytes;

const SIZE: usize = size_of::<Thread>();
/// Threads copied by one system call, about 3 KiB each.
const BATCH: usize = 256;

/// A poll that has begun and not ended.
#[derive(Clone, Debug)]
pub struct PollUnderWay {
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
    fd: OwnedFd,
    threads: HashMap<MapData, u64, [u8; SIZE]>,
    identity: Identity,
    /// Names of the sites; None where their tasks are not told apart.
    names: Vec<Option<Arc<str>>>,
    watches_off_cpu: bool,
    keys: Vec<[u8; 8]>,
    values: Vec<[u8; SIZE]>,
}

impl Running {
    pub(super) fn of(
        programs: &Programs,
        identity: Identity,
        plan: &TracePlan,
        watches_off_cpu: bool,
    ) -> Result<Running, TraceError> {
        let sites = plan.sites.iter();
        Ok(Running {
            fd: programs.map_fd("THREADS")?,
            threads: programs.map("THREADS")?,
            identity,
            names: sites.map(|site| (site.id_offset != NONE).then(|| site.name.clone())).collect(),
            watches_off_cpu,
            keys: vec![[0; 8]; BATCH],
            values: vec![[0; SIZE]; BATCH],
        })
    }

    /// The innermost poll of each thread that polls, begun before `before_ns` (CLOCK_MONOTONIC).
    ///
    /// # Errors
    /// What the kernel says, which is a bug of ours.
    pub fn polls(&mut self, now_ns: u64, before_ns: u64) -> Result<Vec<PollUnderWay>, TraceError> {
        let mut cursor = Cursor::default();
        let mut found = Vec::new();
        // Bounded, whatever comes and goes meanwhile: the map does not hold more.
        for _ in 0..64 {
            let read = read_batch(self.fd.as_fd(), &mut cursor, &mut self.keys, &mut self.values);
            let (count, last) = read.map_err(|error| TraceError::from_io("read a BPF map", error))?;
            for (key, value) in self.keys.iter().zip(&self.values).take(count) {
                let Ok(thread) = Thread::ref_from_bytes(value) else { continue };
                let Some(frame) = innermost(thread).filter(|frame| frame.start_ns <= before_ns) else {
                    continue;
                };
                let Some(Some(name)) = self.names.get(frame.site as usize) else { continue };
                if frame.flags & u32::from(EVENT_UNREADABLE) != 0 {
                    continue;
                }
                found.push(PollUnderWay {
                    key: u64::from_ne_bytes(*key),
                    tid: self.identity.outer_tid(thread.tid),
                    task: TaskId { runtime: RuntimeKind::Tokio, id: frame.task },
                    name: name.clone(),
                    since_ns: frame.start_ns,
                    sp: Avma(frame.sp),
                    off_cpu: self.watches_off_cpu.then(|| off_cpu(thread, frame, now_ns)),
                });
            }
            if last {
                break;
            }
        }
        Ok(found)
    }

    /// Whether it has not ended yet, and no other poll has begun within it.
    pub fn is_under_way(&self, poll: &PollUnderWay) -> bool {
        let Ok(value) = self.threads.get(&poll.key, 0).map_err(map_error) else { return false };
        let thread = Thread::ref_from_bytes(&value).ok();
        thread
            .and_then(innermost)
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
