//! What this kernel's probes do, found by trying them on ourselves. Never decided by a version number:
//! distributions backport.

use super::{ProbeMode, SitePlan, TraceError, TracePlan, TraceTarget, Tracer};
use crate::sys::bpf_child::{ChildEnd, FilteredChild};
use crate::target::FileOffset;
use async_inspect_ebpf::NONE;
use std::hint::black_box;
use std::io;

/// Each way to attach, and why not where this kernel or our rights do not allow it.
pub fn probe_modes() -> Vec<(ProbeMode, Result<(), TraceError>)> {
    let attempt = |mode| -> Result<(), TraceError> {
        let tracer = Tracer::attach(&ourselves(), &anchor_plan()?, mode, false)?;
        anchor(&HEADER);
        let hits = tracer.hits();
        if (hits.entries, hits.returns) == (1, 1) {
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
    let child = FilteredChild::start(anchor, &HEADER).map_err(|error| TraceError::Io { doing, error })?;
    let target = TraceTarget { pid: child.pid(), exe: "/proc/self/exe".into() };
    let tracer = anchor_plan().and_then(|plan| Tracer::attach_regardless(&target, &plan, mode, false));
    // Before the error, if there is one: the child waits for it.
    let end = child.finish().map_err(|error| TraceError::Io { doing, error })?;
    let hits = tracer?.hits();
    Ok(end == ChildEnd::Fine && hits.returns == 1)
}

/// Whether the process filter of `uprobe_multi` passes all threads of a process. Before Linux 6.10 it passed
/// only the thread whose id was given.
/// <https://github.com/torvalds/linux/commit/46ba0e49b64232adac35a2bc892f1710c5b0fb7f>
pub(super) fn multi_filter_passes_threads() -> Result<bool, TraceError> {
    let tracer = Tracer::attach_multi_filtered(&ourselves(), &anchor_plan()?)?;
    std::thread::scope(|scope| {
        scope.spawn(|| anchor(&HEADER));
    });
    Ok(tracer.hits().entries == 1)
}

/// What the probes are tried on. Takes a header as a poll function does.
#[inline(never)]
extern "C" fn anchor(header: &[u64; 8]) {
    black_box(header);
}

static HEADER: [u64; 8] = [0; 8];

fn ourselves() -> TraceTarget {
    TraceTarget { pid: std::process::id(), exe: "/proc/self/exe".into() }
}

fn anchor_plan() -> Result<TracePlan, TraceError> {
    let offset = file_offset(anchor as *const () as u64)
        .map_err(|error| TraceError::Io { doing: "find our own code in /proc/self/maps", error })?;
    let site = SitePlan { offset, name: "anchor".into(), root: NONE, id_offset: NONE };
    Ok(TracePlan { sites: vec![site], ..TracePlan::default() })
}

/// Where in the executable the code at `address` of this process stands.
fn file_offset(address: u64) -> io::Result<FileOffset> {
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
        let offset = file_offset(anchor as *const () as u64).expect("it is mapped");
        let file = std::fs::metadata("/proc/self/exe").expect("it is there");
        assert!(offset.0 > 0 && offset.0 < file.len());
        assert!(file_offset(1).is_err());
    }
}
