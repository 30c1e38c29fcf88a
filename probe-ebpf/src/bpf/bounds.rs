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

masks! {
    below_8, 7;
    below_16, 15;
    below_32, 31;
    below_64, 63;
    below_512, 511;
}

const _: () = assert!(async_inspect_ebpf::MAX_NESTING == 8);
const _: () = assert!(async_inspect_ebpf::MAX_ARMS == 16);
const _: () = assert!(async_inspect_ebpf::BLOCK == 512);
