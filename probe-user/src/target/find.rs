//! TARGET, as a person types it → a PID; and the list of all there is to choose from.

use super::TargetError;
use super::error::Candidate;
use super::procdir::ProcDir;
use super::process::without_deleted_mark;
use crate::sys::process_vm;
use std::fs::Metadata;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// Whether we may read its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Readable,
    NotPermitted,
    /// A kernel thread, or a zombie.
    NoMemory,
}

/// A process, as `ps` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub pid: u32,
    /// The main thread's name: at most 15 bytes.
    pub name: String,
    /// As the target sees it; None where we may not know.
    pub exe: Option<PathBuf>,
    /// Arguments joined by spaces, the first 4 KiB.
    pub command_line: String,
    pub access: Access,
}

/// All processes but ourselves, by PID. Those that end while we look are left out.
pub fn list() -> Result<Vec<Listed>, TargetError> {
    let unreadable = |source| TargetError::Unreadable { path: "/proc".into(), source };
    let us = std::process::id();
    let mut listed = Vec::new();
    for entry in std::fs::read_dir("/proc").map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        let pid = name.to_str().and_then(|name| name.parse().ok());
        listed.extend(pid.filter(|pid| *pid != us).and_then(|pid| look_at(pid).ok()));
    }
    listed.sort_by_key(|l| l.pid);
    Ok(listed)
}

/// A number is a PID, anything else the exact name of a process or of its executable, or the path of that. Never ourselves.
/// Does not say that the process can be opened: [`Process::open`](super::Process::open) does.
pub fn resolve(target: &str) -> Result<u32, TargetError> {
    if let Ok(pid) = target.parse::<u32>() {
        return Ok(pid);
    }
    let listed = list()?;
    let mut matches: Vec<Listed> = listed.iter().filter(|l| is_named(l, target)).cloned().collect();
    // A process may have a slash in its name.
    if matches.is_empty() && target.contains('/') {
        let file = std::fs::metadata(target).ok();
        let runs = |l: &Listed| file.as_ref().is_some_and(|file| runs(l.pid, file));
        matches = listed.into_iter().filter(runs).collect();
        if matches.is_empty() {
            return Err(TargetError::NotRun { path: target.into(), is_there: file.is_some() });
        }
    }
    // A kernel thread or zombie is only meant where nothing else has the name.
    if matches.iter().any(|l| l.access != Access::NoMemory) {
        matches.retain(|l| l.access != Access::NoMemory);
    }
    match &matches[..] {
        [] => Err(TargetError::NoSuchName { name: target.to_owned() }),
        [one] => Ok(one.pid),
        _ => {
            let candidate = |l: Listed| Candidate { pid: l.pid, name: l.name, command_line: l.command_line };
            Err(TargetError::Ambiguous {
                name: target.to_owned(),
                candidates: matches.into_iter().map(candidate).collect(),
            })
        }
    }
}

/// The very file, whatever its path is in the process's namespace.
fn runs(pid: u32, file: &Metadata) -> bool {
    let exe = std::fs::metadata(format!("/proc/{pid}/exe"));
    exe.is_ok_and(|exe| (exe.dev(), exe.ino()) == (file.dev(), file.ino()))
}

fn is_named(process: &Listed, name: &str) -> bool {
    const COMM_LEN: usize = 15;
    let exe = process.exe.as_ref().and_then(|exe| exe.file_name());
    process.name == name
        || exe.is_some_and(|exe| exe.as_bytes() == name.as_bytes())
        // Another user's executable is hidden from us, but its name is not, up to the kernel's limit.
        || (exe.is_none() && name.len() > COMM_LEN && name.as_bytes()[..COMM_LEN] == *process.name.as_bytes())
}

fn look_at(pid: u32) -> io::Result<Listed> {
    let dir = ProcDir::open(pid)?;
    let stat = dir.stat()?;
    let exe = dir.read_link("exe").ok().map(|link| without_deleted_mark(&link).0);
    let mut command_line = Vec::new();
    dir.open_file("cmdline")?.take(4096).read_to_end(&mut command_line)?;
    let access =
        if stat.kernel_thread || matches!(stat.state, 'Z' | 'X') { Access::NoMemory } else { access(pid) };
    let command_line = String::from_utf8_lossy(&command_line).trim_end_matches('\0').replace('\0', " ");
    Ok(Listed { pid, name: stat.comm, exe, command_line, access })
}

/// Asks for a byte that is never mapped: the kernel checks permission first (process_vm_rw_core in
/// mm/process_vm_access.c).
fn access(pid: u32) -> Access {
    let error = process_vm::read(pid, &mut [(0, &mut [0])]).err().and_then(|e| e.raw_os_error());
    match error {
        Some(libc::EPERM) => Access::NotPermitted,
        Some(libc::ESRCH) => Access::NoMemory,
        _ => Access::Readable,
    }
}
