//! Log-linear histograms of times: each power of two is cut into [`STEPS`] classes of equal width, so that a class is never
//! wider than a quarter of its lower bound, and histograms of any polls can be added up class by class.
//!
//! The scheme is that of HdrHistogram, with few bits. <https://hdrhistogram.github.io/HdrHistogram/>

use crate::abi::{CLASSES, SLOTS};

/// 2 to this power, ns: what is shorter is one class. A poll of nothing takes as long, our probes within it.
pub const SHORTEST_LOG: u32 = 7;
/// 2 to this power, ns (275 s): what is as long or longer is one class.
pub const LONGEST_LOG: u32 = 38;
/// A power of two has 2 to this power classes.
const STEP_BITS: u32 = 2;
pub const STEPS: u32 = 1 << STEP_BITS;

const _: () = assert!(CLASSES as u32 == (LONGEST_LOG - SHORTEST_LOG) * STEPS + 2);
const _: () = assert!(CLASSES <= SLOTS);

/// Class of a time, below [`CLASSES`]. The longer the time, the higher the class.
#[inline(always)]
pub fn class_of(ns: u64) -> usize {
    if ns < 1 << SHORTEST_LOG {
        return 0;
    }
    if ns >= 1 << LONGEST_LOG {
        return CLASSES - 1;
    }
    let log = 63 - ns.leading_zeros();
    let step = (ns >> (log - STEP_BITS)) as u32 & (STEPS - 1);
    (1 + (log - SHORTEST_LOG) * STEPS + step) as usize
}

/// The shortest time of a class, ns; of none that there is: where the last begins.
pub fn class_begins(class: usize) -> u64 {
    let Some(nth) = class.min(CLASSES - 1).checked_sub(1) else { return 0 };
    let (log, step) = (SHORTEST_LOG + nth as u32 / STEPS, nth as u64 % STEPS as u64);
    (STEPS as u64 + step) << (log - STEP_BITS)
}

/// The shortest time that is too long for a class, ns; None: there is none.
pub fn class_ends(class: usize) -> Option<u64> {
    (class + 1 < CLASSES).then(|| class_begins(class + 1))
}
