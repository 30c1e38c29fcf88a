//! How long to wait for what should have come: for longer where the machine is said to be slow.

use std::time::Duration;

/// How many times longer everything may take, as in an emulated machine; programs of `tests/targets` read it too, and live longer.
const SLOWNESS: &str = "E2E_SLOWNESS";

pub fn slowness() -> u32 {
    std::env::var(SLOWNESS).ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// What is enough on a machine that is not slow, here.
pub(crate) fn patience(enough: Duration) -> Duration {
    enough * slowness()
}
