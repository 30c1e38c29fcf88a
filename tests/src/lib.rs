//! End-to-end tests against real async programs.
//!
//! A [`Variant`] says how a program of `tests/targets` is built; [`Variant::build`] builds it; [`Program`] runs it and
//! reads the truth it prints of itself; [`inspector`] runs `async-inspect` on it; [`compare`] tells what differs.

mod build;
pub mod compare;
pub mod cores;
pub mod counted;
pub mod hostile;
pub mod inspector;
pub mod long_polls;
mod patience;
mod program;
pub mod real;
pub mod rights;
pub mod schema;
pub mod stuck;
pub mod table;
pub mod tracer;
mod truth;

pub use build::{
    Built, Lto, Mangling, Panic, Strip, Tokio, Variant, build_feature, build_package, workspace,
};
pub use patience::slowness;
pub use program::Program;
pub use truth::{Claim, Stuck, TrueAwait, TrueHold, TrueMachine, TrueNode, TrueTask, TrueWait, Truth};
