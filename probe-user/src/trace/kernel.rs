//! What this kernel's probes do, found by trying them on ourselves. Never decided by a version number:
//! distributions backport.

use super::{ProbeMode, SitePlan, TraceError, TracePlan, TraceTarget, Tracer};
use crate::sys::bpf_child::{CallingChild, ChildEnd, FilteredChild, begins_dear, like_a_poll};
use crate::sys::process_clock::process_cpu_ns;
use crate::target::{Avma, FileOffset};
use async_inspect_ebpf::{NONE, NodeKind, WalkArm, WalkNode};
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
    static PASSES: OnceLock<bool> = OnceLock::new();
    if let Some(passes) = PASSES.get() {
        return Ok(*passes);
    }
    let tracer = Tracer::attach_multi_filtered(&ourselves(), &anchor_plan()?)?;
    std::thread::scope(|scope| {
        scope.spawn(|| like_a_poll(&HEADER));
    });
    Ok(*PASSES.get_or_init(|| tracer.hits().entries >= 1))
}

/// What a poll costs the target more while probes of this kind are in: CPU time, ns. Measured on a child of ours that does
/// nothing but call a function; its task stands in the processor's nearest cache, so that a real poll may cost more.
///
/// # Errors
/// Where it cannot be tried.
pub fn price_of_poll(mode: ProbeMode, entry_only: bool) -> Result<u64, TraceError> {
    price_of(like_a_poll, mode, entry_only)
}

/// What a probe costs whose first instruction the kernel steps over; as [`price_of_poll`].
///
/// # Errors
/// Where it cannot be tried.
pub fn price_of_step(mode: ProbeMode) -> Result<u64, TraceError> {
    price_of(begins_dear, mode, true)
}

fn price_of(function: Probed, mode: ProbeMode, entry_only: bool) -> Result<u64, TraceError> {
    let failed = |error| TraceError::Io { doing: "try what a probe costs", error };
    let child = CallingChild::start(function, &HEADER).map_err(failed)?;
    let round = || {
        let before = process_cpu_ns(child.pid())?;
        child.call(PRICED_CALLS)?;
        Ok(process_cpu_ns(child.pid())?.saturating_sub(before))
    };
    let rounds = || -> io::Result<u64> {
        let mut took: Vec<u64> = (0..PRICED_ROUNDS).map(|_| round()).collect::<io::Result<_>>()?;
        took.sort_unstable();
        Ok(took[PRICED_ROUNDS / 2])
    };
    let without = rounds().map_err(failed)?;
    let target = TraceTarget { pid: child.pid(), exe: "/proc/self/exe".into() };
    let tracer = Tracer::attach_regardless(&target, &walked_plan(function)?, mode, entry_only)?;
    let with = rounds().map_err(failed)?;
    drop(tracer);
    Ok(with.saturating_sub(without) / u64::from(PRICED_CALLS))
}

/// What the probes are tried on.
type Probed = extern "C" fn(&[u64; 8]);

const PRICED_CALLS: u32 = 3000;
const PRICED_ROUNDS: usize = 5;

/// What the function that the probes are tried on takes for a task.
static HEADER: [u64; 8] = [0; 8];

fn ourselves() -> TraceTarget {
    TraceTarget { pid: std::process::id(), exe: "/proc/self/exe".into() }
}

fn anchor_plan() -> Result<TracePlan, TraceError> {
    plan_of(like_a_poll)
}

fn plan_of(function: Probed) -> Result<TracePlan, TraceError> {
    let offset = file_offset(function as *const () as u64)
        .map_err(|error| TraceError::Io { doing: "find our own code in /proc/self/maps", error })?;
    let address = Avma(function as *const () as u64);
    let site = SitePlan { offset, address, name: "anchor".into(), root: NONE, id_offset: NONE };
    Ok(TracePlan { sites: vec![site], ..TracePlan::default() })
}

/// As a task of two levels: two discriminants are read.
fn walked_plan(function: Probed) -> Result<TracePlan, TraceError> {
    let mut plan = plan_of(function)?;
    plan.sites[0].root = 0;
    plan.sites[0].id_offset = 8;
    let switch = |first_arm, state_off| WalkNode {
        first_arm,
        state_off,
        n_arms: 1,
        default_arm: NONE,
        kind: NodeKind::Switch as u32,
        state_width: 1,
        base: 0,
    };
    plan.nodes = vec![switch(0, 16), switch(1, 24)];
    plan.arms = [1, NONE].map(|child_node| WalkArm { child_node, child_off: 8, flags: 0 }).into();
    plan.arm_frames = vec![None; 2];
    plan.arm_ends = vec![None; 2];
    Ok(plan)
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
    fn a_poll_has_a_price_and_a_stepped_probe() {
        for price in [price_of_poll(ProbeMode::Auto, false), price_of_step(ProbeMode::Auto)] {
            match price {
                // From the fastest machine of some years hence to a virtual one without help from its processor.
                Ok(ns) => assert!((100..1_000_000).contains(&ns), "{ns} ns"),
                Err(why) => eprintln!("\n=== SKIPPED, nothing was tested: no probes here: {why} ===\n"),
            }
        }
    }

    #[test]
    fn our_own_code_is_in_our_own_file() {
        let offset = file_offset(like_a_poll as *const () as u64).expect("it is mapped");
        let file = std::fs::metadata("/proc/self/exe").expect("it is there");
        assert!(offset.0 > 0 && offset.0 < file.len());
        assert!(file_offset(1).is_err());
    }
}
