//! A running trace: probes that are in, and the ring buffer they write to.

use super::accounts::Accounts;
use super::attach::{self, Attached, Links, Places};
use super::attach_causes;
use super::held::{HOLD_NS, Held, Reading, Told};
use super::hits::{Hits, add_hits};
use super::identity::Identity;
use super::kernel;
use super::object::{Programs, Sizes};
use super::off_cpu;
use super::running::Running;
use super::slots::{Slot, Table};
use super::tables;
use super::times::TimesRead;
use super::translate::{Record, Translator};
use super::{CausePlan, ProbeMode, TraceError, TraceEvent, TracePlan};
use crate::decode::{RuntimeKind, TaskId};
use async_inspect_ebpf::{COUNTERS, Cause, Config, Counter, NONE, THREAD_SLOTS, Thread};
use aya::maps::{MapData, PerCpuArray, RingBuf};
use rustix::time::{ClockId, clock_gettime};
use std::collections::HashSet;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use zerocopy::FromBytes;

/// Which process to trace.
#[derive(Clone, Debug)]
pub struct TraceTarget {
    /// As our PID namespace numbers it.
    pub pid: u32,
    /// The file that the sites' offsets are in: `/proc/PID/exe`, so that a replaced file is not mistaken for it.
    pub exe: PathBuf,
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

/// About 35,000 polls that moved their task: many times what a busy server makes between two looks, some milliseconds apart. The ring is
/// mapped twice in a row, and both count as memory of ours.
const RING_BYTES: usize = 8 << 20;
/// About 65,000 wakes and spawns.
const CAUSE_BYTES: usize = 4 << 20;
/// The smallest ring that there is.
const PAGE: usize = 4096;
/// How often the accounts and histograms are read: they tell of polls that moved no task.
const READ_ACCOUNTS: Duration = Duration::from_secs(1);
/// Records handed out by one call, so that it ends even if the target writes faster than we read.
const MAX_RECORDS: usize = 1 << 19;
/// How often entries of threads that have ended are swept out.
const SWEEP: Duration = Duration::from_secs(10);

/// Probes that are in. Dropping it takes them out.
pub struct Tracer {
    // First, so that it goes first. None while the probes are out.
    links: Option<Links>,
    programs: Programs,
    places: Places,
    mode: ProbeMode,
    entry_only: bool,
    notes: Vec<String>,
    ring: RingBuf<MapData>,
    causes: CausePlan,
    cause_ring: RingBuf<MapData>,
    /// Told first.
    watches: Option<TraceEvent>,
    tally: PerCpuArray<MapData, u64>,
    threads: Arc<Table<Thread>>,
    /// The probes are out, or on their way: ends of polls may be missed.
    out: Arc<AtomicBool>,
    /// Entries, returns and causes of threads that are gone.
    ended_threads: [u64; 4],
    /// Keys of threads that had ended at the last sweep.
    missing: HashSet<u64>,
    accounts: Accounts,
    times: TimesRead,
    accounts_read: Instant,
    /// How many times the probes were put in anew.
    epoch: u32,
    config: Config,
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
        attach: impl FnOnce(&Programs, &Places) -> Result<Attached, TraceError>,
    ) -> Result<Tracer, TraceError> {
        plan.check()?;
        let identity = Identity::of(target.pid)?;
        let programs = Programs::open(Sizes {
            sites: plan.sites.len(),
            nodes: plan.nodes.len(),
            arms: plan.arms.len(),
            vtables: plan.vtables.len(),
            ring_bytes: RING_BYTES,
            cause_bytes: if plan.causes.is_empty() { PAGE } else { CAUSE_BYTES },
        })?;
        let mut config = plan.causes.configured(identity.config(), entry_only);
        let mut before = Vec::new();
        let switches = watch_switches(plan.long_after.is_some() && !entry_only, &programs, &mut before);
        config.kernel_ids = switches.as_ref().map_or(NONE, |(ids, _)| *ids);
        config.long_us =
            plan.long_after.map_or(0, |long| u32::try_from(long.as_micros()).unwrap_or(u32::MAX));
        tables::fill(&programs, plan, config)?;
        let (ring, tally) = (programs.map("EVENTS")?, programs.map("TALLY")?);
        let threads = Arc::new(Table::of(&programs, "THREAD_KEYS", "THREADS", THREAD_SLOTS)?);
        let accounts = Accounts::of(&programs)?;
        let times = TimesRead::of(&programs, plan.sites.len())?;
        let offsets = plan.sites.iter().map(|site| site.offset.0).collect();
        let cookies = (0..plan.sites.len() as u64).collect();
        let places = Places { exe: target.exe.clone(), pid: target.pid, offsets, cookies };
        let began_ns = now_ns();
        let Attached { mut links, mode, mut notes } = attach(&programs, &places)?;
        notes.append(&mut before);
        let off_cpu = switches.is_some();
        switches.into_iter().for_each(|(_, link)| links.add(link));
        let mut causes = plan.causes.clone();
        notes.append(&mut causes.notes);
        match attach_causes::attach(&programs, &places, &causes, mode) {
            Ok(mut more) => links.append(&mut more),
            Err(TraceError::TargetGone) => return Err(TraceError::TargetGone),
            // Polls are seen all the same.
            Err(error) => {
                notes.push(format!("wakes and spawns are not watched: {error}"));
                causes = CausePlan::default();
            }
        }
        let wakes = !causes.wakes.is_empty();
        let watches = (wakes || off_cpu).then_some(TraceEvent::Watches { t_ns: began_ns, wakes, off_cpu });
        Ok(Tracer {
            links: Some(links),
            places,
            mode,
            entry_only,
            notes,
            ring,
            causes,
            cause_ring: programs.map("CAUSES")?,
            watches,
            config,
            programs,
            tally,
            threads,
            out: Arc::default(),
            ended_threads: [0; 4],
            accounts,
            times,
            missing: HashSet::new(),
            accounts_read: Instant::now(),
            epoch: 0,
            identity,
            translator: Translator::new(plan, entry_only, off_cpu),
            held: Held::default(),
            lost_told: 0,
            swept: Instant::now(),
        })
    }

