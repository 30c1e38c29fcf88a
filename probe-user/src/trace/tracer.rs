//! A running trace: probes that are in, and the ring buffer they write to.

use super::attach::{self, Attached, Links, Places};
use super::held::{HOLD_NS, Held};
use super::identity::Identity;
use super::kernel;
use super::object::{Programs, Sizes, map_error};
use super::translate::{Record, Translator};
use super::{ProbeMode, TraceError, TraceEvent, TracePlan};
use crate::decode::{RuntimeKind, TaskId};
use async_inspect_ebpf::{COUNTERS, Config, Counter, Site, Thread, WalkArm, WalkNode};
use aya::maps::{Array, HashMap, MapData, PerCpuArray, RingBuf};
use rustix::time::{ClockId, clock_gettime};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Which process to trace.
#[derive(Clone, Debug)]
pub struct TraceTarget {
    /// As our PID namespace numbers it.
    pub pid: u32,
    /// The file that the sites' offsets are in: `/proc/PID/exe`, so that a replaced file is not mistaken for it.
    pub exe: PathBuf,
}

/// How often the probes were hit; the base of every estimate of what the trace costs the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hits {
    /// Poll starts in the target.
    pub entries: u64,
    /// Poll ends in the target.
    pub returns: u64,
    /// Hits in other processes that run the same file.
    pub foreign: u64,
    /// Records that the ring buffer had no room for.
    pub lost: u64,
    /// Records with a path or an id that could not be read.
    pub unreadable: u64,
    /// Polls not followed: too many threads at once, or polls nested too deeply.
    pub not_followed: u64,
    /// Polls whose end was never seen.
    pub end_unseen: u64,
    /// Ends of polls that began before the probes were in.
    pub start_unseen: u64,
    /// Records of tasks whose id could not be read: they became no event.
    pub unidentified: u64,
    /// Records of tasks of which nothing tells where they keep their id: they became no event either.
    pub anonymous: u64,
}

/// A poll that has begun and not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningPoll {
    pub tid: u32,
    pub task: TaskId,
    pub name: Arc<str>,
    /// CLOCK_MONOTONIC, ns.
    pub since_ns: u64,
}

/// About 150,000 polls: several times what a busy server makes between two looks, some milliseconds apart.
const RING_BYTES: usize = 16 << 20;
/// Above tokio's 512 blocking threads per runtime; about 1.8 KiB each.
const MAX_THREADS: usize = 4096;
/// Records handed out by one call, so that it ends even if the target writes faster than we read.
const MAX_RECORDS: usize = 1 << 18;
/// How often entries of threads that have ended are swept out.
const SWEEP: Duration = Duration::from_secs(10);

/// aya's maps take arrays of bytes without `unsafe`.
type Threads = HashMap<MapData, u32, [u8; size_of::<Thread>()]>;

/// Probes that are in. Dropping it takes them out.
pub struct Tracer {
    // First, so that it goes first.
    _links: Links,
    verified: Vec<(&'static str, u32)>,
    mode: ProbeMode,
    entry_only: bool,
    notes: Vec<String>,
    ring: RingBuf<MapData>,
    tally: PerCpuArray<MapData, u64>,
    threads: Threads,
    identity: Identity,
    translator: Translator,
    held: Held,
    lost_told: u64,
    swept: Instant,
}

impl Tracer {
    /// Puts the probes in. They are live when this returns.
    ///
    /// With `entry_only` no return address of the target is touched, and no poll's end is seen.
    ///
    /// # Errors
    /// See [`TraceError`].
    pub fn attach(
        target: &TraceTarget,
        plan: &TracePlan,
        mode: ProbeMode,
        entry_only: bool,
    ) -> Result<Tracer, TraceError> {
        if !entry_only && Identity::of(target.pid)?.under_seccomp() && !kernel::returns_pass_seccomp(mode)? {
            let mut tracer = Tracer::attach_regardless(target, plan, mode, true)?;
            tracer.notes.push(
                "the target is under seccomp, and this kernel's return probes do not pass a filter: only the \
                 starts of polls are probed, their ends and durations are not seen"
                    .to_owned(),
            );
            return Ok(tracer);
        }
        Tracer::attach_regardless(target, plan, mode, entry_only)
    }

    /// As [`Tracer::attach`], whatever a seccomp filter of the target makes of a return probe.
    pub(super) fn attach_regardless(
        target: &TraceTarget,
        plan: &TracePlan,
        mode: ProbeMode,
        entry_only: bool,
    ) -> Result<Tracer, TraceError> {
        Tracer::attach_by(target, plan, entry_only, |programs, places| {
            attach::attach(programs, places, mode, entry_only)
        })
    }

    /// Entry probes by `uprobe_multi`, filtered by the kernel whatever that filter is worth.
    pub(super) fn attach_multi_filtered(
        target: &TraceTarget,
        plan: &TracePlan,
    ) -> Result<Tracer, TraceError> {
        Tracer::attach_by(target, plan, true, |programs, places| {
            Ok(Attached {
                links: attach::multi_entries(programs, places)?,
                mode: ProbeMode::Multi,
                notes: Vec::new(),
            })
        })
    }

