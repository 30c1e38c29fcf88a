//! Tables with a slot for each key: where in them a key may stand.
//!
//! A hash map's lookup is a call into the kernel, 25 ns each, four of them for a poll; that of an array is three instructions
//! in place. And an array can be mapped, so that user space reads it without system calls.

use crate::walk_table::path_hash;

/// Slots for threads that poll: above tokio's 512 blocking threads per runtime.
pub const THREAD_SLOTS: u32 = 1 << 11;
/// Slots for tasks: twice as many as get an account for certain.
pub const TASK_SLOTS: u32 = 1 << 17;
/// Slots for histograms: one for each kind of task, place and shard.
pub const TIMES_SLOTS: u32 = 1 << 12;
/// A key stands in one of so many slots that follow one another, or nowhere.
pub const WINDOW: u32 = 8;

/// No key: the slot is free. Neither a thread nor a task has such a one.
pub const FREE: u64 = 0;
/// No key: the slot is being made ready for one.
pub const TAKEN: u64 = u64::MAX;

/// The slot that comes `nth` in the search for a thread; `key` as `bpf_get_current_pid_tgid` says it.
#[inline(always)]
pub fn thread_slot(key: u64, nth: u32) -> u32 {
    spread(key).wrapping_add(nth) & (THREAD_SLOTS - 1)
}

/// The slot that comes `nth` in the search for a task whose header stands at that address.
#[inline(always)]
pub fn task_slot(header: u64, nth: u32) -> u32 {
    spread(header).wrapping_add(nth) & (TASK_SLOTS - 1)
}

/// The key of a histogram. Of two different ones it is the same with a chance of 2^-63; paths are known by a hash as well.
#[inline(always)]
pub fn times_key(site: u32, shard: u32, path: u64) -> u64 {
    path_hash(path_hash(path, site), shard) | 1
}

/// The slot that comes `nth` in the search for a histogram.
#[inline(always)]
pub fn times_slot(key: u64, nth: u32) -> u32 {
    spread(key).wrapping_add(nth) & (TIMES_SLOTS - 1)
}

/// Fibonacci hashing: these bits depend on all of the key.
#[inline(always)]
fn spread(key: u64) -> u32 {
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32
}
