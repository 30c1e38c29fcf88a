//! A process (or core file) and the files that describe it: memory, maps, threads, namespaces, debug info.

mod addr;
mod error;
mod image;
mod maps;
mod memory;
mod procdir;
mod process;

pub use addr::{Avma, Bias, FileOffset, Svma};
pub use error::{Candidate, Denied, TargetError};
pub use image::{ElfHeaders, Image, Segment, TlsSegment};
pub use memory::{Memory, ReadError, Region, region_of};
pub use process::{Process, ProcessKey, SeccompMode, Thread};
