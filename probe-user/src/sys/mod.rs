//! The only unsafe code of the project: system calls that no well-kept crate wraps for us.

pub mod bpf;
pub mod bpf_child;
pub mod file_map;
pub mod mapped_array;
pub mod process_clock;
pub mod process_vm;
pub mod robust_list;
pub mod user;
