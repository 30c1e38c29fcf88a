//! What the BPF programs and user space share: the ABI, and the state walk as pure code.
//!
//! Builds anywhere and needs nothing: the programs (`main.rs`) run the walk over the target's memory through
//! `bpf_probe_read_user`, tests on the host run the same code over bytes.
#![no_std]

mod abi;
#[cfg(feature = "fingerprint")]
pub mod fingerprint;
mod histogram;
mod slots;
mod walk;
mod walk_table;

pub use abi::*;
pub use histogram::*;
pub use slots::*;
pub use walk::*;
pub use walk_table::*;
