//! Functions and lines of the addresses on a stack.

use super::SourceLine;
use super::stacks::{Libraries, StackFrame};
use crate::dwarf::{CodePlace, Program, function_symbol};
use crate::target::{Avma, Image, Svma};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;

/// Functions kept of one stack, the innermost.
const MAX_FUNCTIONS: usize = 256;
/// Addresses whose functions are remembered.
const MAX_KNOWN: usize = 1 << 14;

/// One function on a stack.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CodeFrame {
    /// None where nothing names it.
    pub function: Option<Arc<str>>,
    pub line: Option<SourceLine>,
    pub inlined: bool,
    pub own_code: bool,
}

/// What names the code of a process.
pub(super) struct CodeSource<'c> {
    pub image: &'c Image,
    pub program: &'c Program<'static>,
    pub main: &'c [u8],
    pub debug: Option<&'c [u8]>,
    pub user_crates: &'c [String],
    pub libraries: &'c Libraries,
}

/// Names that were looked up, for the next time.
#[derive(Debug, Default)]
pub(super) struct CodeNames {
    known: HashMap<Avma, Arc<[CodeFrame]>>,
}

impl CodeNames {
    /// Innermost first.
    pub fn of(&mut self, source: &CodeSource<'_>, frames: &[StackFrame]) -> Box<[CodeFrame]> {
        let mut all = Vec::new();
        for frame in frames {
            if all.len() >= MAX_FUNCTIONS {
                break;
            }
            all.extend_from_slice(&self.at(source, frame.code));
        }
        all.truncate(MAX_FUNCTIONS);
        all.into()
    }

    fn at(&mut self, source: &CodeSource<'_>, code: Avma) -> Arc<[CodeFrame]> {
        if let Some(known) = self.known.get(&code) {
            return known.clone();
        }
        let Some(stated) = source.image.to_svma(code) else {
            // A library may be unmapped, and another come to its place.
            return source.in_library(code).into_iter().collect();
        };
        let found: Arc<[CodeFrame]> = source.in_program(stated).into();
        if self.known.len() >= MAX_KNOWN {
            self.known.clear();
        }
        self.known.insert(code, found.clone());
        found
    }
}

impl CodeSource<'_> {
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
