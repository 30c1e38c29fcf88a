//! What is copied of a thread that computes.

#[cfg(feature = "user")]
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bytes of stack that are copied of a thread that computes: from the red zone on to the poll's frame, or nothing where that is more.
pub const SAMPLED_STACK: usize = 32 << 10;
/// The ABI lets a leaf function use so much below its stack pointer.
pub const RED_ZONE: u64 = 128;

/// A thread that is on its CPU in a poll that takes long; a record of the ring buffer `SAMPLES`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Sample {
    /// CLOCK_MONOTONIC, ns, as `start_ns`.
    pub t_ns: u64,
    /// [`crate::Frame::start_ns`] of the poll, and what else is known of it.
    pub start_ns: u64,
    pub sp: u64,
    pub task: u64,
    /// Time off CPU in it up to now.
    pub blocked_ns: u64,
    pub preempted_ns: u64,
    /// The poll's samples up to this one: also those that found no room in the ring.
    pub nth: u64,
    pub site: u32,
    /// Thread, as its own PID namespace numbers it.
    pub tid: u32,
    /// Where `stack` begins in the target, and how much of it was read: all, up to the poll's frame, or nothing.
    pub stack_at: u64,
    pub stack_len: u64,
    /// What user space had in its registers; all 0 where they could not be read.
    pub registers: Registers,
    pub stack: [u8; SAMPLED_STACK],
}

/// As the kernel keeps them (`struct pt_regs` of x86-64 in arch/x86/include/asm/ptrace.h).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Registers {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub bp: u64,
    pub bx: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub ax: u64,
    pub cx: u64,
    pub dx: u64,
    pub si: u64,
    pub di: u64,
    pub orig_ax: u64,
    pub ip: u64,
    pub cs: u64,
    pub flags: u64,
    pub sp: u64,
    pub ss: u64,
}
