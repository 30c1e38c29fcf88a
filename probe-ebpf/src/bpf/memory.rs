//! Access to map values in the way the verifier digests best: what is stored is forgotten.
//!
//! The verifier follows a program along every combination of values that registers can have, and LLVM likes to
//! keep values in registers. A poll would be verified anew for each depth of nesting, each outcome of each read,
//! each length of a path. So state goes through memory, volatile: once it is there, the combinations are one.

use super::bounds::{below_8, below_32};
use async_inspect_ebpf::{Frame, MAX_ARMS, Path, Thread};

/// Reads a field behind a raw pointer to a map value.
macro_rules! get {
    ($place:expr) => {
        // SAFETY: the pointer is to a map value that lives as long as the program runs.
        unsafe { (&raw const $place).read_volatile() }
    };
}

/// Writes one.
macro_rules! put {
    ($place:expr, $value:expr) => {{
        let value = $value;
        // SAFETY: the pointer is to a map value that lives as long as the program runs.
        unsafe { (&raw mut $place).write_volatile(value) }
    }};
}

pub(super) use {get, put};

/// The `nth` frame of a thread, `nth` taken below MAX_NESTING.
#[inline(always)]
pub fn frame(thread: *mut Thread, nth: u32) -> *mut Frame {
    // SAFETY: `thread` is a map value, and the index is within the array.
    unsafe { (&raw mut (*thread).frames).cast::<Frame>().add(below_8(nth as usize)) }
}

/// Makes a path empty.
#[inline(always)]
pub fn clear_path(path: *mut Path) {
    put!((*path).hash, 0);
    put!((*path).len, 0);
    put!((*path).flags, 0);
}

const WORDS: usize = size_of::<Path>() / 8;

#[inline(always)]
pub fn copy_path(from: *const Path, to: *mut Path) {
    for i in 0..WORDS {
        // SAFETY: both lie in map values.
        unsafe { to.cast::<u64>().add(i).write_volatile(from.cast::<u64>().add(i).read_volatile()) };
    }
}

/// Copies the arms of a path behind the thread's event, from the `at`th place on; places behind them are
/// overwritten.
#[inline(always)]
pub fn append_arms(thread: *mut Thread, at: u32, path: *const Path) {
    // SAFETY: `thread` and `path` lie in map values; `at` is at most MAX_ARMS, so that MAX_ARMS arms fit.
    unsafe {
        let to = (&raw mut (*thread).event_arms).cast::<u32>().add(below_32(at as usize).min(MAX_ARMS));
        let from = (&raw const (*path).arms).cast::<u32>();
        for i in 0..MAX_ARMS {
            to.add(i).write_volatile(from.add(i).read_volatile());
        }
    }
}
