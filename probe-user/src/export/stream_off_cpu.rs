//! `attach --json`: time off CPU within polls.

use crate::trace::OffCpu;
use serde::Serialize;

/// Part of the polls' duration; absent where it is not watched.
#[derive(Serialize)]
pub(super) struct OffCpuJson {
    off_cpu_ns: u64,
    /// Of it, the time in which the thread slept; in the rest it was ready to run.
    blocked_ns: u64,
}

impl From<OffCpu> for OffCpuJson {
    fn from(off_cpu: OffCpu) -> OffCpuJson {
        OffCpuJson { off_cpu_ns: off_cpu.sum_ns(), blocked_ns: off_cpu.blocked_ns }
    }
}
