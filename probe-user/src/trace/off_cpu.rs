//! Time off CPU: the scheduler's tracepoint, what it takes to read it, and sums → what is told.

use super::object::Programs;
use super::{OffCpu, TraceError, kernel_types};
use crate::sys::bpf::{self, AttachType};
use async_inspect_ebpf::{Account, NONE, PollEvent};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::OnceLock;

/// Offset in `task_struct` of a thread's id, with that of its process right behind it. [`NONE`], with a note, where it is not known.
pub(super) fn kernel_ids(notes: &mut Vec<String>) -> u32 {
    known_ids().unwrap_or_else(|why| {
        notes.push(unwatched(&why));
        NONE
    })
}

/// Begins to find out what [`kernel_ids`] says: the kernel's types are some megabytes.
pub(super) fn look_for_kernel_ids() {
    // Where no thread can be had, whoever asks first finds out.
    let _ = std::thread::Builder::new().name("types".into()).spawn(known_ids);
}

fn known_ids() -> Result<u32, String> {
    static KNOWN: OnceLock<Result<u32, String>> = OnceLock::new();
    KNOWN.get_or_init(find_kernel_ids).clone()
}

fn unwatched(why: &str) -> String {
    format!("how long threads are off CPU within polls is not watched: {why}")
}

fn find_kernel_ids() -> Result<u32, String> {
    const TYPES: &str = "/sys/kernel/btf/vmlinux";
    let bytes = std::fs::read(TYPES).map_err(|error| format!("{TYPES}: {error}"))?;
    let offset = |member| kernel_types::offset(&bytes, "task_struct", member);
    match (offset("pid"), offset("tgid")) {
        (Some(pid), Some(tgid)) if tgid == pid + 4 && pid != NONE => Ok(pid),
        other => Err(format!("{TYPES} has the ids of threads where they are not expected: {other:?}")),
    }
}

/// As [`attach`] where the offset of ids is known; with a note where that fails.
pub(super) fn watch(kernel_ids: u32, programs: &Programs, notes: &mut Vec<String>) -> Option<OwnedFd> {
    if kernel_ids == NONE {
        return None;
    }
    attach(programs).inspect_err(|error| notes.push(unwatched(&error.to_string()))).ok()
}

/// Puts the program in. Before probes of polls, so that none of them sees a poll that this one does not.
///
/// # Errors
/// What the kernel says.
pub(super) fn attach(programs: &Programs) -> Result<OwnedFd, TraceError> {
    let program = load(programs)?;
    bpf::link_raw_tracepoint(program.as_fd(), c"sched_switch")
        .map_err(|error| TraceError::from_io("attach to the scheduler's tracepoint", error))
}

/// # Errors
/// What the kernel says.
pub(super) fn load(programs: &Programs) -> Result<OwnedFd, TraceError> {
    programs.load("switched", AttachType::RawTracepoint)
}

impl OffCpu {
    pub(super) fn of_account(account: &Account) -> OffCpu {
        OffCpu { blocked_ns: account.blocked_ns, preempted_ns: account.preempted_ns }
    }

    pub(super) fn of_event(event: &PollEvent) -> OffCpu {
        OffCpu { blocked_ns: event.blocked_ns, preempted_ns: event.preempted_ns }
    }

    pub fn sum_ns(self) -> u64 {
        self.blocked_ns.saturating_add(self.preempted_ns)
    }

    pub(crate) fn plus(self, other: OffCpu) -> OffCpu {
        OffCpu {
            blocked_ns: self.blocked_ns.saturating_add(other.blocked_ns),
            preempted_ns: self.preempted_ns.saturating_add(other.preempted_ns),
        }
    }

    pub(super) fn minus(self, told: OffCpu) -> OffCpu {
        OffCpu {
            blocked_ns: self.blocked_ns.saturating_sub(told.blocked_ns),
            preempted_ns: self.preempted_ns.saturating_sub(told.preempted_ns),
        }
    }

    pub(super) fn max(self, told: OffCpu) -> OffCpu {
        OffCpu {
            blocked_ns: self.blocked_ns.max(told.blocked_ns),
            preempted_ns: self.preempted_ns.max(told.preempted_ns),
        }
    }

    /// No more than `took_ns` in all.
    pub(super) fn within(self, took_ns: u64) -> OffCpu {
        let blocked_ns = self.blocked_ns.min(took_ns);
        OffCpu { blocked_ns, preempted_ns: self.preempted_ns.min(took_ns - blocked_ns) }
    }
}
