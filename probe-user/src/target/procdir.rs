//! `/proc/PID`, held open: once the process is gone every read fails, even if its PID is used again.
//!
//! Not the procfs crate: a target chooses its own comm and the names of the files it maps, and that crate's
//! parsers refuse names that are not UTF-8 and index into a mapped `/SYSV…` path without a check.

use rustix::fs::{CWD, Mode, OFlags, openat, readlinkat};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

#[derive(Debug)]
pub struct ProcDir {
    fd: OwnedFd,
    pid: u32,
}

/// What we need of `/proc/PID/stat`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    pub comm: String,
    pub state: char,
    pub kernel_thread: bool,
    /// Clock ticks since boot.
    pub start_time: u64,
}

/// What we need of `/proc/PID/status`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Status {
    pub tgid: u32,
    pub uid: u32,
    /// The thread's id in each PID namespace it is in, ours first, its own last.
    pub ns_pid: Vec<u32>,
    pub seccomp: u32,
    pub cap_eff: u64,
}

impl ProcDir {
    pub fn open(pid: u32) -> io::Result<ProcDir> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
        let fd = openat(CWD, format!("/proc/{pid}"), flags, Mode::empty())?;
        Ok(ProcDir { fd, pid })
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    pub fn open_file(&self, name: &str) -> io::Result<File> {
        Ok(File::from(openat(&self.fd, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?))
    }

    pub fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.open_file(name)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    pub fn read_link(&self, name: &str) -> io::Result<PathBuf> {
        let target = readlinkat(&self.fd, name, Vec::new())?;
        Ok(PathBuf::from(std::ffi::OsString::from_vec(target.into_bytes())))
    }

    /// Names of the numeric entries of `task`, i.e. the threads.
    pub fn tids(&self) -> io::Result<Vec<u32>> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
        let task = openat(&self.fd, "task", flags, Mode::empty())?;
        let mut tids = Vec::new();
        for entry in rustix::fs::Dir::read_from(task)? {
            match entry {
                Ok(entry) => tids.extend(entry.file_name().to_str().ok().and_then(|n| n.parse::<u32>().ok())),
                // The process may exit while we list it.
                Err(Errno::NOENT | Errno::SRCH) => break,
                Err(e) => return Err(e.into()),
            }
        }
        tids.sort_unstable();
        Ok(tids)
    }

    pub fn stat(&self) -> io::Result<Stat> {
        parse_stat(&self.read("stat")?).ok_or_else(|| malformed("stat"))
    }

    pub fn status(&self) -> io::Result<Status> {
        parse_status(&self.read("status")?).ok_or_else(|| malformed("status"))
    }

    pub fn thread_status(&self, tid: u32) -> io::Result<Status> {
        parse_status(&self.read(&format!("task/{tid}/status"))?).ok_or_else(|| malformed("task/*/status"))
    }

    /// A thread's name, as it stands in `comm`.
    pub fn thread_comm(&self, tid: u32) -> io::Result<String> {
        let mut comm = self.read(&format!("task/{tid}/comm"))?;
        comm.pop_if(|last| *last == b'\n');
        Ok(String::from_utf8_lossy(&comm).into_owned())
    }
}

fn malformed(file: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("/proc/PID/{file} does not have the expected fields"))
}

/// PF_KTHREAD of include/linux/sched.h.
const PF_KTHREAD: u64 = 0x0020_0000;

/// `pid (comm) state ppid …`: comm may hold spaces and parentheses, so the last `)` ends it.
pub(super) fn parse_stat(bytes: &[u8]) -> Option<Stat> {
    let open = bytes.iter().position(|b| *b == b'(')?;
    let close = bytes.iter().rposition(|b| *b == b')')?;
    let comm = String::from_utf8_lossy(bytes.get(open + 1..close)?).into_owned();
    let rest = std::str::from_utf8(bytes.get(close + 1..)?).ok()?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    // proc(5) numbers fields from 1, and `state`, the first after comm, is 3.
    let field = |n: usize| fields.get(n - 3).copied();
    let flags: u64 = field(9)?.parse().ok()?;
    Some(Stat {
        comm,
        state: field(3)?.chars().next()?,
        kernel_thread: flags & PF_KTHREAD != 0,
        start_time: field(22)?.parse().ok()?,
    })
}

pub(super) fn parse_status(bytes: &[u8]) -> Option<Status> {
    let text = String::from_utf8_lossy(bytes);
    let mut status = Status::default();
    let mut tgid = None;
    for line in text.lines() {
        let Some((key, value)) = line.split_once(':') else { continue };
        let mut words = value.split_ascii_whitespace();
        match key {
            "Tgid" => tgid = words.next()?.parse().ok(),
            "Uid" => status.uid = words.next()?.parse().ok()?,
            "NSpid" => status.ns_pid = words.filter_map(|w| w.parse().ok()).collect(),
            "Seccomp" => status.seccomp = words.next()?.parse().ok()?,
            "CapEff" => status.cap_eff = u64::from_str_radix(words.next()?, 16).ok()?,
            _ => {}
        }
    }
    status.tgid = tgid?;
    Some(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comm_of_parentheses_and_bytes_is_only_a_name() {
        let line = b"7 (a) R (\xff) S 1 7 7 0 -1 4194560 1 0 0 0 1 2 0 0 20 0 1 0 12345 1 1\n";
        let stat = parse_stat(line).expect("a stat line");
        assert_eq!((stat.comm.as_str(), stat.state, stat.start_time), ("a) R (\u{fffd}", 'S', 12345));
        assert!(!stat.kernel_thread);
    }

    #[test]
    fn status_reads_every_namespace_and_survives_a_forged_name() {
        let status =
            parse_status(b"Name:\tx\\nTgid: 1\nTgid:\t40\nUid:\t5\t6\t7\t8\nNSpid:\t40\t2\nSeccomp:\t2\n")
                .unwrap();
        assert_eq!((status.tgid, status.uid, status.ns_pid, status.seccomp), (40, 5, vec![40, 2], 2));
        assert_eq!(parse_status(b"garbage"), None);
    }
}
