//! The lints, one per file.

mod blocked_executor;
mod blocking_call;
mod deadlock;

use super::Lint;

/// In the order in which they are asked and told.
pub static LINTS: &[&dyn Lint] = &[
    &deadlock::Deadlock,
    &blocking_call::BlockingCalls,
    &blocked_executor::BlockedExecutor,
];

/// The lint of that name.
pub fn named(name: &str) -> Option<&'static dyn Lint> {
    LINTS.iter().copied().find(|lint| lint.name() == name)
}
