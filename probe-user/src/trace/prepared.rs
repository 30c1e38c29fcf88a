//! A trace whose probes are not in yet: its maps are made, its programs loaded, and what a probe costs was tried.
//!
//! To have the kernel check the programs takes about as long as all that is read of the target, and needs none of it but how large
//! the tables must be. So it begins on a thread of its own, with tables that are large enough for almost every program of that size.

use super::attach_causes::{END, PANIC, SPAWN, WAKE};
use super::identity::Identity;
use super::object::{Programs, Sizes};
use super::off_cpu;
use super::price::{self, Price};
use super::written::Written;
use super::{ProbeMode, TraceError, TracePlan, Wanted, kernel, on_cpu};
use crate::sys::bpf::AttachType;
use async_inspect_ebpf::{Config, NONE};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// About 35,000 polls that moved their task: many times what a busy server makes between two looks, some milliseconds apart. The ring is
/// mapped twice in a row, and both count as memory of ours.
const RING_BYTES: usize = 8 << 20;
/// About 65,000 wakes and spawns.
const CAUSE_BYTES: usize = 4 << 20;
/// 63 stacks.
const SAMPLE_BYTES: usize = 2 << 20;
/// The smallest ring that there is.
const PAGE: usize = 4096;

/// What is to be watched, as far as it is known before anything of the program is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    pub mode: ProbeMode,
    /// No return address of the target is touched, and no poll's end is seen.
    pub entry_only: bool,
    pub wanted: Wanted,
    /// As of [`TracePlan`].
    pub long_after: Option<Duration>,
}

/// How much a plan may have of each.
#[derive(Clone, Copy, Debug)]
struct Room {
    sites: usize,
    nodes: usize,
    arms: usize,
    vtables: usize,
    causes: bool,
}

impl Room {
    fn of(plan: &TracePlan) -> Room {
        Room {
            sites: plan.sites.len(),
            nodes: plan.nodes.len(),
            arms: plan.arms.len(),
            vtables: plan.vtables.len(),
            causes: !plan.causes.is_empty(),
        }
    }

    /// For almost every program with so many bytes of code. The smallest futures that there are take 2 KiB for each of their poll
    /// functions, with what else tokio makes of each, and have 5 nodes and 10 arms; a server has a poll function for each 100 KiB, with
    /// 12 nodes and 24 arms.
    fn for_code(bytes: u64) -> Room {
        /// For all of one, the kernel takes 2 KiB.
        const MOST_SITES: u64 = 8192;
        let sites = (bytes / 1536).clamp(64, MOST_SITES) as usize;
        Room { sites, nodes: sites * 8, arms: sites * 20, vtables: sites, causes: true }
    }

    fn holds(self, other: Room) -> bool {
        let least = |room: Room| [room.sites, room.nodes, room.arms, room.vtables];
        least(self).iter().zip(least(other)).all(|(have, need)| *have >= need) && self.causes >= other.causes
    }
}

/// A trace that gets prepared on a thread of its own.
#[derive(Debug)]
pub struct Preparation {
    begun_for: (u32, Wish),
    thread: JoinHandle<Result<Priced, TraceError>>,
}

impl Preparation {
    /// Of process `pid`, whose program has so many bytes of code. None where no thread can be had. It forks: until the child has ended
    /// it holds what files are open.
    pub fn begin(pid: u32, wish: Wish, code_bytes: u64) -> Option<Preparation> {
        let run = move || Prepared::tried(pid, wish, Room::for_code(code_bytes));
        let thread = thread::Builder::new().name("prepare".into()).spawn(run).ok()?;
        Some(Preparation { begun_for: (pid, wish), thread })
    }

