//! Static model + memory → await trees.

mod tree;

pub use tree::*;
