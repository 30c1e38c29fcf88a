//! What a thread is held up by: the system call that it sleeps in, and the functions that led there.
//!
//! The thread is not stopped. A thread that sleeps does not change its stack, so what was copied counts only if it slept in
//! the same call before and after.

use super::SourceLine;
use super::inspector::Inspector;
use super::stacks::{Libraries, StackFrame, ThreadStack};
use super::system_calls::call_name;
use crate::dwarf::{CodePlace, Program, function_symbol};
use crate::target::{Avma, Image, Process, Svma, SystemCall, TargetError};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;

/// Functions kept of one stack, the innermost.
const MAX_FUNCTIONS: usize = 256;
/// Addresses whose functions are remembered.
const MAX_KNOWN: usize = 1 << 14;

/// One function on a stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeFrame {
    /// None where nothing names it.
    pub function: Option<Arc<str>>,
    pub line: Option<SourceLine>,
    pub inlined: bool,
    pub own_code: bool,
}

/// The same before its addresses are looked up, which may take a while.
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
    known: HashMap<Avma, Arc<[CodeFrame]>>,
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
            known: HashMap::new(),
        })
    }

    /// What thread `tid` sleeps in. Of its stack, what was called since a function was entered with the stack pointer `sp`.
    /// `unchanged` is asked when all has been read. None where it does not sleep, or not all the time.
    pub fn look(&mut self, tid: u32, sp: Avma, unchanged: impl FnOnce() -> bool) -> Option<Asleep> {
        let before = self.process.thread_call(tid)?;
        // Stacks of threads that began since, and libraries.
        self.process.refresh_regions().ok()?;
        self.libraries.refresh(&self.process);
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

    /// How long a thread has run in all, ns.
    pub fn ran_ns(&self, tid: u32) -> Option<u64> {
        self.process.thread_ran_ns(tid)
    }

    /// Names what [`Blockers::look`] found.
    pub fn name(&mut self, asleep: &Asleep) -> Blocker {
        Blocker {
            system_call: asleep.call.and_then(|call| call_name(call.number)).map(Arc::from),
            stack: self.functions(&asleep.frames),
        }
    }

    fn functions(&mut self, frames: &[StackFrame]) -> Box<[CodeFrame]> {
        let mut all = Vec::new();
        for frame in frames {
            if all.len() >= MAX_FUNCTIONS {
                break;
            }
            all.extend_from_slice(&self.at(frame.code));
        }
        all.truncate(MAX_FUNCTIONS);
        all.into()
    }

    fn at(&mut self, code: Avma) -> Arc<[CodeFrame]> {
        if let Some(known) = self.known.get(&code) {
            return known.clone();
        }
        let found: Arc<[CodeFrame]> = match self.image.to_svma(code) {
            Some(stated) => self.in_program(stated).into(),
            None => self.in_library(code).into_iter().collect(),
        };
        // A library may be unmapped, and another come to its place.
        if self.image.to_svma(code).is_some() {
            if self.known.len() >= MAX_KNOWN {
                self.known.clear();
            }
            self.known.insert(code, found.clone());
        }
        found
    }

    fn in_program(&self, stated: Svma) -> Vec<CodeFrame> {
        let places = self.program.code_places(stated);
        if !places.is_empty() {
            return places.into_iter().map(|place| self.frame(place)).collect();
        }
        let symbol = function_symbol(self.main, stated)
            .or_else(|| self.debug.and_then(|debug| function_symbol(debug, stated)));
        vec![unplaced(symbol)]
    }

    fn in_library(&self, code: Avma) -> Option<CodeFrame> {
        let (image, bytes) = self.libraries.at(code)?;
        Some(unplaced(function_symbol(bytes, image.to_svma(code)?)))
    }

    fn frame(&self, place: CodePlace) -> CodeFrame {
        let CodePlace { function, line, inlined } = place;
        let start = function.trim_start_matches(['<', '&']);
        let of_crate =
            |name: &String| start.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with("::"));
        let own_file = line.as_ref().is_some_and(|(file, _)| self.program.is_own_code(file));
        let own_code = own_file || self.user_crates.iter().any(of_crate);
        let line = line.map(|(file, line)| SourceLine { file, line });
        CodeFrame { function: Some(function.into()), line, inlined, own_code }
    }
}

fn unplaced(symbol: Option<String>) -> CodeFrame {
    CodeFrame { function: symbol.map(Arc::from), line: None, inlined: false, own_code: false }
}
