//! Mirror types: what we believe of tokio, std and the futures crates, in one place.
//! Chosen by the shape that DWARF shows, never by a version number; where the shape differs from every one we
//! know, the answer is a typed "unknown layout" that names what is missing.

mod futures;
mod reflect;
mod tokio;

pub use futures::{Role, is_closure, macro_name, role};
pub use reflect::{Place, Reflect, places};
pub use tokio::{CellLayout, Flavor, OwnedList, SchedulerLayout, TaskWord, UnknownLayout, VtableLayout};
