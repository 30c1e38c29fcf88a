//! The lints, one per file.

mod cancelled;
mod channel_full;
mod deadlock;
mod futurelock;
mod group;
mod large_future;
mod lock_across_await;
mod lock_convoy;
mod lost_wakeup;
mod no_timeout;
#[cfg(test)]
mod no_timeout_tests;
mod sequential_awaits;
mod stuck_shutdown;
mod task_leak;

use super::Lint;

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
    &large_future::LargeFuture,
    &no_timeout::NoTimeout,
    &task_leak::TaskLeak,
    &stuck_shutdown::StuckShutdown,
];

/// The lint of that name.
pub fn named(name: &str) -> Option<&'static dyn Lint> {
    LINTS.iter().copied().find(|lint| lint.name() == name)
}
