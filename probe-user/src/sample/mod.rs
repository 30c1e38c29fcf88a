//! Looks from outside at which task each thread polls, many times a second. The target executes nothing for it: its memory is
//! read, and no instruction of it is changed.
//!
//! A thread's CONTEXT holds the id of the task it polls ([`crate::runtime::CurrentTask`]). [`Sampler`] reads those of all
//! threads in one system call, once in each period, at a moment drawn at random within it: a program that does something every
//! millisecond is not met at the same point of it each time. Of a task that runs it reads where it stands
//! ([`standing`]). What was seen in about [`ROUND`] is one [`Round`].

mod interval;
mod round;
mod sampler;
mod standing;

pub use interval::{Estimate, Z_95};
pub use round::{Round, Run};
pub use sampler::{ROUND, Sampler, Scout, Words};
pub use standing::Tables;
