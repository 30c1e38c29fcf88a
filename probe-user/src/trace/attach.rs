//! Putting probes in, by the best means that the kernel has.

use super::TraceError;
use super::kernel;
use super::object::{Programs, has_attach_cookies, no_attach_cookies};
use crate::sys::bpf::{self, AttachType, MultiTarget, PerfUprobes};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::ffi::CString;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// How the probes are attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeMode {
    /// The first of the following that the kernel has.
    Auto,
    /// One uprobe session, entry and return in one (Linux 6.13).
    Session,
    /// `uprobe_multi`, one link for entries and one for returns (Linux 6.6).
    Multi,
    /// A perf event for each site and each direction.
    Perf,
}

impl fmt::Display for ProbeMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ProbeMode::Auto => "auto",
            ProbeMode::Session => "session",
            ProbeMode::Multi => "multi",
            ProbeMode::Perf => "perf",
        })
    }
}

/// Probes that are in. Dropping them takes them out.
#[derive(Debug, Default)]
pub(super) struct Links(Vec<OwnedFd>);

impl Links {
    pub fn add(&mut self, link: OwnedFd) {
        self.0.push(link);
    }

    pub fn append(&mut self, other: &mut Links) {
        self.0.append(&mut other.0);
    }

    /// Takes them out without waiting until they are: for probes that nobody hits any more.
    pub fn close_aside(self) {
        // Where no thread can be had, it is done here.
        let _ = std::thread::Builder::new().name("close".into()).spawn(move || drop(self));
    }
}

/// To close one perf event takes the kernel 0.05 to 0.25 s, much of it waiting for a grace period. Several threads
/// wait for the same one: 256 events in 12 s instead of 22 on Linux 6.1. (Nothing gained on 6.18, where a lock is
/// held meanwhile; there perf events are not what we use.)
const CLOSING_THREADS: usize = 32;

impl Drop for Links {
    fn drop(&mut self) {
        let Links(links) = self;
        let share = links.len().div_ceil(CLOSING_THREADS).max(1);
        std::thread::scope(|scope| {
            // Of a few links each is its own share, and the last needs no thread.
            while links.len() > 1 {
                let part = links.split_off(links.len().saturating_sub(share));
                scope.spawn(move || drop(part));
            }
            links.clear();
        });
    }
}

/// The file, its sites and the process (0: every one that runs the file).
#[derive(Clone, Debug)]
pub(super) struct Places {
    pub exe: PathBuf,
    pub pid: u32,
    /// In the file.
    pub offsets: Vec<u64>,
    /// What the program is told at each: of a site, its number.
    pub cookies: Vec<u64>,
}

/// What came of attaching.
pub(super) struct Attached {
    pub links: Links,
    /// Never [`ProbeMode::Auto`].
    pub mode: ProbeMode,
    pub notes: Vec<String>,
}

/// Attaches to every site, in `mode` or the best there is.
pub(super) fn attach(
    programs: &Programs,
    places: &Places,
    mode: ProbeMode,
    entry_only: bool,
) -> Result<Attached, TraceError> {
    // Without returns a session is only a slower multi link.
    let modes: &[ProbeMode] = match (mode, entry_only) {
        (ProbeMode::Auto, false) => &[ProbeMode::Session, ProbeMode::Multi, ProbeMode::Perf],
        (ProbeMode::Auto | ProbeMode::Session, true) => &[ProbeMode::Multi, ProbeMode::Perf],
        (ProbeMode::Session, false) => &[ProbeMode::Session],
        (ProbeMode::Multi, _) => &[ProbeMode::Multi],
        (ProbeMode::Perf, _) => &[ProbeMode::Perf],
    };
    let mut refused = None;
    for &mode in modes {
        let mut notes = Vec::new();
        let links = match mode {
            ProbeMode::Perf => perf(programs, places, entry_only),
            ProbeMode::Session => session(programs, places),
            _ => multi(programs, places, entry_only, &mut notes),
        };
        match links {
            Ok(links) => return Ok(Attached { links, mode, notes }),
            Err(TraceError::KernelTooOld { what, why }) => {
                refused = Some(TraceError::KernelTooOld { what, why });
            }
            Err(other) => return Err(other),
        }
    }
    Err(refused.expect("at least one mode was tried"))
}

fn session(programs: &Programs, places: &Places) -> Result<Links, TraceError> {
    let link = link_many(programs, places, "poll_session", AttachType::Session, false)?;
    Ok(Links(vec![link]))
}

fn multi(
    programs: &Programs,
    places: &Places,
    entry_only: bool,
    notes: &mut Vec<String>,
) -> Result<Links, TraceError> {
    let mut places = places.clone();
    if !kernel::multi_filter_passes_threads()? {
        notes.push(
            "this kernel's uprobe_multi cannot be limited to one process without missing its threads: other \
             processes that run the same file are slowed down as well, their polls are not shown"
                .to_owned(),
        );
        places.pid = 0;
    }
    if entry_only {
        let link = link_many(programs, &places, "poll_start", AttachType::Multi, false)?;
        return Ok(Links(vec![link]));
    }
    // Returns first: an entry seen then has its return seen as well.
    let returns = link_many(programs, &places, "poll_return", AttachType::Multi, true)?;
    let entries = link_many(programs, &places, "poll_entry", AttachType::Multi, false)?;
    Ok(Links(vec![returns, entries]))
}

