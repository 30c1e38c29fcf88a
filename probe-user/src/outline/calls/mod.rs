//! Who calls whom, by the code of bodies: coroutines, and the user's own functions between them.
//!
//! A call through functions of others (`Option::map`, `serde_json::to_string`) is one of whoever called those. Left out, as the
//! code does not tell it: calls through pointers and trait objects; and where the compiler folded equal functions, all but
//! the one that gave its name.

mod body;
mod edges;
mod reach;

use super::Coroutines;
use crate::decode::{Recipes, SourceLine};
use crate::dwarf::{Calls, Class, DieRef, Wanted};
use crate::runtime::{BlockingCall, HandOver};
use body::Bodies;
pub use edges::add;
use std::sync::Arc;

/// A coroutine or a function of the user's own that calls or is called.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Body {
    /// Index in [`Coroutines::list`].
    Coroutine(usize),
    Sync {
        name: Arc<str>,
        place: Option<SourceLine>,
    },
}

/// What a function is given to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handed {
    /// Number in [`CodeCalls::bodies`] of who gives it.
    pub from: usize,
    pub how: HandOver,
    /// The generic argument's type.
    pub what: DieRef,
    pub place: Option<SourceLine>,
}

/// A call that may block its thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocks {
    pub from: usize,
    pub call: BlockingCall,
    pub place: Option<SourceLine>,
    /// The function of a dependency that makes the call, where it is none of the user's own; empty where it was inlined.
    pub by: Option<String>,
}

/// What the code of bodies does.
#[derive(Clone, Debug, Default)]
pub struct CodeCalls {
    pub bodies: Vec<Body>,
    /// From, to, and where. Sorted, each once. Not of what only makes or polls a coroutine: that is an await.
    pub calls: Vec<(usize, usize, Option<SourceLine>)>,
    pub handed: Vec<Handed>,
    pub blocks: Vec<Blocks>,
    /// Path of a closure's type, and the closure.
    pub closures: Vec<(String, usize)>,
    /// Function, vtable of a `dyn Future` that it makes.
    pub vtables: Vec<(usize, crate::target::Svma)>,
    /// What could not be told, for people.
    pub issues: Vec<String>,
}

impl CodeCalls {
    /// `program`: the bytes of the executable file.
    pub fn of(recipes: &Recipes<'_, '_>, coroutines: &Coroutines, program: &[u8]) -> CodeCalls {
        let mut words = foldhash::HashMap::default();
        crate::dwarf::offset_table(program, &mut |word, address| {
            words.insert(word, address);
        });
        let marked = |path: &str| HandOver::of(path).is_some() || BlockingCall::of_call(path).is_some();
        let wanted = Wanted { marked: &marked, own_crates: recipes.user_crates(), words: &words };
        let calls = recipes.program.calls(&wanted);
        let bodies = Bodies::of(recipes, coroutines, &calls);
        let mut found = reach::follow(recipes, &calls, &bodies);
        if calls.ambiguous > 0 {
            let many = calls.ambiguous;
            found.issues.push(format!(
                "{many} calls go to code that several equal functions share: which of them is called is not known"
            ));
        }
        found.bodies = bodies.list;
        found.closures = bodies.closures;
        found
    }
}

/// Nobody is told of it.
fn is_plain(calls: &Calls, function: usize) -> bool {
    matches!(calls.functions[function].class, Class::Std | Class::Dependency)
}
