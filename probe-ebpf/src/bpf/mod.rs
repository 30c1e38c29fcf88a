//! What the programs do, over the maps they share with user space.

mod accounts;
mod bounds;
pub mod causes;
pub mod ends;
mod frames;
mod maps;
mod memory;
pub mod off_cpu;
pub mod on_cpu;
pub mod poll;
mod send;
mod slots;
pub mod stack;
mod target;
mod tasks;
mod times;
