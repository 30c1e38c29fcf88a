//! Who calls whom, by the code of bodies: coroutines, and the user's own functions between them.
//!
//! A call through functions of others (`Option::map`, `serde_json::to_string`) is one of whoever called those. Left out, as the
//! code does not tell it: calls through pointers and trait objects; and where the compiler folded equal functions, all but
//! the one that gave its name.

mod body;
mod edges;
mod given;
mod reach;

use super::{Bound, Bounds, Coroutines, Origin};
use crate::decode::{Recipes, SourceLine};
use crate::dwarf::{Calls, Class, DieRef, Wanted};
use crate::runtime::{BlockingCall, HandOver};
use body::Bodies;
pub use edges::add;
pub use given::coroutines_in;
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
    /// A dependency does it, not the user's own code.
    pub by_dependency: bool,
}

/// A call that may block its thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocks {
    pub from: usize,
    pub call: BlockingCall,
    /// The function that is called, `std::fs::read_to_string`.
    pub function: String,
    pub place: Option<SourceLine>,
    /// The dependency's function that makes the call, where it is none of the user's own.
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
    /// By index in [`Coroutines::list`]: the name of the type that the body returns, `Poll<u32>`. None of coroutines whose body
    /// is nowhere to be seen.
    pub returned: Vec<Option<Box<str>>>,
    /// Path of a closure's type, and the closure.
    pub closures: Vec<(String, usize)>,
    /// Function, vtable of a `dyn Future` that it makes.
    pub vtables: Vec<(usize, crate::target::Svma)>,
    /// What could not be told, for people.
    pub issues: Vec<String>,
    pub bounds: Bounds,
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
        for (at, many) in [
            (Bound::Inlined, calls.cut.inlined),
            (Bound::Pieces, calls.cut.pieces),
            (Bound::Unread, calls.cut.unread),
        ] {
            found.bounds.cut(at, many);
        }
        found.returned = bodies.returned;
        found.issues.extend(unseen(coroutines, &found.returned));
        found.bodies = bodies.list;
        found.closures = bodies.closures;
        found
    }
}

/// Coroutines of the user's own without a body: what they call is not known.
fn unseen(coroutines: &Coroutines, returned: &[Option<Box<str>>]) -> Option<String> {
    let own = coroutines.list.iter().zip(returned).filter(|(one, _)| one.origin == Origin::Own);
    let unseen: Vec<&str> = own.filter(|(_, body)| body.is_none()).map(|(one, _)| &*one.name).collect();
    let first = unseen.first()?;
    let more = match unseen.len() {
        1 => String::new(),
        n => format!(" and {} more", n - 1),
    };
    Some(format!(
        "the code of {first}{more} was not found (never polled, or folded with equal code): what it calls is not known"
    ))
}

/// Nobody is told of it.
fn is_plain(calls: &Calls, function: usize) -> bool {
    matches!(calls.functions[function].class, Class::Std | Class::Dependency)
}
