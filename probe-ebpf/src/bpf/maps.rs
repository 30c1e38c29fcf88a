//! The maps. Sizes given here are placeholders where user space sets its own before it creates them.

use async_inspect_ebpf::{COUNTERS, Config, Counter, Site, Thread, WalkArm, WalkNode};
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
#[map]
pub static THREADS: HashMap<u32, Thread> = HashMap::with_max_entries(1, 0);
/// All zeros, never written: what a new thread's entry starts from (it is larger than the stack).
#[map]
static BLANK_THREAD: Array<Thread> = Array::with_max_entries(1, 0);
#[map]
pub static EVENTS: RingBuf = RingBuf::with_byte_size(4096, 0);
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
        // SAFETY: a pointer to an aligned u64 of the map.
        unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(tally, by) };
    }
}

/// The entry of a thread, made on first sight; None when the map is full.
#[inline(always)]
pub fn thread(tid: u32) -> Option<*mut Thread> {
    if let Some(thread) = THREADS.get_ptr_mut(tid) {
        return Some(thread);
    }
    let blank = BLANK_THREAD.get(0)?;
    THREADS.insert(tid, blank, 0).ok()?;
    THREADS.get_ptr_mut(tid)
}
