//! Runs a piece of the target's own code here, on a copy of its memory: nothing of the target changes.
//!
//! As much of x86-64 as compiled Rust needs to drop a value: integers, moves of vectors, calls. Whatever else comes ends the
//! run, and so does anything that takes too long; nobody guesses what would have followed.

mod flags;
mod integer;
mod machine;
mod operands;
mod overlay;
mod shifts;
mod strings;
#[cfg(test)]
mod tests;
mod vector;

pub(super) use machine::{CodeImage, Machine, Outside, argument};
pub(super) use overlay::Overlay;
use thiserror::Error;

/// Why a run ended before its function returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum Stop {
    #[error("the instruction at {0:#x} is none that is known")]
    Instruction(u64),
    #[error("nothing readable at {0:#x}")]
    Unreadable(u64),
    #[error("what is called at {0:#x} is not the program's own, or not to be run")]
    Call(u64),
    #[error("the program would abort at {0:#x}")]
    Trap(u64),
    #[error("it takes too many steps")]
    Endless,
    #[error("it takes too much memory")]
    Memory,
}
