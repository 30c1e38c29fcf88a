//! async-inspect: see every task of a running, uninstrumented, release-built async Rust program.
//!
//! Data flows one way, and each module uses only those above it:
//! `sys` → `target` → `dwarf` → `runtime` → `decode` → `trace` → `sample` → `model` → `record` / `present` → `export` / `tui` → `cli`.
//! ARCHITECTURE.md tells why; `cargo xtask tidy` checks it.

pub mod analysis;
pub mod cli;
pub mod decode;
pub mod dwarf;
pub mod export;
pub mod model;
pub mod outline;
pub mod present;
pub mod record;
pub mod runtime;
pub mod sample;
pub mod sys;
pub mod target;
pub mod trace;
pub mod tui;
