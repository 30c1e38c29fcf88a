//! The file of a program, opened for what it says without being run.

use super::live::{failure, open_failure};
use super::source::{OpenOptions, Progress};
use super::{Exit, Failure};
use crate::decode::{StaticModel, find_files};
use crate::target::{DebugFiles, ElfHeaders};
use std::fs;
use std::path::Path;

/// # Errors
/// `Plain` where the file cannot be read, `NothingUsable` where it is no program.
pub fn open(path: &Path, options: &OpenOptions, progress: &dyn Progress) -> Result<StaticModel, Failure> {
    let step = |done: usize, total: usize| progress.step("indexing debug info", done as u64, total as u64);
    let files =
        find_files(&options.debuginfo, &|explicit| DebugFiles::of_file(path, explicit)).map_err(failure)?;
    let file = fs::File::open(path).map_err(|error| Failure {
        exit: Exit::Plain,
        tried: format!("opening {}", path.display()),
        why: error.to_string(),
        next: format!("ls -l {}", path.display()),
    })?;
    let headers = ElfHeaders::read(&file, path).map_err(failure)?;
    let code: Vec<_> = headers
        .segments
        .iter()
        .filter(|s| s.executable)
        .map(|s| (s.address, s.file_offset.0..s.file_offset.0.saturating_add(s.file_size)))
        .collect();
    StaticModel::load(files, &code, options.user_crates.clone(), &step).map_err(open_failure)
}
