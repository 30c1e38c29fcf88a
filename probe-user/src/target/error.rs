//! What can go wrong on the way to a target, with all that a person needs to get past it.

use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// A process that a name might mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub pid: u32,
    pub name: String,
    pub command_line: String,
}

/// Why the kernel lets us not look into a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Denied {
    #[error("it belongs to uid {theirs}, we run as uid {ours} without CAP_SYS_PTRACE")]
    OtherUser { ours: u32, theirs: u32 },
    #[error("kernel.yama.ptrace_scope is {0}, and we run without CAP_SYS_PTRACE")]
    Yama(u32),
    #[error("kernel.yama.ptrace_scope is 3: no process may look into another until the next boot")]
    YamaOff,
    #[error(
        "it is not dumpable (set-user-ID, file capabilities or PR_SET_DUMPABLE), and we run without CAP_SYS_PTRACE"
    )]
    NotDumpable,
    #[error("/proc hides other users' processes (hidepid)")]
    Hidden,
    #[error("CAP_SYS_PTRACE is not enough: it is in another user namespace, or a security module refuses")]
    Refused,
}

#[derive(Debug, Error)]
pub enum TargetError {
    #[error("there is no process {pid}")]
    NoSuchProcess { pid: u32 },
    #[error("{tid} is a thread of process {pid}")]
    IsThread { tid: u32, pid: u32 },
    #[error("process {pid} ({name}) is a kernel thread: it has no program")]
    KernelThread { pid: u32, name: String },
    #[error("process {pid} ({name}) has exited and waits for its parent (a zombie)")]
    Zombie { pid: u32, name: String },
    #[error("process {pid} has ended")]
    Gone { pid: u32 },
    #[error("not permitted to read {what} of process {pid}: {why}")]
    NotPermitted { pid: u32, what: &'static str, why: Denied },
    #[error("no process is named {name:?}")]
    NoSuchName { name: String },
    #[error("{}", if *is_there { "no process runs this file" } else { "there is no such file, and no process of that name" })]
    NotRun { path: PathBuf, is_there: bool },
    #[error("{} processes are named {name:?}", candidates.len())]
    Ambiguous { name: String, candidates: Vec<Candidate> },
    #[error("/proc shows another PID namespace than the one this command runs in")]
    ForeignProc,
    #[error("cannot read {path}: {source}", path = path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{path} is not an ELF file", path = path.display())]
    NotElf { path: PathBuf },
    #[error("{path} is for {machine}, only x86-64 is known", path = path.display())]
    OtherMachine { path: PathBuf, machine: String },
    #[error("{path} is truncated: {what} ends at byte {needed}, the file at {len}", path = path.display())]
    Truncated { path: PathBuf, what: &'static str, needed: u64, len: u64 },
    #[error("{path} is malformed: {what}", path = path.display())]
    Malformed { path: PathBuf, what: String },
    #[error("{path} is not a core file: {what}", path = path.display())]
    NotCore { path: PathBuf, what: String },
    #[error("{core} does not tell which program it is of: {why}", core = core.display())]
    UnknownProgram { core: PathBuf, why: &'static str },
    #[error("the program that ran, {program}, cannot be used: {why}", program = program.display())]
    NoProgram { core: PathBuf, program: PathBuf, why: String },
    #[error("{program} is not the program that {core} is of: {differs}", program = program.display(), core = core.display())]
    OtherProgram { core: PathBuf, program: PathBuf, differs: String },
    #[error("{path} is not mapped where its headers say, in process {pid}", path = path.display())]
    NotMapped { path: PathBuf, pid: u32 },
    #[error("{path} does not describe the running program: {differs}", path = path.display())]
    DebugMismatch { path: PathBuf, differs: String },
    #[error("{path} holds no debug information for this program", path = path.display())]
    NoDebugInfo { path: PathBuf },
    #[error("no file in {directory} belongs to this program", directory = directory.display())]
    NothingFor { directory: PathBuf },
}

impl TargetError {
    /// What was being done; [`Display`](std::fmt::Display) says why it failed.
    pub fn tried(&self) -> String {
        match self {
            TargetError::NoSuchProcess { pid }
            | TargetError::IsThread { tid: pid, .. }
            | TargetError::KernelThread { pid, .. }
            | TargetError::Zombie { pid, .. }
            | TargetError::Gone { pid }
            | TargetError::NotPermitted { pid, .. }
            | TargetError::NotMapped { pid, .. } => format!("looking into process {pid}"),
            TargetError::NoSuchName { name } | TargetError::Ambiguous { name, .. } => {
                format!("looking for a process named {name:?}")
            }
            TargetError::NotRun { path, .. } => format!("looking for a process that runs {}", path.display()),
            TargetError::NothingFor { directory } => {
                format!("taking debug information from {}", directory.display())
            }
            TargetError::ForeignProc => "reading /proc".to_owned(),
            TargetError::Unreadable { path, .. }
            | TargetError::NotElf { path }
            | TargetError::OtherMachine { path, .. }
            | TargetError::Truncated { path, .. }
            | TargetError::NotCore { path, .. }
            | TargetError::Malformed { path, .. } => format!("reading {}", path.display()),
            TargetError::UnknownProgram { core, .. }
            | TargetError::NoProgram { core, .. }
            | TargetError::OtherProgram { core, .. } => {
                format!("looking for the program of {}", core.display())
            }
            TargetError::DebugMismatch { path, .. } | TargetError::NoDebugInfo { path } => {
                format!("taking debug information from {}", path.display())
            }
        }
    }

    /// The next command to type, or thing to do.
    pub fn next(&self) -> String {
        match self {
            TargetError::IsThread { pid, .. } => format!("async-inspect dump {pid}"),
            TargetError::Ambiguous { candidates, .. } => {
                let pid = candidates.first().map_or(0, |c| c.pid);
                format!("one of the PIDs above, e.g. async-inspect dump {pid}")
            }
            TargetError::NotPermitted { pid, why, .. } => match why {
                Denied::OtherUser { .. } | Denied::Yama(_) | Denied::NotDumpable | Denied::Hidden => format!("sudo async-inspect dump {pid}"),
                Denied::YamaOff => "reboot with kernel.yama.ptrace_scope below 3 (look in /etc/sysctl.d)".to_owned(),
                Denied::Refused => "run it on the host, as root in the initial user namespace; \
                                    journalctl -k tells if SELinux or AppArmor refused"
                    .to_owned(),
            },
            TargetError::ForeignProc => "mount -t proc proc /proc".to_owned(),
            TargetError::Unreadable { path, .. }
            | TargetError::NotElf { path }
            | TargetError::OtherMachine { path, .. }
            | TargetError::Truncated { path, .. }
            | TargetError::Malformed { path, .. } => format!("file {}", path.display()),
            TargetError::NotCore { .. } => {
                "gcore PID, which writes one of a running process; or async-inspect dump PID".to_owned()
            }
            TargetError::UnknownProgram { core, .. }
            | TargetError::NoProgram { core, .. }
            | TargetError::OtherProgram { core, .. } => format!(
                "async-inspect dump --core {} --exe FILE, the very file that ran (one built anew is another; \
                 a file with debug information alone goes to --debuginfo)",
                core.display()
            ),
            TargetError::NothingFor { .. } => "--debuginfo FILE".to_owned(),
            TargetError::DebugMismatch { .. } => {
                "name the debug information of this very build: --debuginfo FILE; or restart the program from the new build\n\
                 for a stripped one: the same build again, with RUSTFLAGS=-Cstrip=none"
                    .to_owned()
            }
            TargetError::NoDebugInfo { .. } => {
                "build with debuginfo: CARGO_PROFILE_RELEASE_DEBUG=2 cargo build --release".to_owned()
            }
            TargetError::NotMapped { pid, .. } => format!("cat /proc/{pid}/maps, and report it to us"),
            TargetError::NoSuchProcess { .. }
            | TargetError::NoSuchName { .. }
            | TargetError::NotRun { .. }
            | TargetError::KernelThread { .. }
            | TargetError::Zombie { .. }
            | TargetError::Gone { .. } => "async-inspect ps".to_owned(),
        }
    }
}
