//! Why the kernel refuses us a look into a process.

use super::error::{Denied, TargetError};
use super::procdir::ProcDir;
use std::io;

pub(super) fn unreadable(pid: u32, file: &str, source: io::Error) -> TargetError {
    TargetError::Unreadable { path: format!("/proc/{pid}/{file}").into(), source }
}

/// Turns a refused look at `what` into the reason for it.
pub(super) fn denied(dir: &ProcDir, what: &'static str, e: io::Error) -> TargetError {
    let pid = dir.pid();
    match e.raw_os_error() {
        Some(libc::EACCES | libc::EPERM) => TargetError::NotPermitted { pid, what, why: why_denied(dir) },
        Some(libc::ENOENT | libc::ESRCH) => TargetError::Gone { pid },
        _ => unreadable(pid, "", e),
    }
}

/// A process that /proc does not show: there is none, or it is hidden from us.
pub(super) fn absent(pid: u32) -> TargetError {
    let known = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    // Signal 0 asks whether it exists, and sends nothing.
    match known.map(rustix::process::test_kill_process) {
        Some(Err(rustix::io::Errno::PERM)) => {
            TargetError::NotPermitted { pid, what: "the existence", why: Denied::Hidden }
        }
        _ => TargetError::NoSuchProcess { pid },
    }
}

/// The order of __ptrace_may_access in kernel/ptrace.c: uid, then dumpable, then security modules (Yama).
fn why_denied(dir: &ProcDir) -> Denied {
    const CAP_SYS_PTRACE: u64 = 1 << 19;
    let yama = std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope");
    let yama: u32 = yama.ok().and_then(|s| s.trim().parse().ok()).unwrap_or(0);
    let us = ProcDir::open(std::process::id()).and_then(|d| d.status()).unwrap_or_default();
    let theirs = dir.status().map_or(us.uid, |s| s.uid);
    if yama >= 3 {
        Denied::YamaOff
    } else if us.cap_eff & CAP_SYS_PTRACE != 0 {
        Denied::Refused
    } else if theirs != us.uid {
        Denied::OtherUser { ours: us.uid, theirs }
    } else if yama > 0 {
        Denied::Yama(yama)
    } else {
        Denied::NotDumpable
    }
}