    fn finish(self) -> Result<Priced, TraceError> {
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

pub(super) struct Prepared {
    pub programs: Programs,
    pub written: Written,
    pub identity: Identity,
    /// In which the probes could be attached, where that was tried.
    pub mode: ProbeMode,
    /// Asked for, or all that can be had.
    pub entry_only: bool,
    /// What is not as asked for or as one would expect, and why; for people.
    pub notes: Vec<String>,
    room: Room,
    under_seccomp: bool,
    /// See [`Config::long_us`] and [`Config::kernel_ids`].
    long_us: u32,
    kernel_ids: u32,
}

/// And what the probes of a poll cost, or why that could not be tried.
type Priced = (Prepared, Result<Price, TraceError>);

impl Prepared {
    /// For this plan; what was begun, if that is of use.
    ///
    /// # Errors
    /// See [`TraceError`].
    pub fn priced(
        pid: u32,
        wish: Wish,
        plan: &TracePlan,
        preparation: Option<Preparation>,
    ) -> Result<Priced, TraceError> {
        plan.check()?;
        let (mut prepared, price) = Prepared::begun_or_anew(pid, wish, Room::of(plan), preparation)?;
        let price = match price {
            Ok(price) if plan.causes.is_dear() => {
                let tried = price::of_dear(&prepared.programs, prepared.config(), prepared.mode);
                prepared.written.clear()?;
                tried.map(|ns| Price { dear_ns: Some(ns), ..price })
            }
            other => other,
        };
        Ok((prepared, price))
    }

    fn begun_or_anew(
        pid: u32,
        wish: Wish,
        room: Room,
        preparation: Option<Preparation>,
    ) -> Result<Priced, TraceError> {
        if let Some(preparation) = preparation.filter(|preparation| preparation.begun_for == (pid, wish)) {
            let (prepared, price) = preparation.finish()?;
            // A program that had just begun may have set a filter since.
            let same = prepared.under_seccomp == prepared.identity.under_seccomp();
            if same && prepared.room.holds(room) {
                return Ok((prepared, price));
            }
            tracing::debug!(same, have = ?prepared.room, need = ?room, "prepared in vain");
        }
        Prepared::tried(pid, wish, room)
    }

    /// The same without having tried what it costs.
    ///
    /// # Errors
    /// See [`TraceError`].
    pub fn untried(pid: u32, wish: Wish, plan: &TracePlan) -> Result<Prepared, TraceError> {
        plan.check()?;
        Prepared::new(pid, wish, Room::of(plan))
    }

    fn tried(pid: u32, wish: Wish, room: Room) -> Result<Priced, TraceError> {
        let mut prepared = Prepared::new(pid, wish, room)?;
        let price = prepared.try_price()?;
        prepared.load_ahead(wish.wanted);
        Ok((prepared, price))
    }

    fn new(pid: u32, wish: Wish, room: Room) -> Result<Prepared, TraceError> {
        let Wish { mode, entry_only, long_after, .. } = wish;
        if long_after.is_some() && !entry_only {
            off_cpu::look_for_kernel_ids();
        }
        let identity = Identity::of(pid)?;
        let mut notes = Vec::new();
        let under_seccomp = identity.under_seccomp();
        let without_returns = !entry_only && under_seccomp && !kernel::returns_pass_seccomp(mode)?;
        if without_returns {
            notes.push(
                "the target is under seccomp, and this kernel's return probes do not pass a filter: only the \
                 starts of polls are probed, their ends and durations are not seen"
                    .to_owned(),
            );
        }
        let entry_only = entry_only || without_returns;
        let watches_switches = long_after.is_some() && !entry_only;
        let programs = Programs::open(Sizes {
            sites: room.sites,
            nodes: room.nodes,
            arms: room.arms,
            vtables: room.vtables,
            ring_bytes: RING_BYTES,
            cause_bytes: if room.causes { CAUSE_BYTES } else { PAGE },
            sample_bytes: if watches_switches { SAMPLE_BYTES } else { PAGE },
        })?;
        let written = Written::of(&programs, room.sites)?;
        let long_us = long_after.map_or(0, |long| u32::try_from(long.as_micros()).unwrap_or(u32::MAX));
        let kernel_ids = if watches_switches { off_cpu::kernel_ids(&mut notes) } else { NONE };
        Ok(Prepared {
            programs,
            written,
            identity,
            mode,
            entry_only,
            notes,
            room,
            under_seccomp,
            long_us,
            kernel_ids,
        })
    }

    /// All but what only a plan tells.
    pub fn config(&self) -> Config {
        Config { kernel_ids: self.kernel_ids, long_us: self.long_us, ..self.identity.config() }
    }

    fn try_price(&mut self) -> Result<Result<Price, TraceError>, TraceError> {
        let tried = price::of_poll(&self.programs, self.config(), self.mode, self.entry_only);
        self.written.clear()?;
        self.mode = tried.as_ref().map_or(self.mode, |(_, mode)| *mode);
        Ok(tried.map(|(poll_ns, _)| Price { poll_ns, dear_ns: None }))
    }

    /// Loads the programs that are needed beside those of polls. What the kernel refuses is told by who needs it then.
    fn load_ahead(&self, wanted: Wanted) {
        if self.kernel_ids != NONE {
            let _ = off_cpu::load(&self.programs);
        }
        if self.long_us != 0 && !self.entry_only {
            let _ = on_cpu::load(&self.programs);
        }
        if matches!(self.mode, ProbeMode::Session | ProbeMode::Multi) {
            let causes = [(WAKE, wanted.wakes), (SPAWN, wanted.spawns), (END, true), (PANIC, true)];
            for (program, _) in causes.into_iter().filter(|(_, wanted)| *wanted) {
                let _ = self.programs.load(program, AttachType::Multi);
                let _ = kernel::multi_filter_passes_threads();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_holds_what_is_no_larger_in_any_way() {
        let room = Room { sites: 2, nodes: 3, arms: 4, vtables: 5, causes: false };
        assert!(room.holds(room));
        assert!(Room { causes: true, ..room }.holds(room) && !room.holds(Room { causes: true, ..room }));
        for larger in [
            Room { sites: 3, ..room },
            Room { nodes: 4, ..room },
            Room { arms: 5, ..room },
            Room { vtables: 6, ..room },
        ] {
            assert!(larger.holds(room) && !room.holds(larger), "{larger:?}");
        }
    }

    #[test]
    fn there_is_room_for_the_smallest_futures_in_their_code() {
        // tests/targets/peers: types_5 to types_1000.
        let measured = [(1001, 2_300_000, 5008, 10009), (2001, 4_529_456, 10008, 20009)];
        for (sites, code, nodes, arms) in measured {
            let plan = Room { sites, nodes, arms, vtables: 1, causes: true };
            assert!(Room::for_code(code).holds(plan), "{plan:?}");
        }
    }
}
