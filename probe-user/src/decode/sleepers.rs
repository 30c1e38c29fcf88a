//! Threads that sleep: in which system call, and their stacks. On time: what the stack tells comes later ([`super::Blockers`]).
//!
//! The thread is not stopped. A thread that sleeps does not change its stack, so what was copied counts only if it slept in
//! the same call before and after.

use super::inspector::Inspector;
use crate::target::{Avma, Process, StackCopy, SystemCall, TargetError, ThreadRegisters};

/// What [`Sleepers::look`] found.
#[derive(Clone, Debug)]
pub struct Asleep {
    pub(super) call: Option<SystemCall>,
    pub(super) registers: ThreadRegisters,
    /// Up to the frame that was asked for; None where it could not be read.
    pub(super) stack: Option<StackCopy>,
    /// The stack pointer when that frame's function was entered.
    pub(super) sp: Avma,
}

impl Asleep {
    /// In bytes.
    pub fn stack_len(&self) -> usize {
        self.stack.as_ref().map_or(0, StackCopy::len)
    }
}

/// Looks at threads; on a thread of its own, beside an [`Inspector`].
#[derive(Debug)]
pub struct Sleepers {
    process: Process,
}

impl Sleepers {
    /// # Errors
    /// As of [`Process::open`]; [`TargetError::Gone`] where another process has the number by now.
    pub fn beside(inspector: &Inspector) -> Result<Sleepers, TargetError> {
        Ok(Sleepers { process: inspector.process.again()? })
    }

    /// What thread `tid` sleeps in. Of its stack, what was called since a function was entered with the stack pointer `sp`.
    /// `unchanged` is asked when all has been read. None where it does not sleep, or not all the time.
    pub fn look(&mut self, tid: u32, sp: Avma, unchanged: impl FnOnce() -> bool) -> Option<Asleep> {
        let before = self.process.thread_call(tid)?;
        // Stacks of threads that began since.
        self.process.refresh_regions().ok()?;
        let (registers, call) = before;
        // With the return address.
        let stack = StackCopy::take_up_to(&self.process, registers.sp, sp.offset(8));
        if self.process.thread_call(tid) != Some(before) || !unchanged() {
            return None;
        }
        Some(Asleep { call, registers, stack, sp })
    }

    /// How long a thread has run in all, ns.
    pub fn ran_ns(&self, tid: u32) -> Option<u64> {
        self.process.thread_ran_ns(tid)
    }
}
