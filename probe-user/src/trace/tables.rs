//! The programs' tables, filled from a plan.

use super::object::Programs;
use super::{TraceError, TracePlan};
use async_inspect_ebpf::{Config, Site};
use zerocopy::{Immutable, IntoBytes};

/// Everything that is known before the probes go in.
pub(super) fn fill(programs: &Programs, plan: &TracePlan, config: Config) -> Result<(), TraceError> {
    fill_walk(programs, plan, config)?;
    let (polls, sites): (Vec<u64>, Vec<u32>) = plan.sites.iter().map(|site| site.address.0).zip(0..).unzip();
    programs.fill("POLLS", &polls, &sites)?;
    let (vtables, nodes): (Vec<u64>, Vec<u32>) =
        plan.vtables.iter().map(|(vtable, node)| (vtable.0, *node)).unzip();
    programs.fill("VTABLES", &vtables, &nodes)
}

/// The same without what finds sites and nodes by addresses: that is never forgotten.
pub(super) fn fill_walk(programs: &Programs, plan: &TracePlan, config: Config) -> Result<(), TraceError> {
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
    fill_array(programs, "SITES", &sites)?;
    fill_array(programs, "NODES", &plan.nodes)?;
    fill_array(programs, "ARMS", &plan.arms)
}

pub(super) fn configure(programs: &Programs, config: Config) -> Result<(), TraceError> {
    fill_array(programs, "CONFIG", &[config])
}

fn fill_array<T: IntoBytes + Immutable>(
    programs: &Programs,
    name: &'static str,
    values: &[T],
) -> Result<(), TraceError> {
    let indices: Vec<u32> = (0..values.len() as u32).collect();
    programs.fill(name, &indices, values)
}
