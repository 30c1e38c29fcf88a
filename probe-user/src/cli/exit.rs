//! Exit codes (an interface others test against) and the error that carries one.

use std::fmt;
use std::process::ExitCode;

/// What the process's exit status means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Also: Ctrl-C, or the target ended after `ready`.
    Fine = 0,
    /// A lint named by --fail-on fired.
    Finding = 1,
    Usage = 2,
    NotPermitted = 3,
    /// No such target, or it went away before `ready`.
    NoTarget = 4,
    /// No async runtime in the target, or no debug info for what was asked.
    NothingUsable = 5,
    /// The kernel is too old or lacks what is needed.
    Kernel = 6,
    /// A bug of ours.
    Bug = 70,
    /// An I/O or other plain error.
    Plain = 74,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// An error as a person gets it: what was tried, why it failed, what to type next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub exit: Exit,
    pub tried: String,
    pub why: String,
    /// The next command to type, or the one line to add.
    pub next: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.tried, self.why)?;
        if !self.next.is_empty() {
            write!(f, "\n  try: {}", self.next)?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}
