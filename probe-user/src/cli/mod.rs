//! The commands.

mod exit;

pub use exit::{Exit, Failure};

pub fn main() -> std::process::ExitCode {
    Exit::Fine.into()
}
