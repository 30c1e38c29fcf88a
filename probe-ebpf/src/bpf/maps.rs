//! The maps. Sizes given here are placeholders where user space sets its own before it creates them.

use async_inspect_ebpf::{
    Account, COUNTERS, Config, Counter, Site, TASK_SLOTS, THREAD_SLOTS, TIMES_SLOTS, Target, Thread, Times,
    WalkArm, WalkNode,
};
use aya_ebpf::{
    bindings::BPF_F_MMAPABLE,
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
/// The table of threads; see `slots`.
#[map]
pub static THREAD_KEYS: Array<u64> = Array::with_max_entries(THREAD_SLOTS, BPF_F_MMAPABLE);
#[map]
pub static THREADS: Array<Thread> = Array::with_max_entries(THREAD_SLOTS, BPF_F_MMAPABLE);
/// The table of tasks, by the address of the header.
#[map]
pub static TASK_KEYS: Array<u64> = Array::with_max_entries(TASK_SLOTS, BPF_F_MMAPABLE);
#[map]
pub static TASKS: Array<Account> = Array::with_max_entries(TASK_SLOTS, BPF_F_MMAPABLE);
/// The table of histograms, by kind of task and place; see `times_key`.
#[map]
pub static TIMES_KEYS: Array<u64> = Array::with_max_entries(TIMES_SLOTS, BPF_F_MMAPABLE);
#[map]
pub static TIMES: Array<Times> = Array::with_max_entries(TIMES_SLOTS, BPF_F_MMAPABLE);
/// By site: of polls at places that found no room in the table.
#[map]
pub static OTHER_TIMES: Array<Times> = Array::with_max_entries(1, BPF_F_MMAPABLE);
#[map]
pub static EVENTS: RingBuf = RingBuf::with_byte_size(4096, 0);
/// Of wakes and spawns, apart so that a storm of them costs no place in a task's history.
#[map]
pub static CAUSES: RingBuf = RingBuf::with_byte_size(4096, 0);
/// Stacks of threads that compute for long, apart because they are large.
#[map]
pub static SAMPLES: RingBuf = RingBuf::with_byte_size(4096, 0);
#[map]
static TARGET: Array<Target> = Array::with_max_entries(1, BPF_F_MMAPABLE);
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

#[inline(always)]
pub fn target() -> Option<*mut Target> {
    TARGET.get_ptr_mut(0)
}
