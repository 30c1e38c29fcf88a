//! Putting in the probes of wakes, spawns, ends and panics: entries only, by the means that the probes of polls took.

use super::attach::{Links, Places, ProbeMode, link_each, link_many};
use super::object::Programs;
use super::{CausePlan, TraceError, kernel};
use crate::sys::bpf::AttachType;

/// Those of `plan`, beside probes of polls that were attached in `mode`.
pub(super) fn attach(
    programs: &Programs,
    places: &Places,
    plan: &CausePlan,
    mode: ProbeMode,
) -> Result<Links, TraceError> {
    let mut links = Links::default();
    let all = [
        (WAKE, &plan.wakes),
        (SPAWN, &plan.spawns),
        (END, &plan.ends),
        (PANIC, &plan.panics),
        (DROP, &plan.drops),
    ];
    for (program, probes) in all {
        // There is one of the last for each kind of task, and perf events are slow to take out.
        if probes.is_empty() || mode == ProbeMode::Perf && program == DROP {
            continue;
        }
        let offsets = probes.iter().map(|probe| probe.offset.0).collect();
        let cookies = probes.iter().map(|probe| probe.cookie()).collect();
        let places = Places { offsets, cookies, ..places.clone() };
        links.append(&mut entries(programs, places, program, mode)?);
    }
    Ok(links)
}

/// Those of wakes, at these places.
pub(super) fn wakes(programs: &Programs, places: Places, mode: ProbeMode) -> Result<Links, TraceError> {
    entries(programs, places, WAKE, mode)
}

pub(super) const WAKE: &str = "task_wake";
pub(super) const SPAWN: &str = "task_spawn";
pub(super) const END: &str = "task_end";
pub(super) const PANIC: &str = "panicked";
const DROP: &str = "task_drop";

fn entries(
    programs: &Programs,
    mut places: Places,
    program: &'static str,
    mode: ProbeMode,
) -> Result<Links, TraceError> {
    let mut links = Links::default();
    if mode == ProbeMode::Perf {
        link_each(programs, &places, program, false, &mut links)?;
        return Ok(links);
    }
    if !kernel::multi_filter_passes_threads()? {
        places.pid = 0;
    }
    links.add(link_many(programs, &places, program, AttachType::Multi, false)?);
    Ok(links)
}
