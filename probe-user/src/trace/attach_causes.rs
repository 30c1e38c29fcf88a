//! Putting in the probes of wakes and spawns: entries only, by the means that the probes of polls took.

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
    for (program, probes) in [("task_wake", &plan.wakes), ("task_spawn", &plan.spawns)] {
        if probes.is_empty() {
            continue;
        }
        let offsets = probes.iter().map(|probe| probe.offset.0).collect();
        let cookies = probes.iter().map(|probe| probe.cookie()).collect();
        let mut places = Places { offsets, cookies, ..places.clone() };
        if mode == ProbeMode::Perf {
            link_each(programs, &places, program, false, &mut links)?;
            continue;
        }
        if !kernel::multi_filter_passes_threads()? {
            places.pid = 0;
        }
        links.add(link_many(programs, &places, program, AttachType::Multi, false)?);
    }
    Ok(links)
}
