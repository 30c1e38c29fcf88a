//! `attach -- CMD…`: a target that we start ourselves.

use super::{Exit, Failure};
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Where the command's own output goes. Our stdout is not its to write to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// To our stderr.
    Stderr,
    /// Into a file: the screen is ours.
    File,
}

pub struct Started {
    pub child: Child,
    /// The file that holds its output.
    pub output: Option<PathBuf>,
}

/// Starts the command; when this returns it has exec'ed (std waits for that).
pub fn start(command: &[OsString], keep: Keep) -> Result<Started, Failure> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(failure("starting a command", &io::Error::from(ErrorKind::InvalidInput)));
    };
    let tried = format!("starting {}", program.to_string_lossy());
    let error = |error: io::Error| failure(&tried, &error);
    let mut command = Command::new(program);
    command.args(arguments);
    let output = match keep {
        Keep::Stderr => {
            command.stdout(Stdio::from(io::stderr()));
            None
        }
        Keep::File => {
            let (path, file) = output_file().map_err(error)?;
            command.stdin(Stdio::null());
            command.stdout(Stdio::from(file.try_clone().map_err(error)?)).stderr(Stdio::from(file));
            Some(path)
        }
    };
    let child = command.spawn().map_err(error)?;
    Ok(Started { child, output })
}

/// A new file of ours alone; an existing one of that name, or a link, is never opened.
fn output_file() -> io::Result<(PathBuf, File)> {
    let directory = std::env::temp_dir();
    let mut last = io::Error::from(ErrorKind::AlreadyExists);
    for n in 0..100 {
        let path = directory.join(format!("async-inspect-{}-{n}.log", std::process::id()));
        match OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path) {
            Ok(file) => return Ok((path, file)),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn failure(tried: &str, error: &io::Error) -> Failure {
    let exit = match error.kind() {
        ErrorKind::NotFound => Exit::NoTarget,
        ErrorKind::PermissionDenied => Exit::NotPermitted,
        _ => Exit::Plain,
    };
    Failure { exit, tried: tried.into(), why: error.to_string(), next: String::new() }
}
