//! The target layer against real processes and real files: programs that this test compiles with `cc`, and that print
//! the truth about themselves.

mod cache;
mod descriptors;
mod find;
mod hostile;
mod objects;
mod process;
mod programs;
mod threads;
