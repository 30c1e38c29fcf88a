//! The programs' tables, filled from a plan.

use super::object::{Programs, map_error};
use super::{TraceError, TracePlan};
use async_inspect_ebpf::{Config, Site, Target, WalkArm, WalkNode};
use aya::maps::{Array, HashMap, MapData};
use zerocopy::{Immutable, IntoBytes};

/// Everything that is known before the probes go in.
pub(super) fn fill(programs: &Programs, plan: &TracePlan, config: Config) -> Result<(), TraceError> {
    let sites: Vec<Site> = plan
        .sites
        .iter()
        .map(|site| {
            let (root, root_off) = plan.start(site);
            let (id_offset, block_len) = (site.id_offset, plan.block_len(site));
            Site { root, id_offset, block_len, root_off, address: site.address.0 }
        })
        .collect();
    configure(programs, config)?;
    fill_array::<_, { size_of::<Site>() }>(programs, "SITES", &sites)?;
    fill_array::<_, { size_of::<WalkNode>() }>(programs, "NODES", &plan.nodes)?;
    fill_array::<_, { size_of::<WalkArm>() }>(programs, "ARMS", &plan.arms)?;
    let mut polls: HashMap<MapData, u64, u32> = programs.map("POLLS")?;
    for (i, site) in plan.sites.iter().enumerate() {
        polls.insert(site.address.0, i as u32, 0).map_err(map_error)?;
    }
    let mut vtables: HashMap<MapData, u64, u32> = programs.map("VTABLES")?;
    for (vtable, node) in &plan.vtables {
        vtables.insert(vtable.0, node, 0).map_err(map_error)?;
    }
    Ok(())
}

pub(super) fn configure(programs: &Programs, config: Config) -> Result<(), TraceError> {
    fill_array::<_, { size_of::<Config>() }>(programs, "CONFIG", &[config])
}

/// As it is before a thread of the target was hit. No program may run meanwhile.
pub(super) fn forget_target(programs: &Programs) -> Result<(), TraceError> {
    fill_array::<_, { size_of::<Target>() }>(programs, "TARGET", &[Target::default()])
}

/// `N` is the size of `T`.
fn fill_array<T: IntoBytes + Immutable, const N: usize>(
    programs: &Programs,
    name: &'static str,
    values: &[T],
) -> Result<(), TraceError> {
    let mut array: Array<MapData, [u8; N]> = programs.map(name)?;
    for (i, value) in values.iter().enumerate() {
        let bytes: [u8; N] = value.as_bytes().try_into().expect("N is the size of T");
        array.set(i as u32, bytes, 0).map_err(map_error)?;
    }
    Ok(())
}
