//! The programs' stack.

use core::arch::asm;

/// Keeps a program on its thread's own kernel stack.
///
/// Since Linux 6.13 a program of this type that uses 64 bytes of stack or more gets a *private* stack, one for
/// each cpu, because two runs of it on one cpu are thought to exclude each other. For uprobes they do not: a
/// thread may be preempted in the middle of one, and the next one on that cpu overwrites its stack. The kernel
/// then follows a pointer that is none; here 7.2 went down within seconds. A program with a tail call is exempt
/// (`check_max_stack_depth` in kernel/bpf/verifier.c, `has_tail_call`), and that is looked for before anything
/// is known to be dead. So this is a tail call that is never made: the verifier sees that, and removes it.
/// <https://github.com/torvalds/linux/commit/a76ab5731e32>
#[inline(always)]
pub fn not_per_cpu() {
    let never: u64;
    // SAFETY: sets a register. LLVM does not look into it, the verifier does.
    unsafe { asm!("{0} = 0", out(reg) never, options(nomem, nostack, preserves_flags)) };
    if never != 0 {
        // SAFETY: never reached. 12 is `bpf_tail_call`.
        unsafe {
            asm!("call 12", out("r0") _, out("r1") _, out("r2") _, out("r3") _, out("r4") _, out("r5") _);
        }
    }
}
