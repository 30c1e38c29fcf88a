//! The only unsafe code of the project: system calls that no well-kept crate wraps for us.

pub mod bpf;
pub mod bpf_child;
