//! Bounds that the verifier sees.
//!
//! LLVM proves bounds in its own way and drops or moves the checks that the verifier would need, so the
//! index is masked by an instruction that LLVM does not look into.

use core::arch::asm;

macro_rules! masks {
    ($($name:ident, $mask:literal;)*) => {$(
        #[inline(always)]
        pub fn $name(index: usize) -> usize {
            let mut index = index as u64;
            // SAFETY: changes nothing but its own register.
            unsafe { asm!(concat!("{0} &= ", $mask), inout(reg) index, options(pure, nomem, nostack)) };
            index as usize
        }
    )*};
}

/// The word at `place`, which need not be aligned: the machines that these programs run on do not mind, but the target that
/// LLVM compiles for is thought to, and eight single bytes would be read.
///
/// # Safety
/// Eight bytes must be readable there.
#[inline(always)]
pub unsafe fn load_unaligned(place: *const u8) -> u64 {
    let word: u64;
    // SAFETY: the caller's word for it, which the verifier checks.
    unsafe { asm!("{0} = *(u64 *)({1} + 0)", out(reg) word, in(reg) place, options(readonly, nostack)) };
    word
}

masks! {
    below_8, 7;
    below_16, 15;
    below_32, 31;
    below_64, 63;
    below_128, 127;
    below_512, 511;
    below_32768, 32767;
}

const _: () = assert!(async_inspect_ebpf::MAX_NESTING == 8);
const _: () = assert!(async_inspect_ebpf::MAX_ARMS == 16);
const _: () = assert!(async_inspect_ebpf::BLOCK == 512);
const _: () = assert!(async_inspect_ebpf::SLOTS == 128);
const _: () = assert!(async_inspect_ebpf::SAMPLED_STACK == 32768);