    fn attach_by(
        target: &TraceTarget,
        plan: &TracePlan,
        entry_only: bool,
        attach: impl FnOnce(&Programs, &Places<'_>) -> Result<Attached, TraceError>,
    ) -> Result<Tracer, TraceError> {
        plan.check()?;
        let identity = Identity::of(target.pid)?;
        let programs = Programs::open(Sizes {
            sites: plan.sites.len(),
            nodes: plan.nodes.len(),
            arms: plan.arms.len(),
            vtables: plan.vtables.len(),
            threads: MAX_THREADS,
            ring_bytes: RING_BYTES,
        })?;
        fill(&programs, plan, &identity)?;
        let (ring, tally, threads) =
            (programs.map("EVENTS")?, programs.map("TALLY")?, programs.map("THREADS")?);
        let places = Places { exe: &target.exe, pid: target.pid, plan };
        let Attached { links, mode, notes } = attach(&programs, &places)?;
        Ok(Tracer {
            _links: links,
            verified: programs.verified(),
            mode,
            entry_only,
            notes,
            ring,
            tally,
            threads,
            identity,
            translator: Translator::new(plan),
            held: Held::default(),
            lost_told: 0,
            swept: Instant::now(),
        })
    }

    /// Never [`ProbeMode::Auto`].
    pub fn mode(&self) -> ProbeMode {
        self.mode
    }

    /// Whether only the starts of polls are seen, asked for or not.
    pub fn entry_only(&self) -> bool {
        self.entry_only
    }

    /// What is not as asked for or as one would expect, and why; for people.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Appends what happened since the last call, sorted by time. Does not wait; call it every few
    /// milliseconds, there is no wake-up.
    pub fn drain(&mut self, out: &mut Vec<TraceEvent>) {
        self.drain_until(now_ns().saturating_sub(HOLD_NS), out);
    }

    /// The last drain: also what would wait for a later poll.
    pub fn finish(&mut self, out: &mut Vec<TraceEvent>) {
        // One call takes more records than the ring holds.
        self.drain_until(u64::MAX, out);
    }

    fn drain_until(&mut self, horizon_ns: u64, out: &mut Vec<TraceEvent>) {
        let from = out.len();
        for _ in 0..MAX_RECORDS {
            let Some(bytes) = self.ring.next() else { break };
            if let Some(record) = Record::parse(&bytes) {
                self.held.push(&record);
            }
        }
        let Tracer { held, identity, translator, .. } = self;
        held.release(horizon_ns, |record| {
            let tid = identity.outer_tid(record.event.tid);
            translator.translate(record, tid, out);
        });
        out[from..].sort_by_key(TraceEvent::t_ns);
        let lost = self.lost();
        if lost > self.lost_told {
            out.push(TraceEvent::Lost { t_ns: now_ns(), count: lost - self.lost_told });
            self.lost_told = lost;
        }
        if self.swept.elapsed() > SWEEP {
            self.sweep();
        }
    }

    /// Polls of the target that should have become an event and did not, up to now.
    pub fn lost(&self) -> u64 {
        self.counter(Counter::Lost) + self.counter(Counter::NoRoom) + self.translator.unidentified()
    }

    pub fn hits(&self) -> Hits {
        Hits {
            entries: self.counter(Counter::Entries),
            returns: self.counter(Counter::Returns),
            foreign: self.counter(Counter::Foreign),
            lost: self.counter(Counter::Lost),
            unreadable: self.counter(Counter::Unreadable),
            not_followed: self.counter(Counter::NoRoom),
            end_unseen: self.counter(Counter::Stale),
            start_unseen: self.counter(Counter::Unmatched),
            unidentified: self.translator.unidentified(),
            anonymous: self.translator.anonymous(),
        }
    }

    /// Programs in use, with the instructions that the kernel's verifier went through for each.
    pub fn verified(&self) -> &[(&'static str, u32)] {
        &self.verified
    }

    /// Polls that are under way now, outermost first on each thread: a blocked executor is seen here before
    /// its poll ends. Empty with entry probes only.
    pub fn running(&mut self) -> Vec<RunningPoll> {
        let mut polls = Vec::new();
        for (tid, thread) in self.threads.iter().flatten() {
            let Ok(thread) = Thread::read_from_bytes(&thread) else { continue };
            let tid = self.identity.outer_tid(tid);
            for frame in thread.frames.iter().take(thread.depth as usize) {
                let Some(name) = self.translator.name(frame.site) else { continue };
                let task = TaskId { runtime: RuntimeKind::Tokio, id: frame.task };
                polls.push(RunningPoll { tid, task, name, since_ns: frame.start_ns });
            }
        }
        polls
    }

    fn counter(&self, counter: Counter) -> u64 {
        const _: () = assert!((Counter::Unmatched as u32) < COUNTERS);
        self.tally.get(&(counter as u32), 0).map_or(0, |cpus| cpus.iter().sum())
    }

    /// Removes the entries of threads that have ended: the programs only ever add.
    fn sweep(&mut self) {
        self.swept = Instant::now();
        let live = self.identity.live_threads();
        let ended: Vec<u32> = self.threads.keys().flatten().filter(|tid| !live.contains(tid)).collect();
        for tid in ended {
            // It may be gone by now; nothing else can fail.
            let _ = self.threads.remove(&tid);
        }
    }
}

fn fill(programs: &Programs, plan: &TracePlan, identity: &Identity) -> Result<(), TraceError> {
    let sites: Vec<Site> = plan
        .sites
        .iter()
        .map(|site| Site {
            root: site.root,
            id_offset: site.id_offset,
            block_len: plan.block_len(site),
            reserved: 0,
        })
        .collect();
    fill_array::<_, { size_of::<Config>() }>(programs, "CONFIG", &[identity.config()])?;
    fill_array::<_, { size_of::<Site>() }>(programs, "SITES", &sites)?;
    fill_array::<_, { size_of::<WalkNode>() }>(programs, "NODES", &plan.nodes)?;
    fill_array::<_, { size_of::<WalkArm>() }>(programs, "ARMS", &plan.arms)?;
    let mut vtables: HashMap<MapData, u64, u32> = programs.map("VTABLES")?;
    for (vtable, node) in &plan.vtables {
        vtables.insert(vtable.0, node, 0).map_err(map_error)?;
    }
    Ok(())
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

/// The clock of `bpf_ktime_get_ns`.
fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}
