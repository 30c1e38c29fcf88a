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
    for nth in 0..WINDOW {
        let slot = slot(key, nth);
        if read(keys, slot) == key {
            return Some(slot);
        }
    }
    None
}

/// A free slot for `key`, which stands nowhere: nobody else gets it, and nobody finds it before [`settle`]. None where there
/// is no room.
#[inline(always)]
pub fn take(keys: &Array<u64>, key: u64, slot: impl Fn(u64, u32) -> u32) -> Option<u32> {
    for nth in 0..WINDOW {
        let slot = slot(key, nth);
        if read(keys, slot) == FREE
            && let Some(place) = keys.get_ptr_mut(slot)
            && exchange(place, FREE, TAKEN)
        {
            return Some(slot);
        }
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
