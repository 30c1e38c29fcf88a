//! What a program's files alone say of its async functions: who awaits, spawns and calls whom; each one's states; what is large.
//!
//! Made from the types of coroutines ([`crate::decode::Recipes`]) and from the code of their bodies. Nothing is run and no
//! process is looked at. Output is sorted: the same file gives the same outline.

mod find;
mod graph;
mod layout;
mod machine;
mod size_changes;
mod sizes;

pub use find::find;
pub use graph::{
    CallGraph, Certainty, Color, Edge, EdgeKind, Function, FunctionId, FunctionKind, Origin, SuspendPoint,
};
pub use layout::{Described, Inside, Part, Role};
pub use machine::{Machine, Order, State, StateKind};
pub use size_changes::{Change, FutureChange, PartKey, SizeChanges};
pub use sizes::{FutureSize, Held, Sizes, TaskSize, Twice};
