//! The lints, one per file.

mod deadlock;
mod futurelock;
mod group;
mod lock_across_await;
mod lost_wakeup;

use super::Lint;

/// In the order in which they are asked and told.
pub static LINTS: &[&dyn Lint] = &[
    &deadlock::Deadlock,
    &futurelock::Futurelock,
    &lost_wakeup::LostWakeup,
    &lock_across_await::LockAcrossAwait,
];

/// The lint of that name.
pub fn named(name: &str) -> Option<&'static dyn Lint> {
    LINTS.iter().copied().find(|lint| lint.name() == name)
}
