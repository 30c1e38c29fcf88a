//! What a program's files alone say of its async functions: who awaits, spawns and calls whom; each one's states; what is large.
//!
//! Made from the types of coroutines ([`crate::decode::Recipes`]) and from the code of their bodies. Nothing is run and no
//! process is looked at. Output is sorted: the same file gives the same outline.

mod awaits;
mod blocking;
mod bounds;
mod builder;
mod calls;
mod coroutines;
mod dynamic;
mod excerpt;
mod find;
mod flow;
mod fold;
mod graph;
mod layout;
mod machine;
#[cfg(test)]
pub mod machine_sample;
#[cfg(test)]
pub mod sample;
mod size_changes;
mod sizes;
mod summary;

pub use blocking::{Blocking, BlockingPath, Step};
pub use bounds::{Bound, Bounds};
pub use calls::{Blocks, Body, CodeCalls, Handed};
pub use coroutines::{Coroutine, Coroutines};
pub use excerpt::{Choice, Excerpt, Starter, is_main, named};
pub use find::find;
pub use flow::Flow;
pub use graph::{
    CallGraph, Certainty, Color, Edge, EdgeKind, Function, FunctionId, FunctionKind, Origin, SuspendPoint,
};
pub use layout::{Described, Inside, Part, Role};
pub use machine::{Machine, Order, State, StateKind};
pub use size_changes::{Change, FutureChange, PartKey, SizeChanges};
pub use sizes::{FutureSize, Held, Sizes, TaskSize, Twice};
pub use summary::{Boundary, BoundaryKind, Summary};

use crate::decode::{Recipes, Sites};
use builder::Builder;

/// Who awaits, spawns and calls whom in a program.
///
/// `program`: the bytes of the executable file.
pub fn call_graph(recipes: &Recipes<'_, '_>, sites: &Sites, program: &[u8]) -> CallGraph {
    let coroutines = Coroutines::of(recipes);
    let mut builder = Builder::default();
    builder.bounds.add(&coroutines.bounds);
    let (handles, dynamic) = awaits::add(recipes, &coroutines, &mut builder);
    for spawned in sites.futures() {
        if let Some(root) = coroutines.index_of(spawned) {
            builder.get_mut(handles[root]).is_root = true;
        }
    }
    let code = CodeCalls::of(recipes, &coroutines, program);
    calls::add(recipes, &coroutines, &handles, &code, &mut builder);
    dynamic::add(recipes, &coroutines, &handles, &code, &dynamic, &mut builder);
    for (coroutine, why) in Blocking::of(recipes, &coroutines, &code, false).reasons() {
        let function = builder.get_mut(handles[coroutine]);
        function.color = Color::Yellow;
        function.why_yellow.push(why);
    }
    builder.finish()
}

/// From which async functions calls are reached that block.
///
/// `program`: the bytes of the executable file. `deps`: those of dependencies as well.
pub fn blocking(recipes: &Recipes<'_, '_>, program: &[u8], deps: bool) -> Blocking {
    let coroutines = Coroutines::of(recipes);
    let code = CodeCalls::of(recipes, &coroutines, program);
    Blocking::of(recipes, &coroutines, &code, deps)
}
