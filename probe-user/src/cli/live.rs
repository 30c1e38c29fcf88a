//! Running processes: the commands' view of `target`, `decode` and `trace`.

use super::source::{OpenOptions, Progress, Source};
use super::{Exit, Failure};
use crate::export::check::CheckReport;
use crate::export::ps::ProcessRow;

/// Opens TARGET: a PID, or a process's name.
///
/// # Errors
/// `NoTarget`, `NotPermitted`, `NothingUsable`; `Usage` for a name that several processes have.
pub fn open(target: &str, _: &OpenOptions, _: &dyn Progress) -> Result<Box<dyn Source>, Failure> {
    Err(not_connected(&format!("opening {target}")))
}

/// Looks at TARGET, a PID, a name or an executable file, and tells what could be seen of it.
///
/// # Errors
/// As [`open`], but what is merely missing goes into the report.
pub fn check(target: &str, _: &OpenOptions, _: &dyn Progress) -> Result<CheckReport, Failure> {
    Err(not_connected(&format!("checking {target}")))
}

/// Every process of this host that looks like an async Rust program.
///
/// # Errors
/// When /proc cannot be read.
pub fn processes() -> Result<Vec<ProcessRow>, Failure> {
    Err(not_connected("listing processes"))
}

fn not_connected(tried: &str) -> Failure {
    Failure {
        exit: Exit::Plain,
        tried: tried.into(),
        why: "the commands are not connected to running processes yet".into(),
        next: String::new(),
    }
}
