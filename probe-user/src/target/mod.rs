//! A process (or core file) and the files that describe it: memory, maps, threads, namespaces, debug info.

mod addr;
mod memory;

pub use addr::{Avma, Bias, FileOffset, Svma};
pub use memory::{Memory, ReadError, Region};