    /// To look at polls while they are under way. `plan` is the one that this was made from.
    ///
    /// # Errors
    /// See [`TraceError`].
    pub fn running_polls(&self, plan: &TracePlan) -> Result<Running, TraceError> {
        let watches_off_cpu = self.config.kernel_ids != NONE;
        let (threads, out) = (self.threads.clone(), self.out.clone());
        Ok(Running::of(threads, out, Identity::of(self.places.pid)?, plan, watches_off_cpu))
    }

    /// Takes the probes out for a while. What they said before stays, and [`Tracer::drain`] hands it out.
    pub fn pause(&mut self) {
        self.out.store(true, Ordering::SeqCst);
        drop(self.links.take());
        // No program runs any more. Polls that were under way will end unseen.
        let threads: Vec<(Slot, u64)> = self.threads.keys().collect();
        for (slot, _) in threads {
            self.forget_thread(slot);
        }
    }

    /// Puts them in again. Each task is looked at when it is polled next, for it may have moved meanwhile.
    ///
    /// # Errors
    /// As of [`Tracer::attach`].
    pub fn resume(&mut self) -> Result<(), TraceError> {
        self.epoch = self.epoch.wrapping_add(1);
        let config = Config { epoch: self.epoch, ..self.config };
        tables::configure(&self.programs, config)?;
        // Nobody is waited for any more: the entries of threads are gone.
        tables::forget_target(&self.programs)?;
        let switches = (config.kernel_ids != NONE).then(|| off_cpu::attach(&self.programs)).transpose()?;
        let Attached { mut links, .. } =
            attach::attach(&self.programs, &self.places, self.mode, self.entry_only)?;
        links.append(&mut attach_causes::attach(&self.programs, &self.places, &self.causes, self.mode)?);
        switches.into_iter().for_each(|link| links.add(link));
        self.links = Some(links);
        self.out.store(false, Ordering::SeqCst);
        Ok(())
    }

