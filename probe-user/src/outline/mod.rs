//! What a program's files alone say of its async functions: who awaits, spawns and calls whom; each one's states; what is large.
//!
//! Made from the types of coroutines ([`crate::decode::Recipes`]) and from the code of their bodies. Nothing is run and no
//! process is looked at. Output is sorted: the same file gives the same outline.

mod excerpt;
mod fold;
mod graph;
#[cfg(test)]
pub mod sample;
mod summary;

pub use excerpt::{Choice, Excerpt, named};
pub use graph::{
    CallGraph, Certainty, Color, Edge, EdgeKind, Function, FunctionId, FunctionKind, Origin, SuspendPoint,
};
pub use summary::{Boundary, BoundaryKind, Summary};
