//! A running trace: probes that are in, and the ring buffer they write to.

use super::attach::{self, Attached, Links, Places};
use super::attach_causes;
use super::held::{HOLD_NS, Held, Reading, Told};
use super::hits::{Hits, add_hits};
use super::identity::Identity;
use super::object::Programs;
use super::off_cpu;
use super::on_cpu::{self, Clocks, Samples};
use super::prepared::{Preparation, Prepared, Wish};
use super::price::Price;
use super::running::Running;
use super::slots::Slot;
use super::tables;
use super::translate::{Record, Translator};
use super::written::Written;
use super::{CausePlan, ProbeMode, TraceError, TraceEvent, TracePlan, Wanted};
use crate::decode::{RuntimeKind, TaskId};
use async_inspect_ebpf::{Cause, Config, Counter, NONE, THREAD_SLOTS, Thread};
use rustix::time::{ClockId, clock_gettime};
use std::collections::HashSet;
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

/// How often the accounts and histograms are read: they tell of polls that moved no task.
const READ_ACCOUNTS: Duration = Duration::from_secs(1);
/// Records handed out by one call, so that it ends even if the target writes faster than we read.
const MAX_RECORDS: usize = 1 << 19;
/// How often entries of threads that have ended are swept out; and how often at most where they are many, as of a target that
/// makes thousands of threads a second: one without an entry is not followed.
const SWEEP: Duration = Duration::from_secs(10);
const SWEEP_AT_MOST: Duration = Duration::from_millis(20);
const MANY_THREADS: usize = THREAD_SLOTS as usize / 8;
/// Part of the time that sweeping may take.
const SWEEP_SHARE: u32 = 20;

