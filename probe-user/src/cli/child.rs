//! `attach -- CMD…`: a target that we start ourselves.

use super::{Exit, Failure};
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

/// Where the command's own output goes. Our stdout is not its to write to while we print there ourselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Where it would go without us.
    Stdout,
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

/// Starts the command; when this returns it has exec'ed.
pub fn start(command: &[OsString], keep: Keep) -> Result<Started, Failure> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(failure("starting a command", &io::Error::from(ErrorKind::InvalidInput)));
    };
    let tried = format!("starting {}", program.to_string_lossy());
    let error = |error: io::Error| failure(&tried, &error);
    let mut command = Command::new(program);
    command.args(arguments);
    let output = match keep {
        Keep::Stdout => None,
        Keep::Stderr => {
            command.stdout(Stdio::from(io::stderr()));
            None
        }
        Keep::File => {
            let (path, file) = output_file().map_err(error)?;
            // Keys are for the screen. An open pipe, not /dev/null: some programs end when stdin does.
            command.stdin(Stdio::piped());
            command.stdout(Stdio::from(file.try_clone().map_err(error)?)).stderr(Stdio::from(file));
            Some(path)
        }
    };
    let child = command.spawn().map_err(error)?;
    wait_for_exec(child.id());
    Ok(Started { child, output })
}

/// std returns when the kernel has dropped the old address space, which is before it has filled the new one
/// (`exec_mmap` comes first, `create_elf_tables` last: fs/binfmt_elf.c). The auxiliary vector tells when it has.
fn wait_for_exec(pid: u32) {
    for _ in 0..500 {
        match std::fs::read(format!("/proc/{pid}/auxv")) {
            Ok(vector) if vector.iter().all(|byte| *byte == 0) => thread::sleep(Duration::from_millis(1)),
            // Also when it has ended already: whoever opens it will tell.
            _ => return,
        }
    }
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
    let next = match exit {
        Exit::NoTarget => {
            "the command's path, or its name if it is in PATH: async-inspect attach -- CMD ARGUMENTS"
        }
        Exit::NotPermitted => "a file that may be run: chmod +x FILE",
        _ => "",
    };
    Failure { exit, tried: tried.into(), why: error.to_string(), next: next.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_started_command_has_execed_and_leaves_our_stdout_alone() {
        let started =
            start(&["sh".into(), "-c".into(), "read line; echo loud; exit 7".into()], Keep::File).unwrap();
        let (mut child, path) = (started.child, started.output.unwrap());
        let exe = std::fs::read_link(format!("/proc/{}/exe", child.id())).unwrap();
        assert_ne!(exe, std::env::current_exe().unwrap());
        // This closes its stdin.
        assert_eq!(child.wait().unwrap().code(), Some(7));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "loud\n");
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn what_cannot_be_started_is_no_target() {
        let failure = |program: &str| start(&[program.into()], Keep::Stderr).err().unwrap();
        for (program, exit) in [("/nonexistent/program", Exit::NoTarget), ("/", Exit::NotPermitted)] {
            let failure = failure(program);
            assert!(failure.exit == exit && !failure.next.is_empty(), "{failure:?}");
        }
    }
}
