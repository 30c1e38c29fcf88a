//! What a thread is held up by: the system call that it sleeps in, and the functions that led there.
//!
//! The thread is not stopped. A thread that sleeps does not change its stack, so what was copied counts only if it slept in
//! the same call before and after.

use super::CodeFrame;
use super::code_names::{CodeNames, CodeSource};
use super::inspector::Inspector;
use super::stacks::{Libraries, StackFrame, ThreadStack, frames_up_to};
use super::system_calls::call_name;
use crate::dwarf::{Program, Registers};
use crate::target::{Avma, Image, Process, StackCopy, SystemCall, TargetError};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long code of a library that has just been mapped may stay unknown to [`Blockers::computing`].
const REFRESH: Duration = Duration::from_secs(1);

/// What [`Blockers::look`] found, before addresses are looked up, which may take a while.
#[derive(Clone, Debug)]
pub struct Asleep {
    call: Option<SystemCall>,
    /// Of the poll, innermost first.
    frames: Vec<StackFrame>,
}

/// Where a thread sleeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocker {
    /// None where it sleeps in none, or in one that has no name here.
    pub system_call: Option<Arc<str>>,
    /// Innermost first.
    pub stack: Box<[CodeFrame]>,
}

/// Looks at threads; on a thread of its own, beside an [`Inspector`].
#[derive(Debug)]
pub struct Blockers {
    process: Process,
    image: Image,
    program: &'static Program<'static>,
    main: &'static [u8],
    debug: Option<&'static [u8]>,
    user_crates: Vec<String>,
    libraries: Libraries,
    names: CodeNames,
    /// When it was last looked what is mapped.
    refreshed: Option<Instant>,
}

impl Blockers {
    /// # Errors
    /// As of [`Process::open`]; [`TargetError::Gone`] where another process has the number by now.
    pub fn beside(inspector: &Inspector) -> Result<Blockers, TargetError> {
        let pid = inspector.process.pid();
        let process = Process::open(pid)?;
        if process.key() != inspector.process.key() {
            return Err(TargetError::Gone { pid });
        }
        let model = &inspector.model;
        Ok(Blockers {
            process,
            image: inspector.image.clone(),
            program: model.program(),
            main: &model.files.main,
            debug: model.files.debug.as_ref().map(|located| &*located.bytes),
            user_crates: model.recipes.user_crates.clone(),
            libraries: Libraries::default(),
            names: CodeNames::default(),
            refreshed: None,
        })
    }

    /// What thread `tid` sleeps in. Of its stack, what was called since a function was entered with the stack pointer `sp`.
    /// `unchanged` is asked when all has been read. None where it does not sleep, or not all the time.
    pub fn look(&mut self, tid: u32, sp: Avma, unchanged: impl FnOnce() -> bool) -> Option<Asleep> {
        let before = self.process.thread_call(tid)?;
        // Stacks of threads that began since, and libraries.
        self.refresh()?;
        let (registers, call) = before;
        let main = (&self.image, self.main);
        let stack = ThreadStack::take(&self.process, registers, main, self.debug, &self.libraries);
        if self.process.thread_call(tid) != Some(before) || !unchanged() {
            return None;
        }
        let mut frames = stack.map(|stack| stack.frames).unwrap_or_default();
        // On entry the stack pointer is at the return address, just below the CFA.
        let inside = frames.iter().take_while(|frame| frame.cfa <= sp.offset(8)).count();
        frames.truncate(inside);
        Some(Asleep { call, frames })
    }

    fn refresh(&mut self) -> Option<()> {
        self.process.refresh_regions().ok()?;
        self.libraries.refresh(&self.process);
        self.refreshed = Some(Instant::now());
        Some(())
    }

    /// What a thread with this stack and these registers had called since a function was entered with the stack pointer `sp`,
    /// innermost first. Empty where the stack does not lead there.
    pub fn computing(&mut self, registers: Registers, stack: &StackCopy, sp: Avma) -> Box<[CodeFrame]> {
        if self.refreshed.is_none_or(|then| then.elapsed() > REFRESH) && self.refresh().is_none() {
            return Box::default();
        }
        let main = (&self.image, self.main);
        let frames = frames_up_to(sp, registers, stack, &self.libraries.unwind_infos(main, self.debug));
        self.named(&frames.unwrap_or_default())
    }

    /// How long a thread has run in all, ns.
    pub fn ran_ns(&self, tid: u32) -> Option<u64> {
        self.process.thread_ran_ns(tid)
    }

    /// Names what [`Blockers::look`] found.
    pub fn name(&mut self, asleep: &Asleep) -> Blocker {
        Blocker {
            system_call: asleep.call.and_then(|call| call_name(call.number)).map(Arc::from),
            stack: self.named(&asleep.frames),
        }
    }

    fn named(&mut self, frames: &[StackFrame]) -> Box<[CodeFrame]> {
        let source = CodeSource {
            image: &self.image,
            program: self.program,
            main: self.main,
            debug: self.debug,
            user_crates: &self.user_crates,
            libraries: &self.libraries,
        };
        self.names.of(&source, frames)
    }
}
