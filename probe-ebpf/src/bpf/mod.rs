//! What the programs do, over the maps they share with user space.

mod bounds;
mod maps;
mod memory;
pub mod poll;
pub mod stack;
mod target;
mod tasks;
