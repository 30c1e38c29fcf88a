//! The lints, one per file.

mod blocked_executor;
mod blocking_call;
mod busy_loop;
mod cancelled;
mod channel_filling;
mod channel_full;
mod cpu_bound_poll;
mod deadlock;
mod futurelock;
mod group;
mod io_driver_stalled;
mod large_future;
mod lock_across_await;
mod lock_convoy;
mod lost_wakeup;
mod never_yields;
mod no_timeout;
#[cfg(test)]
mod no_timeout_tests;
mod sequential_awaits;
mod starved_task;
mod stuck_shutdown;
mod task_leak;

use super::Lint;
pub(super) use group::once_each;

/// In the order in which they are asked and told.
pub static LINTS: &[&dyn Lint] = &[
    &deadlock::Deadlock,
    &lock_convoy::LockConvoy,
    &cancelled::Cancelled,
    &sequential_awaits::SequentialAwaits,
    &futurelock::Futurelock,
    &lost_wakeup::LostWakeup,
    &lock_across_await::LockAcrossAwait,
    &channel_full::ChannelFull,
    &channel_filling::ChannelFilling,
    &large_future::LargeFuture,
    &no_timeout::NoTimeout,
    &task_leak::TaskLeak,
    &stuck_shutdown::StuckShutdown,
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
