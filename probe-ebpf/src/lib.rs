//! What the BPF programs and user space share: the ABI, and the state walk as pure code.
//!
//! Builds anywhere and needs nothing: the programs (`main.rs`) run the walk over the target's memory through
//! `bpf_probe_read_user`, tests on the host run the same code over bytes.
#![no_std]

mod abi;
#[cfg(feature = "fingerprint")]
pub mod fingerprint;
mod histogram;
mod samples;
mod slots;
mod walk;
mod walk_table;

pub use abi::*;
pub use histogram::*;
pub use samples::*;
pub use slots::*;
pub use walk::*;
pub use walk_table::*;

pub(crate) const fn fnv1a(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325;
    let mut i = 0;
    while i < bytes.len() {
        hash = (hash ^ bytes[i] as u64).wrapping_mul(0x0100_0000_01b3);
        i += 1;
    }
    hash
}
