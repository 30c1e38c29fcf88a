//! The stacks of threads that sleep: copied and unwound, while the threads go on.

use crate::dwarf::{Registers, UnwindInfo};
use crate::target::{Avma, Bytes, Image, Memory, StackCopy, Subject, ThreadPlace, ThreadRegisters};

/// Deeper stacks are cut.
const MAX_FRAMES: usize = 1024;
/// Threads beyond these are not looked at.
const MAX_THREADS: usize = 4096;
/// The kernel's is of two pages.
const MAX_VDSO: u64 = 1 << 16;
/// A thread that is awake, or wakes while its stack is copied, is looked at so often.
const ATTEMPTS: usize = 3;

/// One frame: a function that has not returned.
#[derive(Clone, Copy, Debug)]
pub struct StackFrame {
    /// An address inside of the instruction that is being executed: the call's last byte, but for the innermost frame.
    pub code: Avma,
    pub registers: Registers,
    /// What the stack pointer was before the function was called.
    pub cfa: Avma,
}

#[derive(Clone, Debug)]
pub struct ThreadStack {
    pub registers: ThreadRegisters,
    pub copy: StackCopy,
    /// Innermost first.
    pub frames: Vec<StackFrame>,
    /// The outermost frame was reached.
    pub whole: bool,
}

#[derive(Debug, Default)]
pub struct Stacks {
    pub asleep: Vec<ThreadStack>,
    /// Threads that did not sleep while we looked.
    pub running: Vec<u32>,
}

/// The other images whose code is on stacks: libc, the loader, shared libraries, and what the kernel itself maps (`[vdso]`), where a
/// thread that looks at a clock is.
#[derive(Debug, Default)]
pub struct Libraries {
    opened: Vec<(Image, Bytes)>,
    /// Start and inode of each mapped piece of code when they were opened.
    mapped: Vec<(Avma, u64)>,
}

impl Libraries {
    /// Opens them anew where code was mapped or unmapped since.
    pub fn refresh(&mut self, process: &impl Subject) {
        // Of what a core file leaves out it does not tell whether it is code.
        let code = process.regions().iter().filter(|r| !r.writable && r.inode != 0);
        let mapped: Vec<_> = code.map(|r| (r.start, r.inode)).collect();
        if mapped != self.mapped {
            let open = |image: Image| Some((Bytes::open(&image.open().ok()?, &image.path).ok()?, image));
            self.opened = process.other_images().into_iter().filter_map(open).map(|(b, i)| (i, b)).collect();
            self.opened.extend(vdso(process));
            self.mapped = mapped;
        }
    }
}

fn vdso(process: &impl Subject) -> Option<(Image, Bytes)> {
    let region = process.regions().iter().find(|r| r.path == "[vdso]" && r.len() <= MAX_VDSO)?;
    let mut bytes = vec![0; usize::try_from(region.len()).ok()?];
    process.read(region.start, &mut bytes).ok()?;
    Some((Image::of_region(region, &bytes)?, bytes.into()))
}

impl Libraries {
    pub(super) fn unwind_infos<'i>(
        &'i self,
        main: (&'i Image, &'i [u8]),
        debug: Option<&'i [u8]>,
    ) -> Vec<(&'i Image, UnwindInfo<'i>)> {
        let others = self.opened.iter().map(|(image, bytes)| (image, UnwindInfo::of(bytes, None)));
        let all = std::iter::once((main.0, UnwindInfo::of(main.1, debug))).chain(others);
        all.filter_map(|(image, info)| Some((image, info?))).collect()
    }

    /// The file whose code is at this address, with its bytes.
    pub fn at(&self, code: Avma) -> Option<(&Image, &[u8])> {
        let found = self.opened.iter().find(|(image, _)| image.to_svma(code).is_some());
        found.map(|(image, bytes)| (image, &**bytes))
    }
}

