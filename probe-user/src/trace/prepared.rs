//! A trace whose probes are not in yet: its maps are made.

use super::identity::Identity;
use super::kernel;
use super::object::{Programs, Sizes};
use super::off_cpu;
use super::written::Written;
use super::{ProbeMode, TraceError, TracePlan, TraceTarget};
use async_inspect_ebpf::{Config, NONE};

/// About 35,000 polls that moved their task: many times what a busy server makes between two looks, some milliseconds apart. The ring is
/// mapped twice in a row, and both count as memory of ours.
const RING_BYTES: usize = 8 << 20;
/// About 65,000 wakes and spawns.
const CAUSE_BYTES: usize = 4 << 20;
/// 63 stacks.
const SAMPLE_BYTES: usize = 2 << 20;
/// The smallest ring that there is.
const PAGE: usize = 4096;

pub(super) struct Prepared {
    pub programs: Programs,
    pub written: Written,
    pub config: Config,
    pub identity: Identity,
    /// Asked for, or all that can be had.
    pub entry_only: bool,
    /// What is not as asked for or as one would expect, and why; for people.
    pub notes: Vec<String>,
}

impl Prepared {
    /// # Errors
    /// See [`TraceError`].
    pub fn new(
        target: &TraceTarget,
        plan: &TracePlan,
        mode: ProbeMode,
        entry_only: bool,
    ) -> Result<Prepared, TraceError> {
        plan.check()?;
        let watches_switches = plan.long_after.is_some() && !entry_only;
        if watches_switches {
            off_cpu::look_for_kernel_ids();
        }
        let identity = Identity::of(target.pid)?;
        let mut notes = Vec::new();
        let without_returns = !entry_only && identity.under_seccomp() && !kernel::returns_pass_seccomp(mode)?;
        if without_returns {
            notes.push(
                "the target is under seccomp, and this kernel's return probes do not pass a filter: only the \
                 starts of polls are probed, their ends and durations are not seen"
                    .to_owned(),
            );
        }
        let entry_only = entry_only || without_returns;
        let programs = Programs::open(Sizes {
            sites: plan.sites.len(),
            nodes: plan.nodes.len(),
            arms: plan.arms.len(),
            vtables: plan.vtables.len(),
            ring_bytes: RING_BYTES,
            cause_bytes: if plan.causes.is_empty() { PAGE } else { CAUSE_BYTES },
            sample_bytes: if watches_switches && !entry_only { SAMPLE_BYTES } else { PAGE },
        })?;
        let written = Written::of(&programs, plan.sites.len())?;
        let mut config = plan.causes.configured(identity.config(), entry_only);
        let watches_switches = watches_switches && !entry_only;
        config.kernel_ids = if watches_switches { off_cpu::kernel_ids(&mut notes) } else { NONE };
        config.long_us =
            plan.long_after.map_or(0, |long| u32::try_from(long.as_micros()).unwrap_or(u32::MAX));
        Ok(Prepared { programs, written, config, identity, entry_only, notes })
    }
}
