//! What this kernel's probes do, found by trying them on ourselves. Never decided by a version number:
//! distributions backport.

use super::attach::{self, Links, Places};
use super::trial::Trial;
use super::{ProbeMode, SitePlan, TraceError, TracePlan, TraceTarget, Tracer};
use crate::sys::bpf::AttachType;
use crate::sys::bpf_child::{ChildEnd, FilteredChild, like_a_poll};
use crate::target::{Avma, FileOffset};
use async_inspect_ebpf::NONE;
use std::io;
use std::sync::OnceLock;

/// Each way to attach, and why not where this kernel or our rights do not allow it.
pub fn probe_modes() -> Vec<(ProbeMode, Result<(), TraceError>)> {
    let attempt = |mode| -> Result<(), TraceError> {
        let tracer = Tracer::attach(&ourselves(), &anchor_plan()?, mode, false)?;
        like_a_poll(&HEADER);
        let hits = tracer.hits();
        // More, if another thread of ours tries as well.
        if hits.entries >= 1 && hits.returns >= 1 {
            return Ok(());
        }
        Err(TraceError::KernelTooOld {
            what: "probe a function's entry and return",
            why: format!("{hits:?}"),
        })
    };
    [ProbeMode::Session, ProbeMode::Multi, ProbeMode::Perf].map(|mode| (mode, attempt(mode))).into()
}

/// The modes that work here and now.
///
/// # Errors
/// Where none does: why the last of them, perf events, does not.
pub fn features() -> Result<Vec<ProbeMode>, TraceError> {
    let mut working = Vec::new();
    let mut refused = None;
    for (mode, outcome) in probe_modes() {
        match outcome {
            Ok(()) => working.push(mode),
            Err(why) => refused = Some(why),
        }
    }
    match refused {
        Some(why) if working.is_empty() => Err(why),
        _ => Ok(working),
    }
}

/// Whether a return probe leaves a process under seccomp alive.
///
/// Since Linux 6.11 a return probe is a system call of its own on x86-64, and a filter that does not know it kills
/// the process; later kernels let it pass unseen. A child of ours behind a strict filter finds out.
/// <https://github.com/systemd/systemd/issues/34615>
///
/// # Errors
/// Where it cannot be tried.
pub fn returns_pass_seccomp(mode: ProbeMode) -> Result<bool, TraceError> {
    let doing = "try a return probe under seccomp";
    let child =
        FilteredChild::start(like_a_poll, &HEADER).map_err(|error| TraceError::Io { doing, error })?;
    let probe = anchor(child.pid()).and_then(|places| probe_return(&places, mode));
    // Before the error, if there is one: the child waits for it.
    let end = child.finish().map_err(|error| TraceError::Io { doing, error })?;
    let (trial, links, hits) = probe?;
    let passes = end == ChildEnd::Fine && trial.hits() == hits;
    links.close_aside();
    Ok(passes)
}

/// A return probe of this mode, or of the first that the kernel has; and how often its program runs for a call.
fn probe_return(places: &Places, mode: ProbeMode) -> Result<(Trial, Links, u64), TraceError> {
    if mode == ProbeMode::Auto {
        return [ProbeMode::Session, ProbeMode::Multi]
            .iter()
            .find_map(|mode| probe_return(places, *mode).ok())
            .map_or_else(|| probe_return(places, ProbeMode::Perf), Ok);
    }
    let (attach, hits) = match mode {
        ProbeMode::Session => (AttachType::Session, 2),
        ProbeMode::Multi => (AttachType::Multi, 1),
        ProbeMode::Perf | ProbeMode::Auto => (AttachType::PerfEvent, 1),
    };
    let trial = Trial::load(attach)?;
    let mut links = Links::default();
    if attach == AttachType::PerfEvent {
        attach::link_events(trial.program(), places, true, &mut links)?;
    } else {
        let returns = attach == AttachType::Multi;
        links.add(attach::link_program(trial.program(), places, attach, returns)?);
    }
    Ok((trial, links, hits))
}

/// Whether the process filter of `uprobe_multi` passes all threads of a process. Before Linux 6.10 it passed
/// only the thread whose id was given.
/// <https://github.com/torvalds/linux/commit/46ba0e49b64232adac35a2bc892f1710c5b0fb7f>
pub(super) fn multi_filter_passes_threads() -> Result<bool, TraceError> {
    static PASSES: OnceLock<bool> = OnceLock::new();
    if let Some(passes) = PASSES.get() {
        return Ok(*passes);
    }
    let trial = Trial::load(AttachType::Multi)?;
    let mut links = Links::default();
    let places = anchor(std::process::id())?;
    links.add(attach::link_program(trial.program(), &places, AttachType::Multi, false)?);
    std::thread::scope(|scope| {
        scope.spawn(|| like_a_poll(&HEADER));
    });
    let passes = trial.hits() >= 1;
    links.close_aside();
    Ok(*PASSES.get_or_init(|| passes))
}

/// What the probes are tried on.
type Probed = extern "C" fn(&[u64; 8]);

/// What the function that the probes are tried on takes for a task.
pub(super) static HEADER: [u64; 8] = [0; 8];

fn ourselves() -> TraceTarget {
    TraceTarget { pid: std::process::id(), exe: "/proc/self/exe".into() }
}

fn anchor_plan() -> Result<TracePlan, TraceError> {
    plan_of(like_a_poll)
}

pub(super) fn plan_of(function: Probed) -> Result<TracePlan, TraceError> {
    let offset = file_offset(function as *const () as u64)
        .map_err(|error| TraceError::Io { doing: "find our own code in /proc/self/maps", error })?;
    let address = Avma(function as *const () as u64);
    let site = SitePlan { offset, address, name: "anchor".into(), root: NONE, id_offset: NONE };
    Ok(TracePlan { sites: vec![site], ..TracePlan::default() })
}

/// The same function as a place of process `pid`, a fork of ours.
fn anchor(pid: u32) -> Result<Places, TraceError> {
    let offsets = anchor_plan()?.sites.iter().map(|site| site.offset.0).collect();
    Ok(Places { exe: "/proc/self/exe".into(), pid, offsets, cookies: vec![0] })
}

/// Where in the executable the code at `address` of this process stands.
pub(super) fn file_offset(address: u64) -> io::Result<FileOffset> {
    let maps = std::fs::read_to_string("/proc/self/maps")?;
    let found = maps.lines().find_map(|line| {
        let mut fields = line.split_whitespace();
        let (start, end) = fields.next()?.split_once('-')?;
        let offset = fields.nth(1)?;
        let [start, end, offset] = [start, end, offset].map(|field| u64::from_str_radix(field, 16).ok());
        let (start, end, offset) = (start?, end?, offset?);
        (start..end).contains(&address).then(|| FileOffset(address - start + offset))
    });
    found.ok_or_else(|| io::Error::other("no mapping of it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_code_is_in_our_own_file() {
        let offset = file_offset(like_a_poll as *const () as u64).expect("it is mapped");
        let file = std::fs::metadata("/proc/self/exe").expect("it is there");
        assert!(offset.0 > 0 && offset.0 < file.len());
        assert!(file_offset(1).is_err());
    }
}
