//! The maps. Sizes given here are placeholders where user space sets its own before it creates them.

use super::memory::put;
use async_inspect_ebpf::{Account, COUNTERS, Config, Counter, Site, Target, Thread, WalkArm, WalkNode};
use aya_ebpf::{
    macros::map,
    maps::{Array, HashMap, PerCpuArray, RingBuf},
};
use core::intrinsics::{AtomicOrdering, atomic_xadd};

#[map]
pub static CONFIG: Array<Config> = Array::with_max_entries(1, 0);
#[map]
pub static SITES: Array<Site> = Array::with_max_entries(1, 0);
#[map]
pub static NODES: Array<WalkNode> = Array::with_max_entries(1, 0);
#[map]
pub static ARMS: Array<WalkArm> = Array::with_max_entries(1, 0);
/// Address of a vtable → node of the type it belongs to.
#[map]
pub static VTABLES: HashMap<u64, u32> = HashMap::with_max_entries(1, 0);
/// Address of a poll function → its site.
#[map]
pub static POLLS: HashMap<u64, u32> = HashMap::with_max_entries(1, 0);
#[map]
pub static THREADS: HashMap<u64, Thread> = HashMap::with_max_entries(1, 0);
/// By the address of a task's header.
#[map]
pub static TASKS: HashMap<u64, Account> = HashMap::with_max_entries(1, 0);
/// All zeros, never written: what a new thread's entry starts from (it is larger than the stack).
#[map]
static BLANK_THREAD: Array<Thread> = Array::with_max_entries(1, 0);
#[map]
pub static EVENTS: RingBuf = RingBuf::with_byte_size(4096, 0);
/// Of wakes and spawns, apart so that a storm of them costs no place in a task's history.
#[map]
pub static CAUSES: RingBuf = RingBuf::with_byte_size(4096, 0);
#[map]
static TARGET: Array<Target> = Array::with_max_entries(1, 0);
#[map]
static TALLY: PerCpuArray<u64> = PerCpuArray::with_max_entries(COUNTERS, 0);

/// Atomic although per-cpu: one program may be preempted by another on the same cpu. The intrinsic, because
/// `AtomicU64::fetch_add` is compiled only where compare-and-swap exists, and this target is said to have none.
#[inline(always)]
pub fn count(counter: Counter) {
    add(counter, 1);
}

#[inline(always)]
pub fn add(counter: Counter, by: u64) {
    if let Some(tally) = TALLY.get_ptr_mut(counter as u32) {
        add_to(tally, by);
    }
}

/// Adds to an aligned u64 of a map value, atomically.
#[inline(always)]
pub fn add_to(sum: *mut u64, by: u64) {
    // SAFETY: as said; the verifier checks it.
    unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(sum, by) };
}

/// Whether a poll that took so long is to be told at once.
#[inline(always)]
pub fn is_long(took_ns: u64) -> bool {
    let long_us = CONFIG.get(0).map_or(0, |config| config.long_us);
    long_us != 0 && took_ns > long_us as u64 * 1000
}

/// [`Config::epoch`]
#[inline(always)]
pub fn epoch() -> u32 {
    CONFIG.get(0).map_or(0, |config| config.epoch)
}

/// The entry of the thread with this key, which runs; made now, since there is none. None when the map is full.
#[inline(always)]
pub fn new_thread(key: u64, tid: u32) -> Option<*mut Thread> {
    let blank = BLANK_THREAD.get(0)?;
    THREADS.insert(key, blank, 0).ok()?;
    let thread = THREADS.get_ptr_mut(key)?;
    put!((*thread).tid, tid);
    if let Some(target) = TARGET.get_ptr_mut(0) {
        put!((*target).tgid, (key >> 32) as u32);
    }
    Some(thread)
}

#[inline(always)]
pub fn target() -> Option<*mut Target> {
    TARGET.get_ptr_mut(0)
}
