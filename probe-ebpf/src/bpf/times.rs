//! Histograms of what polls take and of what their tasks wait for them, by kind of task and place where the poll began.
//!
//! Not by task: of a million tasks that would be a gigabyte. Not per cpu: see [`super::maps::count`].

use super::{
    accounts,
    bounds::below_128,
    maps::{OTHER_TIMES, TIMES, TIMES_KEYS, add_to},
    memory::{get, put},
    slots::{find, settle, take},
};
use async_inspect_ebpf::{
    EVENT_WALKED, Frame, PATH_BROKEN, SHARDS, Thread, Times, class_of, times_key, times_slot,
};
use core::intrinsics::{AtomicOrdering, atomic_xadd};

/// A poll ended that took so long; its task had been idle for so long.
#[inline(always)]
pub fn poll_ended(thread: *mut Thread, old: *mut Frame, took_ns: u64, idle_ns: u64) {
    let is_walked = get!((*old).flags) & EVENT_WALKED as u32 != 0;
    let is_broken = is_walked && get!((*old).path.flags) & PATH_BROKEN != 0;
    let path = if is_broken { 0 } else { get!((*old).path.hash) };
    let Some(times) = of(thread, get!((*old).site), path) else { return };
    // SAFETY: only addresses in the map value are made here.
    let (counts, sum, max) =
        unsafe { (&raw mut (*times).polls, &raw mut (*times).busy_ns, &raw mut (*times).busy_max_ns) };
    add(counts.cast(), sum, max, took_ns);
    if idle_ns != 0 {
        // SAFETY: as above.
        add_to(unsafe { &raw mut (*times).idle_ns }, idle_ns);
    }
    if let Some(delay_ns) = accounts::delay(get!((*old).woken_ns), get!((*old).start_ns)) {
        add_delay(times, delay_ns);
    }
}

/// A poll began so long after its task was woken for it; its end will not be seen.
#[inline(always)]
pub fn poll_began(thread: *mut Thread, site: u32, path: u64, delay_ns: u64) {
    if let Some(times) = of(thread, site, path) {
        add_delay(times, delay_ns);
    }
}

#[inline(always)]
fn add_delay(times: *mut Times, delay_ns: u64) {
    // SAFETY: only addresses in the map value are made here.
    let (counts, sum, max) =
        unsafe { (&raw mut (*times).delays, &raw mut (*times).delay_ns, &raw mut (*times).delay_max_ns) };
    add(counts.cast(), sum, max, delay_ns);
}

/// The histogram of polls of this kind that began there. Where there is no room for another, that of the kind's other places.
#[inline(always)]
fn of(thread: *mut Thread, site: u32, path: u64) -> Option<*mut Times> {
    let shard = get!((*thread).tid) & (SHARDS - 1);
    let key = times_key(site, shard, path);
    if let Some(slot) = find(&TIMES_KEYS, key, times_slot) {
        return TIMES.get_ptr_mut(slot);
    }
    // Where two threads make one at once there are two, and user space adds them up.
    let Some(slot) = take(&TIMES_KEYS, key, times_slot) else { return OTHER_TIMES.get_ptr_mut(site) };
    let times = TIMES.get_ptr_mut(slot)?;
    put!((*times).of.site, site);
    put!((*times).of.shard, shard);
    put!((*times).of.path, path);
    settle(&TIMES_KEYS, slot, key);
    Some(times)
}

/// One more of these, atomically but for the maximum.
#[inline(always)]
fn add(counts: *mut u32, sum: *mut u64, max: *mut u64, ns: u64) {
    // SAFETY: `counts` has as many places as the mask lets through; the verifier checks it.
    unsafe {
        let count = counts.add(below_128(class_of(ns)));
        atomic_xadd::<u32, u32, { AtomicOrdering::Relaxed }>(count, 1);
    }
    add_to(sum, ns);
    if ns > get!(*max) {
        put!(*max, ns);
    }
}
