//! Core files: `dump --core FILE`.

use super::live::{failure, open_failure};
use super::source::{EventStream, OpenOptions, ProcessInfo, Progress, Source, TraceOptions};
use super::{Exit, Failure};
use crate::decode::{Frames, Inspector, Snapshot};
use crate::target::{Core, Subject, TargetError};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

/// Opens a core file; `exe` is the program that ran, where it is no longer where it was.
///
/// # Errors
/// `NoTarget` where there is no such file, `NotPermitted`; `NothingUsable` where it is no core file, the program is missing or
/// another, or there is no async runtime in it.
pub fn open(
    path: &Path,
    exe: Option<&Path>,
    options: &OpenOptions,
    progress: &dyn Progress,
) -> Result<Box<dyn Source>, Failure> {
    let core = Core::open(path, exe).map_err(|error| core_failure(error, path))?;
    let step = |done: usize, total: usize| progress.step("indexing debug info", done as u64, total as u64);
    let inspector = Inspector::open(core, &options.debuginfo, options.user_crates.clone(), &step)
        .map_err(open_failure)?;
    if !inspector.model.has_runtime() {
        let exe = inspector.image.path.display();
        return Err(Failure {
            exit: Exit::NothingUsable,
            tried: format!("looking for an async runtime in {} ({exe})", path.display()),
            why: "there is none that is known here: no tokio task type in its debug information, symbols or messages"
                .into(),
            next: format!("async-inspect check {}", inspector.image.open_path.display()),
        });
    }
    Ok(Box::new(PostMortem { inspector }))
}

/// A file that was named and is not there is no target; one that may not be read is a matter of rights.
fn core_failure(error: TargetError, path: &Path) -> Failure {
    let kind = match &error {
        TargetError::Unreadable { source, .. } => Some(source.kind()),
        _ => None,
    };
    let (exit, next) = match kind {
        Some(ErrorKind::NotFound) => {
            (Exit::NoTarget, "coredumpctl list, or cat /proc/sys/kernel/core_pattern".into())
        }
        Some(ErrorKind::PermissionDenied) => {
            (Exit::NotPermitted, format!("sudo async-inspect dump --core {}", path.display()))
        }
        _ => return failure(error),
    };
    Failure { exit, next, ..failure(error) }
}

struct PostMortem {
    inspector: Inspector<Core>,
}

impl Source for PostMortem {
    fn process(&self) -> ProcessInfo {
        let image = &self.inspector.image;
        let built = image.open().ok().and_then(|file| file.metadata().ok()?.modified().ok());
        ProcessInfo { pid: self.inspector.process.pid(), exe: image.path.display().to_string(), built }
    }

    fn frames(&self) -> Arc<Frames> {
        self.inspector.model.recipes.frames.clone()
    }

    /// As of when the file was last written to; the target's own clock stood nobody knows where.
    fn snapshot(&mut self) -> Result<Snapshot, Failure> {
        let written = self.inspector.process.written();
        let since = written.and_then(|at| at.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        self.inspector.snapshot(since.as_nanos() as u64, None).map_err(failure)
    }

    fn start_trace(&mut self, _options: TraceOptions) -> Result<Box<dyn EventStream>, Failure> {
        Err(Failure {
            exit: Exit::NothingUsable,
            tried: format!("probing {}", self.inspector.process.path().display()),
            why: "a core file does not run".into(),
            next: format!("async-inspect dump --core {}", self.inspector.process.path().display()),
        })
    }

    fn has_exited(&mut self) -> bool {
        true
    }
}
