//! What threads compute in polls that take long: a clock for each of these threads, and what its program writes → samples.
//!
//! A clock is set when a poll has lasted for a while, and taken away when it is over. It strikes only while its thread runs. So it
//! costs nothing where polls are short: neither other CPUs and programs, which a clock on each CPU would interrupt, nor a thread that
//! sleeps and wakes all the time, whose clock the kernel would set each time that it switches to it (`perf_event_context_sched_in` in
//! kernel/events/core.c).

use super::object::Programs;
use super::{OffCpu, TraceError};
use crate::decode::TaskId;
use crate::dwarf::Registers;
use crate::sys::bpf::{self, AttachType};
use crate::target::{Avma, StackCopy};
use async_inspect_ebpf::{Registers as Kept, Sample};
use aya::maps::{MapData, RingBuf};
use gimli::X86_64;
use std::collections::{HashMap, HashSet};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use zerocopy::FromBytes;

/// 99 times a second: not in step with what runs a hundred times a second.
const PERIOD_NS: u64 = 1_000_000_000 / 99;
/// Clocks at a time. Each is an open file.
const MOST: usize = 256;
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

/// None, with a note, where there cannot be any.
pub(super) fn clocks(programs: &Programs, notes: &mut Vec<String>) -> Option<Arc<Clocks>> {
    let unwatched =
        |error: &TraceError| format!("what threads compute in long polls is not looked at: {error}");
    Clocks::new(programs).inspect_err(|error| notes.push(unwatched(error))).ok().map(Arc::new)
}

/// # Errors
/// What the kernel says.
pub(super) fn load(programs: &Programs) -> Result<OwnedFd, TraceError> {
    programs.load("ticked", AttachType::Clock)
}

/// Clocks of threads, set by who looks at polls under way, and stopped by who takes the probes out: without these nothing tells
/// when a poll is over.
#[derive(Debug)]
pub(super) struct Clocks {
    program: OwnedFd,
    /// None while they are stopped.
    set: Mutex<Option<Set>>,
}

#[derive(Debug)]
struct Set {
    /// It never strikes. While the kernel has no event of any thread, the first one waits until all CPUs know that there are such
    /// (`account_event` in kernel/events/core.c): 8 to 15 ms here, and 20 µs with this one.
    _stopped: OwnedFd,
    /// By thread.
    threads: HashMap<u32, OwnedFd>,
}

impl Clocks {
    /// # Errors
    /// What the kernel says to the program, and to a clock of ours.
    fn new(programs: &Programs) -> Result<Clocks, TraceError> {
        let clocks = Clocks { program: load(programs)?, set: Mutex::new(None) };
        clocks.go_on()?;
        Ok(clocks)
    }

    /// # Errors
    /// What the kernel says.
    pub fn go_on(&self) -> Result<(), TraceError> {
        let stopped = bpf::link_stopped_clock(self.program.as_fd(), PERIOD_NS);
        let _stopped = stopped.map_err(|error| TraceError::from_io("set clocks", error))?;
        *self.set.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Set { _stopped, threads: HashMap::new() });
        Ok(())
    }

    /// Takes all away; none is set until they go on.
    pub fn stop(&self) {
        self.set.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Has these threads have one each, as far as there may be so many, and no others. One that has just ended gets none.
    pub fn only(&self, tids: &HashSet<u32>) {
        let mut set = self.set.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Set { threads, .. }) = &mut *set else { return };
        threads.retain(|tid, _| tids.contains(tid));
        for tid in tids {
            if threads.len() >= MOST {
                break;
            }
            if !threads.contains_key(tid)
                && let Ok(clock) = bpf::link_thread_clock(self.program.as_fd(), *tid, PERIOD_NS)
            {
                threads.insert(*tid, clock);
            }
        }
    }
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