/// The frames of a stack that was copied with all registers, innermost first, up to the one that was entered with the stack pointer
/// `sp`. None where it does not lead there: then nothing is certain of the others either. The thread runs on: only the copy is read.
pub(super) fn frames_up_to(
    sp: Avma,
    registers: Registers,
    copy: &StackCopy,
    images: &[(&Image, UnwindInfo<'_>)],
) -> Option<Vec<StackFrame>> {
    // On entry the stack pointer is at the return address, just below the CFA.
    let outermost = sp.offset(8);
    let (mut frames, mut registers, mut exact) = (Vec::new(), registers, true);
    while frames.len() < MAX_FRAMES {
        let (frame, caller, interrupted) = one_step(registers, exact, &|at| copy.word(at), images)?;
        frames.push(frame);
        if frame.cfa >= outermost {
            return (frame.cfa == outermost).then_some(frames);
        }
        // Each frame lies above the last.
        if registers.sp().is_none_or(|sp| frame.cfa <= sp) {
            return None;
        }
        (registers, exact) = (caller?, interrupted);
    }
    None
}

/// The frame with these registers, those of its caller, and whether that was interrupted. `exact`: the program counter is where it
/// goes on, and not behind a call.
fn one_step(
    registers: Registers,
    exact: bool,
    word: &dyn Fn(Avma) -> Option<u64>,
    images: &[(&Image, UnwindInfo<'_>)],
) -> Option<(StackFrame, Option<Registers>, bool)> {
    let pc = registers.pc()?;
    // What follows a call that never returns may be another function's.
    let code = if exact { pc } else { pc.offset(1u64.wrapping_neg()) };
    let found = images.iter().find_map(|(image, info)| Some((image, info, image.to_svma(code)?)));
    let (image, info, stated) = found?;
    let step = info.step(&registers, stated, image.bias, word)?;
    Some((StackFrame { code, registers, cfa: step.cfa }, step.caller, step.interrupted))
}

impl Stacks {
    /// `main` is the program and its bytes, `debug` those of the file with its debug information.
    pub fn take(
        process: &impl Subject,
        main: (&Image, &[u8]),
        debug: Option<&[u8]>,
        libraries: &Libraries,
    ) -> Stacks {
        let images = libraries.unwind_infos(main, debug);
        let mut stacks = Stacks::default();
        for tid in process.tids().into_iter().take(MAX_THREADS) {
            match copied(process, tid) {
                Ok((registers, copy)) => {
                    let mut stack = ThreadStack { registers, copy, frames: Vec::new(), whole: false };
                    stack.unwind(process, &images);
                    stacks.asleep.push(stack);
                }
                Err(ThreadPlace::Running) => stacks.running.push(tid),
                Err(_) => {}
            }
        }
        stacks
    }
}

/// A stack that its thread did not use while it was copied.
fn copied(process: &impl Subject, tid: u32) -> Result<(ThreadRegisters, StackCopy), ThreadPlace> {
    let mut last = ThreadPlace::Unknown;
    for _ in 0..ATTEMPTS {
        last = process.thread_place(tid);
        if let ThreadPlace::Asleep(registers) = last
            && let Some(copy) = StackCopy::take(process, registers.sp)
        {
            last = process.thread_place(tid);
            if last == ThreadPlace::Asleep(registers) {
                return Ok((registers, copy));
            }
            // It woke in between.
            last = ThreadPlace::Running;
        }
        std::thread::yield_now();
    }
    Err(last)
}

impl ThreadStack {
    /// A word of the target: of the copy where that has it.
    pub fn word<M: Memory + ?Sized>(&self, memory: &M, at: Avma) -> Option<u64> {
        self.copy.word(at).or_else(|| memory.read_u64(at).ok())
    }

    fn unwind<M: Memory>(&mut self, memory: &M, images: &[(&Image, UnwindInfo<'_>)]) {
        (self.frames, self.whole) = unwound(self.registers, &|at| self.word(memory, at), images);
    }
}

/// The frames of a thread that sleeps with these registers, innermost first, and whether the outermost one was reached.
pub(super) fn unwound(
    ThreadRegisters { pc, sp, bp, .. }: ThreadRegisters,
    word: &dyn Fn(Avma) -> Option<u64>,
    images: &[(&Image, UnwindInfo<'_>)],
) -> (Vec<StackFrame>, bool) {
    let (mut frames, mut registers, mut exact) = (Vec::new(), Registers::at(pc, sp, bp), true);
    while frames.len() < MAX_FRAMES {
        let Some((frame, caller, interrupted)) = one_step(registers, exact, word, images) else { break };
        frames.push(frame);
        let Some(caller) = caller else { return (frames, true) };
        // The caller's frame lies above; but for a signal's, which may come on a stack of its own.
        if !interrupted && registers.sp().is_none_or(|sp| frame.cfa <= sp) {
            break;
        }
        (registers, exact) = (caller, interrupted);
    }
    (frames, false)
}
