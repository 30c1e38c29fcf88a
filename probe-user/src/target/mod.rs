//! A process (or core file) and the files that describe it: memory, maps, threads, namespaces, debug info.

mod access;
mod addr;
mod bytes;
mod cache;
mod cached;
pub mod elf;
mod error;
mod files;
mod find;
mod identity;
mod image;
mod maps;
mod matching;
mod memory;
mod objects;
mod procdir;
mod process;
mod remote;
mod threads;

pub use addr::{Avma, Bias, FileOffset, Svma};
pub use bytes::Bytes;
pub use cache::{Blob, IndexCache};
pub use cached::CachedMemory;
pub use error::{Candidate, Denied, TargetError};
pub use find::{Access, Listed, list, resolve};
pub use identity::{Identity, identity};
pub use image::{ElfHeaders, Image, Segment, TlsSegment};
pub use matching::Matched;
pub use memory::{Memory, ReadError, Region, region_of};
pub use objects::{DebugFiles, DwarfSource, Located};
pub use procdir::ProcDir;
pub use process::{Process, ProcessKey, SeccompMode, Thread};
pub use threads::{ThreadPointer, ThreadPointers};
