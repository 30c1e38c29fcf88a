//! What a program's files alone say of its async functions: who awaits, spawns and calls whom; each one's states; what is large.
//!
//! Made from the types of coroutines ([`crate::decode::Recipes`]) and from the code of their bodies. Nothing is run and no
//! process is looked at. Output is sorted: the same file gives the same outline.

mod awaits;
mod builder;
mod coroutines;
mod excerpt;
mod fold;
mod graph;
#[cfg(test)]
pub mod sample;
mod summary;

pub use coroutines::{Coroutine, Coroutines};
pub use excerpt::{Choice, Excerpt, Starter, is_main, named};
pub use graph::{
    CallGraph, Certainty, Color, Edge, EdgeKind, Function, FunctionId, FunctionKind, Origin, SuspendPoint,
};
pub use summary::{Boundary, BoundaryKind, Summary};

use crate::decode::{Recipes, Sites};
use builder::Builder;

/// Who awaits whom in a program.
pub fn call_graph(recipes: &Recipes<'_, '_>, sites: &Sites) -> CallGraph {
    let coroutines = Coroutines::of(recipes);
    let mut builder = Builder::default();
    builder.issues.clone_from(&coroutines.issues);
    let handles = awaits::add(recipes, &coroutines, &mut builder);
    for spawned in sites.futures() {
        if let Some(root) = coroutines.index_of(spawned) {
            builder.get_mut(handles[root]).is_root = true;
        }
    }
    builder.finish()
}
