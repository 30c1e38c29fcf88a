//! Finding a key's slot, and taking one for a new key.
//!
//! A table is two arrays: keys close together, so that a search stays in a line of the cache and user space sees quickly which
//! slots are in use, and the values.

use async_inspect_ebpf::{FREE, TAKEN, WINDOW};
use aya_ebpf::maps::Array;
use core::arch::asm;

/// The slot where `key` stands.
#[inline(always)]
pub fn find(keys: &Array<u64>, key: u64, slot: impl Fn(u64, u32) -> u32) -> Option<u32> {
    let mut nth = 0;
    while nth < WINDOW as u64 {
        let slot = slot(key, nth as u32);
        if read(keys, slot) == key {
            return Some(slot);
        }
        nth = next(nth);
    }
    None
}

/// A free slot for `key`, which stands nowhere: nobody else gets it, and nobody finds it before [`settle`]. None where there
/// is no room.
#[inline(always)]
pub fn take(keys: &Array<u64>, key: u64, slot: impl Fn(u64, u32) -> u32) -> Option<u32> {
    let mut nth = 0;
    while nth < WINDOW as u64 {
        let slot = slot(key, nth as u32);
        if read(keys, slot) == FREE
            && let Some(place) = keys.get_ptr_mut(slot)
            && exchange(place, FREE, TAKEN)
        {
            return Some(slot);
        }
        nth = next(nth);
    }
    None
}

/// From now on `key` stands in a slot that was taken for it.
#[inline(always)]
pub fn settle(keys: &Array<u64>, slot: u32, key: u64) {
    if let Some(place) = keys.get_ptr_mut(slot) {
        // SAFETY: the place is in the map.
        unsafe { place.write_volatile(key) };
    }
}

/// One more, in a way that LLVM does not look into: it would unroll the search, with a place on the stack for each slot.
#[inline(always)]
fn next(nth: u64) -> u64 {
    let mut nth = nth;
    // SAFETY: changes nothing but its own register.
    unsafe { asm!("{0} += 1", inout(reg) nth, options(pure, nomem, nostack)) };
    nth
}

#[inline(always)]
fn read(keys: &Array<u64>, slot: u32) -> u64 {
    // SAFETY: the place is in the map.
    keys.get_ptr(slot).map_or(TAKEN, |place| unsafe { place.read_volatile() })
}

/// Puts `new` where `old` stands; false where something else does. In assembly, because LLVM's plainest BPF machine, for which
/// these programs are compiled, knows no such instruction; Linux does since 5.12.
#[inline(always)]
fn exchange(place: *mut u64, old: u64, new: u64) -> bool {
    let found: u64;
    // SAFETY: the place is an aligned word in a map; the instruction changes nothing but it and r0.
    unsafe {
        asm!(
            "r0 = cmpxchg_64({place} + 0, r0, {new})",
            place = in(reg) place,
            new = in(reg) new,
            inout("r0") old => found,
            options(nostack)
        );
    }
    found == old
}
