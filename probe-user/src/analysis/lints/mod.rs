//! The lints, one per file.

mod cancelled;
mod deadlock;
mod lock_convoy;
mod sequential_awaits;

use super::Lint;

/// In the order in which they are asked and told.
pub static LINTS: &[&dyn Lint] = &[
    &deadlock::Deadlock,
    &lock_convoy::LockConvoy,
    &cancelled::Cancelled,
    &sequential_awaits::SequentialAwaits,
];

/// The lint of that name.
pub fn named(name: &str) -> Option<&'static dyn Lint> {
    LINTS.iter().copied().find(|lint| lint.name() == name)
}