pub(super) fn link_many(
    programs: &Programs,
    places: &Places,
    program: &'static str,
    attach: AttachType,
    returns: bool,
) -> Result<OwnedFd, TraceError> {
    link_program(programs.load(program, attach)?.as_fd(), places, attach, returns)
}

/// Of a program loaded for a session or for `uprobe_multi`.
pub(super) fn link_program(
    program: BorrowedFd<'_>,
    places: &Places,
    attach: AttachType,
    returns: bool,
) -> Result<OwnedFd, TraceError> {
    let path = c_path(&places.exe)?;
    let Places { offsets, cookies, pid, .. } = places;
    let target = MultiTarget { path: &path, offsets, cookies, pid: *pid };
    bpf::link_multi(program, attach, returns, target).map_err(|error| unsupported(attach, error))
}

/// An older kernel knows neither the attach type nor the link's fields: EINVAL.
fn unsupported(attach: AttachType, error: io::Error) -> TraceError {
    let what =
        if attach == AttachType::Session { "attach uprobe sessions" } else { "attach uprobe_multi links" };
    match error.raw_os_error() {
        Some(libc::EINVAL | libc::EOPNOTSUPP) => TraceError::KernelTooOld { what, why: error.to_string() },
        // The path is in /proc.
        Some(libc::ENOENT) => TraceError::TargetGone,
        _ => TraceError::from_io(what, error),
    }
}

fn perf(programs: &Programs, places: &Places, entry_only: bool) -> Result<Links, TraceError> {
    let directions: &[(&'static str, bool)] =
        if entry_only { &[("poll_start", false)] } else { &[("poll_return", true), ("poll_entry", false)] };
    allow_files(directions.len() * places.offsets.len());
    let mut links = Links(Vec::new());
    for &(program, returns) in directions {
        link_each(programs, places, program, returns, &mut links)?;
    }
    Ok(links)
}

pub(super) fn link_each(
    programs: &Programs,
    places: &Places,
    program: &'static str,
    returns: bool,
    links: &mut Links,
) -> Result<(), TraceError> {
    let program = programs.load(program, AttachType::PerfEvent)?;
    link_events(program.as_fd(), places, returns, links)
}

/// A perf event for each place.
pub(super) fn link_events(
    program: BorrowedFd<'_>,
    places: &Places,
    returns: bool,
    links: &mut Links,
) -> Result<(), TraceError> {
    let path = c_path(&places.exe)?;
    let uprobes = perf_uprobes().map_err(|error| TraceError::KernelTooOld {
        what: "attach uprobes by perf events",
        why: error.to_string(),
    })?;
    for (offset, cookie) in places.offsets.iter().zip(&places.cookies) {
        let link = bpf::link_perf_event(program, uprobes, returns, &path, *offset, *cookie, places.pid);
        links.add(link.map_err(perf_refused)?);
    }
    Ok(())
}

/// Return programs ask for no cookie, and so a kernel without them takes the program, and refuses the link that brings one.
fn perf_refused(error: io::Error) -> TraceError {
    match error.raw_os_error() {
        Some(libc::EINVAL) if !has_attach_cookies() => no_attach_cookies(),
        Some(libc::ENOENT) => TraceError::TargetGone,
        _ => TraceError::from_io("attach a uprobe by a perf event", error),
    }
}

/// Every link is an open file, and a shell allows 1,024. Where the hard limit is lower than what we need, opening
/// one too many tells.
fn allow_files(links: usize) {
    let limit = getrlimit(Resource::Nofile);
    let wanted = links as u64 + 1024;
    if limit.current.is_some_and(|current| current < wanted) {
        let allowed = limit.maximum.map_or(wanted, |maximum| maximum.min(wanted));
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(allowed), maximum: limit.maximum });
    }
}

fn perf_uprobes() -> io::Result<PerfUprobes> {
    let number = |path: &str| -> io::Result<u32> {
        let text = std::fs::read_to_string(path)?;
        let digits = text.trim().trim_start_matches("config:");
        digits.parse().map_err(|_| io::Error::other(format!("{path} says {text:?}")))
    };
    Ok(PerfUprobes {
        event_type: number("/sys/bus/event_source/devices/uprobe/type")?,
        return_bit: number("/sys/bus/event_source/devices/uprobe/format/retprobe")?,
    })
}

fn c_path(path: &Path) -> Result<CString, TraceError> {
    CString::new(path.as_os_str().as_bytes())
        .map_err(|error| TraceError::Io { doing: "name the target's executable", error: error.into() })
}
