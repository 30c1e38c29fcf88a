//! What probes cost the target: tried on a child of ours.
//!
//! By the very programs and tables that are to watch the target, before they do: to make and check others takes the kernel longer
//! than everything else that attaching is.

use super::attach::{self, Attached, Links, Places};
use super::identity::Identity;
use super::kernel::{HEADER, file_offset, plan_of};
use super::object::Programs;
use super::{ProbeMode, TraceError, TracePlan, attach_causes, tables};
use crate::sys::bpf_child::{CallingChild, begins_dear, like_a_poll};
use async_inspect_ebpf::{COOKIE_DEAR, Config, NONE, NodeKind, WalkArm, WalkNode};
use std::io;

/// CPU time that the target pays, ns. Measured on a child of ours that calls a function, and writes between two calls to more memory
/// than a core's own caches hold: a program does something between its polls, and what a probe needs has gone by then. One that does
/// nothing but hand messages to and fro pays about half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Price {
    /// For all probes of one poll.
    pub poll_ns: u64,
    /// For a wake or a spawn whose probe the kernel has to step over; None where none is asked for.
    pub dear_ns: Option<u64>,
}

/// What the child calls.
const FUNCTIONS: [extern "C" fn(&[u64; 8]); 2] = [like_a_poll, begins_dear];
const POLL: u32 = 0;
const DEAR: u32 = 1;

/// Of the plan that they are tried with.
pub(super) const NODES: usize = 2;
pub(super) const ARMS: usize = 2;

/// For all probes of one poll, ns. Also says in which mode they could be attached. No program runs when this returns, but they have
/// written.
///
/// `config`: of the target, but for who that is.
pub(super) fn of_poll(
    programs: &Programs,
    config: Config,
    mode: ProbeMode,
    entry_only: bool,
) -> Result<(u64, ProbeMode), TraceError> {
    let child = begin(programs, config)?;
    let without = time_of_call(&child, POLL)?;
    let places = places(&child, like_a_poll, 0)?;
    let Attached { links, mode, .. } = attach::attach(programs, &places, mode, entry_only)?;
    let ns = time_of_call(&child, POLL)?.saturating_sub(without);
    end(child, links);
    Ok((ns, mode))
}

/// For a wake whose probe the kernel has to step over, ns; else the same. `mode`: in which polls are probed.
pub(super) fn of_dear(programs: &Programs, config: Config, mode: ProbeMode) -> Result<u64, TraceError> {
    let child = begin(programs, config)?;
    let without = time_of_call(&child, DEAR)?;
    let links = attach_causes::wakes(programs, places(&child, begins_dear, COOKIE_DEAR)?, mode)?;
    let ns = time_of_call(&child, DEAR)?.saturating_sub(without);
    end(child, links);
    Ok(ns)
}

/// A child that the programs take for the target.
fn begin(programs: &Programs, config: Config) -> Result<CallingChild, TraceError> {
    let child = CallingChild::start(&FUNCTIONS, &HEADER, 2 * own_cache()).map_err(failed)?;
    let Config { ns_dev, ns_ino, tgid, .. } = Identity::of(child.pid())?.config();
    tables::fill_walk(programs, &walked_plan()?, Config { ns_dev, ns_ino, tgid, ..config })?;
    Ok(child)
}

fn places(
    child: &CallingChild,
    function: extern "C" fn(&[u64; 8]),
    cookie: u64,
) -> Result<Places, TraceError> {
    let offset = file_offset(function as *const () as u64).map_err(failed)?;
    Ok(Places {
        exe: "/proc/self/exe".into(),
        pid: child.pid(),
        offsets: vec![offset.0],
        cookies: vec![cookie],
    })
}

/// When the child has ended, no program runs for it. To take its probes out takes the kernel some grace periods that nobody need
/// wait for.
fn end(child: CallingChild, links: Links) {
    drop(child);
    links.close_aside();
}

/// Of one core, which it shares with no other, bytes (Documentation/ABI/testing/sysfs-devices-system-cpu).
fn own_cache() -> usize {
    const USUAL: usize = 1 << 20;
    let text = std::fs::read_to_string("/sys/devices/system/cpu/cpu0/cache/index2/size");
    let kib = text.ok().and_then(|text| text.trim().strip_suffix('K')?.parse::<usize>().ok());
    kib.map_or(USUAL, |kib| kib << 10)
}

fn time_of_call(child: &CallingChild, nth: u32) -> Result<u64, TraceError> {
    child.call(nth).map_err(failed)
}

fn failed(error: io::Error) -> TraceError {
    TraceError::Io { doing: "try what a probe costs", error }
}

/// As a task of two levels: two discriminants are read.
fn walked_plan() -> Result<TracePlan, TraceError> {
    let mut plan = plan_of(like_a_poll)?;
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
    plan.nodes = <[WalkNode; NODES]>::into([switch(0, 16), switch(1, 24)]);
    let arm = |child_node| WalkArm { child_node, child_off: 8, flags: 0 };
    plan.arms = <[WalkArm; ARMS]>::into([arm(1), arm(NONE)]);
    plan.arm_frames = vec![None; ARMS];
    plan.arm_ends = vec![None; ARMS];
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{CauseProbe, Preparation, TraceTarget, Tracer, Wanted, Wish};

    #[test]
    fn a_poll_has_a_price_and_a_stepped_probe() {
        let mut plan = plan_of(like_a_poll).expect("it is in our own file");
        plan.causes.wakes =
            vec![CauseProbe { dear: true, offset: plan.sites[0].offset, ..CauseProbe::default() }];
        let target = TraceTarget { pid: std::process::id(), exe: "/proc/self/exe".into() };
        let wish = Wish { mode: ProbeMode::Auto, entry_only: false, wanted: Wanted::ALL, long_after: None };
        let preparation = Preparation::begin(target.pid, wish, 0);
        match Tracer::attach_priced(&target, &plan, wish, preparation) {
            Ok((tracer, price)) => {
                let Price { poll_ns, dear_ns } = price.expect("what can be attached can be tried");
                // From the fastest machine of some years hence to a virtual one without help from its processor.
                for ns in [poll_ns, dear_ns.expect("it was asked for")] {
                    assert!((100..1_000_000).contains(&ns), "{ns} ns");
                }
                assert_eq!(tracer.hits(), crate::trace::Hits::default(), "nothing is left of what was tried");
            }
            Err(why) => eprintln!("\n=== SKIPPED, nothing was tested: no probes here: {why} ===\n"),
        }
    }
}
