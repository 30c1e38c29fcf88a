//! Static model + memory → await trees.

mod await_places;
mod bearing;
mod discover;
mod inspector;
mod recipe;
mod sites;
mod snapshot;
mod tree;
mod walk;

pub use discover::{Discovery, Found, FoundScheduler, Scope, Search};
pub use inspector::{Inspector, OpenError, StaticModel, find_files};
pub use recipe::{Arm, Child, Recipe, RecipeId, Recipes, switch_of};
pub use sites::{Site, Sites, TaskVtable, Typed};
pub use snapshot::{SnapshotParts, tasks};
pub use tree::*;
pub use walk::Walker;
