//! Why a trace could not be had.

use std::io;
use thiserror::Error;

#[derive(Debug, Error)]
pub enum TraceError {
    /// `missing` lists the capabilities that this process lacks of those it takes.
    #[error("not permitted to {doing}{}", if missing.is_empty() { String::new() } else { format!(" (lacking {})", missing.join(", ")) })]
    NotPermitted { doing: &'static str, missing: Vec<&'static str> },
    #[error("this kernel cannot {what}: {why}")]
    KernelTooOld { what: &'static str, why: String },
    #[error("the kernel's verifier refused the program {program}:\n{log}")]
    Verifier { program: &'static str, log: String },
    #[error("the target has gone")]
    TargetGone,
    /// A bug of ours: the plan contradicts itself.
    #[error("the plan of the trace is wrong: {0}")]
    Plan(String),
    /// A bug of ours: the object does not fit this build.
    #[error("the BPF object does not fit: {0}")]
    Object(String),
    #[error("cannot {doing}: {error}")]
    Io { doing: &'static str, error: io::Error },
}

impl TraceError {
    /// Sorts a system call's error by what a person can do about it.
    pub(super) fn from_io(doing: &'static str, error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => {
                TraceError::NotPermitted { doing, missing: missing_capabilities() }
            }
            Some(libc::ESRCH) => TraceError::TargetGone,
            Some(libc::ENOSYS | libc::EOPNOTSUPP) => {
                TraceError::KernelTooOld { what: doing, why: error.to_string() }
            }
            _ => TraceError::Io { doing, error },
        }
    }
}

/// Those of CAP_BPF and CAP_PERFMON that this process lacks; none where it has CAP_SYS_ADMIN, which stands
/// in for both.
fn missing_capabilities() -> Vec<&'static str> {
    const CAP_SYS_ADMIN: u32 = 21;
    let effective = std::fs::read_to_string("/proc/self/status").ok().and_then(|status| {
        let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
        u64::from_str_radix(line.trim(), 16).ok()
    });
    let Some(effective) = effective else { return Vec::new() };
    let has = |bit: u32| effective & (1 << bit) != 0;
    if has(CAP_SYS_ADMIN) {
        return Vec::new();
    }
    [("CAP_PERFMON", 38), ("CAP_BPF", 39)]
        .into_iter()
        .filter(|(_, bit)| !has(*bit))
        .map(|(name, _)| name)
        .collect()
}
