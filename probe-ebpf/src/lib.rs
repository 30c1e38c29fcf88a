//! The ABI that the BPF programs and the daemon share, and the state walk as pure `no_std` code.
#![no_std]