    /// Whether the probes are in.
    pub fn is_live(&self) -> bool {
        self.links.is_some()
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
    ///
    /// # Errors
    /// See [`TraceError`]; none is to be expected.
    pub fn drain(&mut self, out: &mut Vec<TraceEvent>) -> Result<(), TraceError> {
        self.drain_until(now_ns().saturating_sub(HOLD_NS), false, out)
    }

    /// The last drain: also what would wait for a later poll.
    ///
    /// # Errors
    /// As of [`Tracer::drain`].
    pub fn finish(&mut self, out: &mut Vec<TraceEvent>) -> Result<(), TraceError> {
        // One call takes more records than the ring holds.
        self.drain_until(u64::MAX, true, out)
    }

    fn drain_until(
        &mut self,
        horizon_ns: u64,
        last: bool,
        out: &mut Vec<TraceEvent>,
    ) -> Result<(), TraceError> {
        let from = out.len();
        out.extend(self.watches.take());
        // Before the records: an account that says that its task has ended then comes behind the record of it.
        let reads = last || self.accounts_read.elapsed() > READ_ACCOUNTS;
        if reads {
            self.accounts_read = Instant::now();
            self.read_accounts()?;
            self.times.read();
        }
        for _ in 0..MAX_RECORDS {
            let Some(bytes) = self.ring.next() else { break };
            if let Some(record) = Record::parse(&bytes) {
                self.held.push(&record);
            }
        }
        for _ in 0..MAX_RECORDS {
            let Some(bytes) = self.cause_ring.next() else { break };
            if let Ok((cause, _)) = Cause::read_from_prefix(&bytes) {
                self.held.push_cause(cause);
            }
        }
        let Tracer { held, identity, translator, .. } = self;
        held.release(horizon_ns, |told| match told {
            Told::Poll(record) => translator.translate(record, identity.outer_tid(record.event.tid), out),
            Told::Reading(reading) => {
                translator.read(reading, |tid| identity.outer_tid(tid), out);
            }
            Told::Cause(cause) => translator.caused(&cause, identity.outer_tid(cause.tid), out),
            Told::Removed(header) => translator.forget_account(header),
        });
        if reads {
            self.times.tell(&self.translator, now_ns(), last, out);
        }
        out[from..].sort_by_key(TraceEvent::t_ns);
        let lost = self.lost();
        if lost > self.lost_told {
            out.push(TraceEvent::Lost { t_ns: now_ns(), count: lost - self.lost_told });
            self.lost_told = lost;
        }
        if self.swept.elapsed() > SWEEP {
            self.sweep();
        }
        Ok(())
    }

    /// What the accounts say that they did not say before takes its place among the records. When room gets scarce, accounts
    /// that have rested for a while are removed, those of living tasks as well: their next poll opens another.
    fn read_accounts(&mut self) -> Result<(), TraceError> {
        let read = self.accounts.read(self.epoch);
        let t_ns = now_ns();
        for (header, account) in read.news {
            self.held.push_reading(Reading { t_ns, header, account });
        }
        for header in read.resting.unwrap_or_default() {
            let Some(account) = self.accounts.remove(header) else { continue };
            let t_ns = now_ns();
            self.held.push_reading(Reading { t_ns, header, account });
            self.held.push_removed(t_ns, header);
        }
        Ok(())
    }

    /// Polls of the target that should have become an event and did not, up to now.
    pub fn lost(&self) -> u64 {
        self.counter(Counter::Lost)
            + self.counter(Counter::NoRoom)
            + self.counter(Counter::Unidentified)
            + self.translator.unidentified()
    }

    pub fn hits(&self) -> Hits {
        let mut sums = self.ended_threads;
        for (slot, _) in self.threads.keys() {
            add_hits(&mut sums, &self.threads.value(slot));
        }
        let [entries, returns, causes, dear] = sums;
        Hits {
            entries,
            returns,
            causes,
            dear,
            causes_unread: self.counter(Counter::Unidentified),
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

    /// Tasks that the kernel kept an account of when it was last asked.
    pub fn accounts(&self) -> usize {
        self.accounts.len()
    }

    /// Programs in use, with the instructions that the kernel's verifier went through for each.
    pub fn verified(&self) -> Vec<(&'static str, u32)> {
        self.programs.verified()
    }

    /// Polls that are under way now, outermost first on each thread: a blocked executor is seen here before
    /// its poll ends. Empty with entry probes only.
    pub fn running(&mut self) -> Vec<RunningPoll> {
        let mut polls = Vec::new();
        let threads: Vec<Thread> = self.threads.keys().map(|(slot, _)| self.threads.value(slot)).collect();
        for thread in threads {
            let tid = self.identity.outer_tid(thread.tid);
            for frame in thread.frames.iter().take(thread.depth as usize) {
                let Some(name) = self.translator.name(frame.site) else { continue };
                let task = TaskId { runtime: RuntimeKind::Tokio, id: frame.task };
                polls.push(RunningPoll { tid, task, name, since_ns: frame.start_ns });
            }
        }
        polls
    }

    fn counter(&self, counter: Counter) -> u64 {
        const _: () = assert!((Counter::Unidentified as u32) < COUNTERS);
        self.tally.get(&(counter as u32), 0).map_or(0, |cpus| cpus.iter().sum())
    }

    /// Removes the entries of threads that have ended: the programs only ever add. At the second look, as a thread may begin
    /// between the one list and the other.
    fn sweep(&mut self) {
        self.swept = Instant::now();
        let entries: Vec<(Slot, u64)> = self.threads.keys().collect();
        let live = self.identity.live_threads();
        if live.is_empty() {
            return;
        }
        let mut ended = HashSet::new();
        for (slot, key) in entries {
            if live.contains(&self.threads.value(slot).tid) {
                continue;
            }
            if self.missing.contains(&key) {
                self.forget_thread(slot);
            } else {
                ended.insert(key);
            }
        }
        self.missing = ended;
    }

    fn forget_thread(&mut self, slot: Slot) {
        add_hits(&mut self.ended_threads, &self.threads.value(slot));
        self.threads.free(slot);
    }
}

/// The offset of a thread's ids in the kernel, and the link; None, with a note, where it cannot be.
fn watch_switches(wanted: bool, programs: &Programs, notes: &mut Vec<String>) -> Option<(u32, OwnedFd)> {
    if !wanted {
        return None;
    }
    let linked = off_cpu::kernel_ids()
        .and_then(|ids| off_cpu::attach(programs).map(|link| (ids, link)).map_err(|error| error.to_string()));
    linked
        .inspect_err(|why| {
            notes.push(format!("how long threads are off CPU within polls is not watched: {why}"));
        })
        .ok()
}

/// The clock of `bpf_ktime_get_ns`.
fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}