/// Probes that are in. Dropping it takes them out.
pub struct Tracer {
    // First, so that it goes first. None while the probes are out.
    links: Option<Links>,
    programs: Programs,
    written: Written,
    places: Places,
    mode: ProbeMode,
    entry_only: bool,
    notes: Vec<String>,
    causes: CausePlan,
    /// Told first.
    watches: Option<TraceEvent>,
    /// The probes are out, or on their way: ends of polls may be missed.
    out: Arc<AtomicBool>,
    /// Of threads that are gone; see [`add_hits`].
    ended_threads: [u64; 4],
    /// Keys of threads that had ended at the last sweep.
    missing: HashSet<u64>,
    accounts_read: Instant,
    /// See [`Hits::records`].
    records: u64,
    /// How many times the probes were put in anew.
    epoch: u32,
    config: Config,
    /// None where it is not looked at what threads compute in long polls.
    clocks: Option<Arc<Clocks>>,
    identity: Identity,
    translator: Translator,
    held: Held,
    lost_told: u64,
    swept: Instant,
    /// How long that took.
    sweep_took: Duration,
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
        let wish = Wish { mode, entry_only, wanted: Wanted::default(), long_after: plan.long_after };
        let prepared = Prepared::untried(target.pid, wish, plan)?;
        Tracer::put_in(target, plan, prepared)
    }

    /// As [`Tracer::attach`]; it was tried first on a child of ours what the probes cost, or it is said why that could not be tried.
    /// `preparation`: where it was begun for this target and `wish`, which `plan` was made for.
    ///
    /// # Errors
    /// As of [`Tracer::attach`].
    pub fn attach_priced(
        target: &TraceTarget,
        plan: &TracePlan,
        wish: Wish,
        preparation: Option<Preparation>,
    ) -> Result<(Tracer, Result<Price, TraceError>), TraceError> {
        let (prepared, price) = Prepared::priced(target.pid, wish, plan, preparation)?;
        Ok((Tracer::put_in(target, plan, prepared)?, price))
    }

    fn put_in(target: &TraceTarget, plan: &TracePlan, prepared: Prepared) -> Result<Tracer, TraceError> {
        let mut config = prepared.config();
        let Prepared { programs, mut written, identity, mode, entry_only, mut notes, .. } = prepared;
        config = plan.causes.configured(config, entry_only);
        written.times.of_sites(plan.sites.len());
        let switches = off_cpu::watch(config.kernel_ids, &programs, &mut notes);
        config.kernel_ids = if switches.is_some() { config.kernel_ids } else { NONE };
        tables::fill(&programs, plan, config)?;
        let offsets = plan.sites.iter().map(|site| site.offset.0).collect();
        let cookies = (0..plan.sites.len() as u64).collect();
        let places = Places { exe: target.exe.clone(), pid: target.pid, offsets, cookies };
        let began_ns = now_ns();
        let Attached { mut links, mode, notes: mut more } =
            attach::attach(&programs, &places, mode, entry_only)?;
        notes.append(&mut more);
        let off_cpu = switches.is_some();
        let looks = plan.long_after.is_some() && !entry_only;
        let clocks = looks.then(|| on_cpu::clocks(&programs, &mut notes)).flatten();
        switches.into_iter().for_each(|link| links.add(link));
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
            causes,
            watches,
            config,
            clocks,
            programs,
            written,
            out: Arc::default(),
            ended_threads: [0; 4],
            missing: HashSet::new(),
            accounts_read: Instant::now(),
            records: 0,
            epoch: 0,
            identity,
            translator: Translator::new(plan, entry_only, off_cpu),
            held: Held::default(),
            lost_told: 0,
            swept: Instant::now(),
            sweep_took: Duration::ZERO,
        })
    }

    /// To look at polls while they are under way. `plan` is the one that this was made from.
    ///
    /// # Errors
    /// See [`TraceError`].
    pub fn running_polls(&self, plan: &TracePlan) -> Result<Running, TraceError> {
        let watches_off_cpu = self.config.kernel_ids != NONE;
        let (threads, out) = (self.written.threads.clone(), self.out.clone());
        let samples = |clocks| Ok::<_, TraceError>((clocks, Samples::of(&self.programs)?));
        let samples = self.clocks.clone().map(samples).transpose()?;
        let identity = Identity::of(self.places.pid)?;
        Ok(Running::of(threads, out, identity, plan, watches_off_cpu, samples))
    }

    /// Takes the probes out for a while. What they said before stays, and [`Tracer::drain`] hands it out.
    pub fn pause(&mut self) {
        self.out.store(true, Ordering::SeqCst);
        // First: a poll whose end is missed must not seem to go on in what its thread computes later.
        self.clocks.iter().for_each(|clocks| clocks.stop());
        drop(self.links.take());
        // No program runs any more. Polls that were under way will end unseen.
        let threads: Vec<(Slot, u64)> = self.written.threads.keys().collect();
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
        self.written.forget_target();
        let switches = (config.kernel_ids != NONE).then(|| off_cpu::attach(&self.programs)).transpose()?;
        let Attached { mut links, .. } =
            attach::attach(&self.programs, &self.places, self.mode, self.entry_only)?;
        links.append(&mut attach_causes::attach(&self.programs, &self.places, &self.causes, self.mode)?);
        switches.into_iter().for_each(|link| links.add(link));
        self.clocks.iter().try_for_each(|clocks| clocks.go_on())?;
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
            self.written.times.read();
        }
        for _ in 0..MAX_RECORDS {
            let Some(bytes) = self.written.ring.next() else { break };
            self.records += 1;
            if let Some(record) = Record::parse(&bytes) {
                self.held.push(&record);
            }
        }
        for _ in 0..MAX_RECORDS {
            let Some(bytes) = self.written.cause_ring.next() else { break };
            self.records += 1;
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
        translator.give_up_missing(horizon_ns, out);
        if reads {
            self.written.times.tell(&self.translator, now_ns(), last, out);
        }
        // They are large, and mostly in order.
        if !out[from..].is_sorted_by_key(TraceEvent::t_ns) {
            out[from..].sort_by_key(TraceEvent::t_ns);
        }
        let lost = self.lost();
        if lost > self.lost_told {
            out.push(TraceEvent::Lost { t_ns: now_ns(), count: lost - self.lost_told });
            self.lost_told = lost;
        }
        self.sweep_if_due();
        Ok(())
    }

    /// What the accounts say that they did not say before takes its place among the records. When room gets scarce, accounts
    /// that have rested for a while are removed, those of living tasks as well: their next poll opens another.
    fn read_accounts(&mut self) -> Result<(), TraceError> {
        let read = self.written.accounts.read(self.epoch);
        let t_ns = now_ns();
        for (header, account) in read.news {
            self.held.push_reading(Reading { t_ns, header, account });
        }
        for header in read.resting.unwrap_or_default() {
            let Some(account) = self.written.accounts.remove(header) else { continue };
            let t_ns = now_ns();
            self.held.push_reading(Reading { t_ns, header, account });
            self.held.push_removed(t_ns, header);
        }
        Ok(())
    }

    /// Polls of the target that should have become an event and did not, up to now.
    pub fn lost(&self) -> u64 {
        self.written.counter(Counter::Lost)
            + self.written.counter(Counter::NoRoom)
            + self.written.counter(Counter::Unidentified)
            + self.translator.unidentified()
    }

    pub fn hits(&self) -> Hits {
        let mut sums = self.ended_threads;
        for (slot, _) in self.written.threads.keys() {
            add_hits(&mut sums, &self.written.threads.value(slot));
        }
        let [entries, returns, causes, dear] = sums;
        Hits {
            entries,
            returns,
            causes,
            dear,
            causes_unread: self.written.counter(Counter::Unidentified),
            ticks: self.written.counter(Counter::Ticks),
            samples: self.written.counter(Counter::Samples),
            records: self.records,
            foreign: self.written.counter(Counter::Foreign),
            lost: self.written.counter(Counter::Lost),
            unreadable: self.written.counter(Counter::Unreadable),
            not_followed: self.written.counter(Counter::NoRoom),
            end_unseen: self.written.counter(Counter::Stale),
            start_unseen: self.written.counter(Counter::Unmatched),
            unidentified: self.translator.unidentified(),
            anonymous: self.translator.anonymous(),
        }
    }

    /// Tasks that the kernel kept an account of when it was last asked.
    pub fn accounts(&self) -> usize {
        self.written.accounts.len()
    }

    /// Programs in use, with the instructions that the kernel's verifier went through for each.
    pub fn verified(&self) -> Vec<(&'static str, u32)> {
        self.programs.verified()
    }

    /// Polls that are under way now, outermost first on each thread: a blocked executor is seen here before
    /// its poll ends. Empty with entry probes only.
    pub fn running(&mut self) -> Vec<RunningPoll> {
        let mut polls = Vec::new();
        let threads: Vec<Thread> =
            self.written.threads.keys().map(|(slot, _)| self.written.threads.value(slot)).collect();
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

    fn sweep_if_due(&mut self) {
        let rested = self.swept.elapsed();
        let many = || self.written.threads.keys().nth(MANY_THREADS).is_some();
        let pause = SWEEP_AT_MOST.max(self.sweep_took * SWEEP_SHARE).min(SWEEP);
        if rested > SWEEP || rested > pause && many() {
            let began = Instant::now();
            self.sweep();
            (self.swept, self.sweep_took) = (Instant::now(), began.elapsed());
        }
    }

    /// Removes the entries of threads that have ended: the programs only ever add. At the second look, as a thread may begin
    /// between the one list and the other.
    fn sweep(&mut self) {
        let entries: Vec<(Slot, u64)> = self.written.threads.keys().collect();
        let live: HashSet<u32> = self.identity.live_threads().into_iter().collect();
        if live.is_empty() {
            return;
        }
        let mut ended = HashSet::new();
        for (slot, key) in entries {
            if live.contains(&self.written.threads.value(slot).tid) {
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
        let thread = self.written.threads.value(slot);
        add_hits(&mut self.ended_threads, &thread);
        if thread.off_since_ns != 0 {
            // It went off its CPU within a poll and will not come back.
            self.written.forget_off_cpu();
        }
        self.written.threads.free(slot);
    }
}

/// The clock of `bpf_ktime_get_ns`.
fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}
