//! What threads compute in polls that take long: a clock on each CPU, and what its program writes → samples.
//!
//! A clock for each CPU rather than one for each thread of the target: threads come and go and would have to be followed, and the
//! kernel would set such a clock each time that it switches to the thread, which a task that sleeps and wakes all the time pays for
//! (`perf_event_context_sched_in` in kernel/events/core.c). These cost the same whatever the target does, and there are as many of
//! them as CPUs.

use super::object::Programs;
use super::{OffCpu, TraceError, attach::Links};
use crate::decode::TaskId;
use crate::dwarf::Registers;
use crate::sys::bpf::{self, AttachType};
use crate::target::{Avma, StackCopy};
use async_inspect_ebpf::{Registers as Kept, Sample};
use aya::maps::{MapData, RingBuf};
use gimli::X86_64;
use std::os::fd::AsFd;
use std::sync::Arc;
use zerocopy::FromBytes;

/// 99 times a second: not in step with what runs a hundred times a second.
const PERIOD_NS: u64 = 1_000_000_000 / 99;
/// CPU time that the target pays each time that a clock strikes, and more if its stack is copied then, ns. Not tried at start-up, for
/// too little of it would come together. On a virtual machine with Linux 6.18, where timers are dear, the interrupt took 9 to 15 µs and
/// the program 1 µs, 4 with a stack.
pub const TICK_NS: u64 = 15_000;
pub const SAMPLE_NS: u64 = 5_000;

/// A thread that was on its CPU in a poll that takes long.
#[derive(Clone, Debug)]
pub struct CpuSample {
    /// CLOCK_MONOTONIC, ns.
    pub t_ns: u64,
    /// As the user knows it.
    pub tid: u32,
    pub task: TaskId,
    /// The task's.
    pub name: Arc<str>,
    /// When the poll began; CLOCK_MONOTONIC, ns.
    pub since_ns: u64,
    /// The stack pointer when the poll function was entered.
    pub sp: Avma,
    /// Within the poll, up to then; None where it is not watched.
    pub off_cpu: Option<OffCpu>,
    /// The poll's samples up to this one: also those that were lost on the way.
    pub nth: u64,
    pub registers: Registers,
    /// From the stack pointer up to the poll's frame; None where it could not be read or is too much.
    pub stack: Option<StackCopy>,
}

/// Puts the clocks in; None, with a note, where that fails.
pub(super) fn watch(programs: &Programs, notes: &mut Vec<String>) -> Option<Links> {
    let unwatched =
        |error: &TraceError| format!("what threads compute in long polls is not looked at: {error}");
    attach(programs).inspect_err(|error| notes.push(unwatched(error))).ok()
}

/// A CPU that comes later has none.
///
/// # Errors
/// What the kernel says.
pub(super) fn attach(programs: &Programs) -> Result<Links, TraceError> {
    let program = programs.load("ticked", AttachType::Clock)?;
    let failed = |error| TraceError::from_io("set a clock on each CPU", error);
    let cpus = aya::util::online_cpus().map_err(|(_, error)| failed(error))?;
    let mut links = Links::default();
    for cpu in cpus {
        match bpf::link_cpu_clock(program.as_fd(), cpu, PERIOD_NS) {
            Ok(link) => links.add(link),
            // It has gone offline.
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(links)
}

/// What the program writes.
pub(super) struct Samples(RingBuf<MapData>);

impl Samples {
    /// # Errors
    /// As of [`Programs::map`].
    pub fn of(programs: &Programs) -> Result<Samples, TraceError> {
        programs.map("SAMPLES").map(Samples)
    }

    /// The next one, as `read` has it.
    pub fn next<T>(&mut self, read: impl FnOnce(&Sample) -> Option<T>) -> Option<Option<T>> {
        let bytes = self.0.next()?;
        Some(Sample::ref_from_prefix(&bytes).ok().and_then(|(sample, _)| read(sample)))
    }
}

/// Registers and stack.
pub(super) fn copied(sample: &Sample) -> (Registers, Option<StackCopy>) {
    let Kept { r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, ip, sp, .. } =
        sample.registers;
    let mut registers = Registers::at(Avma(ip), Avma(sp), Some(bp));
    for (register, value) in [
        (X86_64::RAX, ax),
        (X86_64::RBX, bx),
        (X86_64::RCX, cx),
        (X86_64::RDX, dx),
        (X86_64::RSI, si),
        (X86_64::RDI, di),
        (X86_64::R8, r8),
        (X86_64::R9, r9),
        (X86_64::R10, r10),
        (X86_64::R11, r11),
        (X86_64::R12, r12),
        (X86_64::R13, r13),
        (X86_64::R14, r14),
        (X86_64::R15, r15),
    ] {
        registers.set(register, Some(value));
    }
    let read = usize::try_from(sample.stack_len).ok().filter(|len| *len > 0);
    let stack = read.and_then(|len| sample.stack.get(..len));
    (registers, stack.map(|bytes| StackCopy::of(Avma(sample.stack_at), bytes.to_vec())))
}
