//! What follows from a snapshot as a whole. Pure: no memory, no clock, no files.

mod fold;
mod relations;

pub use relations::{
    EdgeInfo, EdgeKey, Link, NodeKey, Relations, ResourceKey, ResourceNode, SeenTask, TaskNode,
};
