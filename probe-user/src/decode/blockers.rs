//! What a thread is held up by: the system call that it sleeps in, and the functions that led there; or those that compute.
//!
//! Of stacks that were copied before: to follow them, and to look functions and lines up, may take a while.

use super::CodeFrame;
use super::code_names::{CodeNames, CodeSource};
use super::inspector::Inspector;
use super::sleepers::Asleep;
use super::stacks::{Libraries, StackFrame, frames_up_to, unwound};
use super::system_calls::call_name;
use crate::dwarf::{Program, Registers};
use crate::target::{Avma, Image, Memory as _, Process, StackCopy, TargetError, region_of};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long code of a library that has just been mapped may stay unknown to [`Blockers::computing`].
const REFRESH: Duration = Duration::from_secs(1);

/// Where a thread sleeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocker {
    /// None where it sleeps in none, or in one that has no name here.
    pub system_call: Option<Arc<str>>,
    /// Innermost first.
    pub stack: Box<[CodeFrame]>,
}

/// Follows stacks and names what is on them; on a thread of its own, beside an [`Inspector`].
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
        let model = &inspector.model;
        Ok(Blockers {
            process: inspector.process.again()?,
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

    /// Where a thread slept; its call alone unless the stack is followed.
    pub fn asleep(&mut self, asleep: &Asleep, follow: bool) -> Blocker {
        let system_call = asleep.call.and_then(|call| call_name(call.number)).map(Arc::from);
        let Some(stack) = asleep.stack.as_ref().filter(|_| follow) else {
            return Blocker { system_call, stack: Box::default() };
        };
        self.refresh(Duration::ZERO);
        let images = self.libraries.unwind_infos((&self.image, self.main), self.debug);
        let word = |at| stack.word(at).or_else(|| self.constant(at));
        let (mut frames, _) = unwound(asleep.registers, &word, &images);
        // On entry the stack pointer is at the return address, just below the CFA.
        let inside = frames.iter().take_while(|frame| frame.cfa <= asleep.sp.offset(8)).count();
        frames.truncate(inside);
        Blocker { system_call, stack: self.named(&frames) }
    }

    /// A word of code or constants. What else is beside the stack's copy may have changed since.
    fn constant(&self, at: Avma) -> Option<u64> {
        region_of(self.process.regions(), at).filter(|region| !region.writable)?;
        self.process.read_u64(at).ok()
    }

    /// What a thread with this stack and these registers had called since a function was entered with the stack pointer `sp`,
    /// innermost first. Empty where the stack does not lead there.
    pub fn computing(&mut self, registers: Registers, stack: &StackCopy, sp: Avma) -> Box<[CodeFrame]> {
        self.refresh(REFRESH);
        let images = self.libraries.unwind_infos((&self.image, self.main), self.debug);
        let frames = frames_up_to(sp, registers, stack, &images);
        self.named(&frames.unwrap_or_default())
    }

    /// Looks what is mapped, unless that was done within `age`. A process that has ended has nothing mapped: what it had last stays
    /// known, for stacks that were copied before.
    fn refresh(&mut self, age: Duration) {
        let is_recent = self.refreshed.is_some_and(|then| then.elapsed() < age);
        if !is_recent && self.process.refresh_regions().is_ok() && !self.process.regions().is_empty() {
            self.libraries.refresh(&self.process);
            self.refreshed = Some(Instant::now());
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
