//! The lints, one per file.

mod blocked_executor;
mod blocking_call;
mod busy_loop;
mod cpu_bound_poll;
mod deadlock;
mod io_driver_stalled;
mod never_yields;
mod starved_task;

use super::Lint;

/// In the order in which they are asked and told.
pub static LINTS: &[&dyn Lint] = &[
    &deadlock::Deadlock,
    &blocking_call::BlockingCalls,
    &blocked_executor::BlockedExecutor,
    &never_yields::NeverYields,
    &cpu_bound_poll::CpuBoundPoll,
    &busy_loop::BusyLoop,
    &starved_task::StarvedTask,
    &io_driver_stalled::IoDriverStalled,
];

/// The lint of that name.
pub fn named(name: &str) -> Option<&'static dyn Lint> {
    LINTS.iter().copied().find(|lint| lint.name() == name)
}
