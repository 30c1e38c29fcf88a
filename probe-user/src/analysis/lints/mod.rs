//! The lints, one per file.

mod channel_full;
mod deadlock;
mod futurelock;
mod group;
mod large_future;
mod lock_across_await;
mod lost_wakeup;
mod no_timeout;
#[cfg(test)]
mod no_timeout_tests;
mod stuck_shutdown;
mod task_leak;

use super::Lint;

/// In the order in which they are asked and told.
pub static LINTS: &[&dyn Lint] = &[
    &deadlock::Deadlock,
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
