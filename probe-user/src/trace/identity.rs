//! The target as the BPF programs have to recognise it, and its threads as the user knows them.

use super::TraceError;
use async_inspect_ebpf::Config;
use rustix::fs::{major, minor, stat};
use std::collections::HashMap;
use std::io;

/// The target in its own PID namespace, which may be nested in ours.
#[derive(Debug)]
pub(super) struct Identity {
    pid: u32,
    config: Config,
    /// Thread ids of the target's namespace → those of ours; None where the two are one.
    threads: Option<HashMap<u32, u32>>,
}

impl Identity {
    /// Of the process that is `pid` in our namespace.
    ///
    /// # Errors
    /// [`TraceError::TargetGone`], or [`TraceError::NotPermitted`] to look at its namespace.
    pub fn of(pid: u32) -> Result<Self, TraceError> {
        let doing = "look at the target's PID namespace";
        let gone = |error: io::Error| match error.raw_os_error() {
            Some(libc::ENOENT) => TraceError::TargetGone,
            _ => TraceError::from_io(doing, error),
        };
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).map_err(gone)?;
        let theirs = stat(format!("/proc/{pid}/ns/pid")).map_err(|errno| gone(errno.into()))?;
        let ours = stat("/proc/self/ns/pid").map_err(|errno| gone(errno.into()))?;
        let tgid = innermost(&status, "NStgid:")
            .ok_or_else(|| TraceError::Io { doing, error: io::Error::other("no NStgid in its status") })?;
        let config = Config {
            // The kernel's own encoding of a device (MKDEV), which stat(2) does not use.
            ns_dev: (major(theirs.st_dev) as u64) << 20 | minor(theirs.st_dev) as u64,
            ns_ino: theirs.st_ino,
            tgid,
            ..Config::default()
        };
        let same = (theirs.st_dev, theirs.st_ino) == (ours.st_dev, ours.st_ino);
        Ok(Identity { pid, config, threads: (!same).then(HashMap::new) })
    }

    pub fn config(&self) -> Config {
        self.config
    }

    /// A thread as our namespace numbers it. One that ended before it was first seen keeps its inner number.
    pub fn outer_tid(&mut self, inner: u32) -> u32 {
        let Some(known) = &mut self.threads else { return inner };
        if let Some(outer) = known.get(&inner) {
            return *outer;
        }
        // Those that ended keep their number: what they did may be told later.
        known.extend(threads(self.pid).map(|status| (status.inner_tid, status.tid)));
        *known.entry(inner).or_insert(inner)
    }

    /// Ids of the live threads as the target's namespace numbers them.
    pub fn live_threads(&self) -> Vec<u32> {
        match self.threads {
            None => tids(self.pid).collect(),
            Some(_) => threads(self.pid).map(|status| status.inner_tid).collect(),
        }
    }

    /// Whether any thread is under seccomp, be it strict mode or a filter.
    pub fn under_seccomp(&self) -> bool {
        threads(self.pid).any(|status| status.seccomp)
    }
}

struct ThreadStatus {
    tid: u32,
    inner_tid: u32,
    seccomp: bool,
}

/// Ids of the threads that are there now, as our namespace numbers them.
fn tids(pid: u32) -> impl Iterator<Item = u32> {
    let list = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    list.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The threads that are there now; one that goes away meanwhile is left out.
fn threads(pid: u32) -> impl Iterator<Item = ThreadStatus> {
    tids(pid).filter_map(move |tid| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/task/{tid}/status")).ok()?;
        let inner_tid = innermost(&status, "NSpid:")?;
        let seccomp = field(&status, "Seccomp:").is_some_and(|mode| mode.trim() != "0");
        Some(ThreadStatus { tid, inner_tid, seccomp })
    })
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name))
}

/// The last number of a line that lists one for each namespace, outermost first.
fn innermost(status: &str, name: &str) -> Option<u32> {
    field(status, name)?.split_whitespace().last()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_innermost_number() {
        let status = "Name:\tx\nNStgid:\t4711\t12\t1\nNSpid:\t4712\nSeccomp:\t2\nSeccomp_filters:\t1\n";
        assert_eq!(innermost(status, "NStgid:"), Some(1));
        assert_eq!(innermost(status, "NSpid:"), Some(4712));
        assert_eq!(field(status, "Seccomp:").map(str::trim), Some("2"));
        assert_eq!(innermost("NStgid:\n", "NStgid:"), None);
    }

    #[test]
    fn sees_this_very_process() {
        let mut own = Identity::of(std::process::id()).expect("we may look at ourselves");
        assert!(own.live_threads().contains(&std::process::id()) || own.threads.is_some());
        assert_eq!(own.outer_tid(1), 1);
    }
}
