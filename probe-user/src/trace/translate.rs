//! The kernel's records → events: names for sites, frames for arms, counts out of sums.
//!
//! The kernel tells a poll when it moved its task, and keeps sums of the rest. What is told of a task says where it stood
//! before and where it stands now, and all of its sums: so a lost record costs its place in the history, and no count.

use super::held::Reading;
use super::translate_causes::Delays;
use super::{Doer, OffCpu, Path, PollEnd, TraceEvent, TracePlan};
use crate::decode::{FrameId, RuntimeKind, TaskId};
use async_inspect_ebpf::{
    EVENT_ALONE, EVENT_DISTURBED, EVENT_ENDED, EVENT_FIRST, EVENT_GONE, EVENT_OUTSIDE, EVENT_OVER,
    EVENT_PANICKED, EVENT_START_ONLY, EVENT_UNREADABLE, EVENT_WALKED, NONE, PATH_BROKEN, PollEvent,
};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use zerocopy::FromBytes;

/// Bits of tokio's `Header::state`.
/// <https://github.com/tokio-rs/tokio/blob/tokio-1.48.0/tokio/src/runtime/task/state.rs#L17>
const RUNNING: u64 = 1;
const COMPLETE: u64 = 2;
const CANCELLED: u64 = 0x20;
const REFS_SHIFT: u32 = 6;
/// More references than a live task has: what stands there is an allocator's, not a state word.
const MAX_REFS: u64 = 1 << 24;

/// Bounds on what a target can make us remember. Beyond, the table starts anew: a path is allocated again, a
/// task counts as seen for the first time.
const MAX_PATHS: usize = 1 << 16;
const MAX_TASKS: usize = 1 << 20;

/// One record of the ring buffer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Record<'a> {
    pub event: PollEvent,
    pub to: &'a [u32],
    pub from: &'a [u32],
}

impl<'a> Record<'a> {
    /// None if these bytes are no record.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (event, arms) = PollEvent::read_from_prefix(bytes).ok()?;
        let (to, arms) = <[u32]>::ref_from_prefix_with_elems(arms, event.to_len as usize).ok()?;
        let (from, _) = <[u32]>::ref_from_prefix_with_elems(arms, event.from_len as usize).ok()?;
        Some(Record { event, to, from })
    }
}

/// An account as last told.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    /// Whose it was.
    task: u64,
    polls: u64,
    busy_ns: u64,
    off_cpu: OffCpu,
}

/// Polls that nothing has told yet.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Gain {
    polls: u64,
    busy_ns: u64,
    off_cpu: OffCpu,
}

/// A task that was seen and has not ended.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// Hash of the path where it stands, as far as told.
    path: Option<u64>,
    /// Number of the last poll told.
    number: u32,
    /// Whether it was told at all where it stands.
    told: bool,
}

/// A task that has ended, and whose end nothing has told yet.
#[derive(Clone, Copy, Debug)]
struct Missing {
    /// By when it had; CLOCK_MONOTONIC, ns.
    t_ns: u64,
    tid: u32,
}

/// The record of an end that comes later than this is not waited for, ns.
const LATE_NS: u64 = 900_000_000;

pub(super) struct Translator {
    pub(super) entry_only: bool,
    names: Vec<Arc<str>>,
    /// For each site, whether it is known where its tasks keep their id.
    has_id: Vec<bool>,
    arm_frames: Vec<Option<FrameId>>,
    arm_ends: Vec<Option<PollEnd>>,
    by_hash: HashMap<u64, Path>,
    /// Equal rows of frames share one allocation.
    paths: HashSet<Path>,
    /// By the header's address.
    accounts: HashMap<u64, Told>,
    pub(super) delays: Delays,
    tasks: HashMap<u64, Seen>,
    missing: HashMap<u64, Missing>,
    /// Polls of tasks whose id could not be read.
    unidentified: u64,
    /// Polls of tasks that are known not to be told apart.
    pub(super) anonymous: u64,
    watches_off_cpu: bool,
    sees_panics: bool,
}

impl Translator {
    pub fn new(plan: &TracePlan, entry_only: bool, watches_off_cpu: bool) -> Self {
        Translator {
            entry_only,
            names: plan.sites.iter().map(|site| site.name.clone()).collect(),
            has_id: plan.sites.iter().map(|site| site.id_offset != NONE).collect(),
            arm_frames: plan.arm_frames.clone(),
            arm_ends: plan.arm_ends.clone(),
            by_hash: HashMap::new(),
            paths: HashSet::new(),
            accounts: HashMap::new(),
            delays: Delays::default(),
            tasks: HashMap::new(),
            missing: HashMap::new(),
            unidentified: 0,
            anonymous: 0,
            watches_off_cpu,
            sees_panics: !plan.causes.panics.is_empty(),
        }
    }

    pub fn unidentified(&self) -> u64 {
        self.unidentified
    }

    pub fn anonymous(&self) -> u64 {
        self.anonymous
    }

    pub fn name(&self, site: u32) -> Option<Arc<str>> {
        self.names.get(site as usize).cloned()
    }

    /// What a hash stands for, if that was told.
    pub fn path(&self, hash: u64) -> Option<Path> {
        self.by_hash.get(&hash).cloned()
    }

    /// Adds the events of one record. `tid` is the thread as the user knows it.
    pub fn translate(&mut self, record: Record<'_>, tid: u32, out: &mut Vec<TraceEvent>) {
        let event = record.event;
        let off_cpu = OffCpu::of_event(&event);
        let mut gain = Gain { polls: event.polls, busy_ns: event.busy_ns, off_cpu };
        if event.flags & EVENT_ALONE == 0 {
            let before = self.accounts.get(&event.header).copied();
            gain = self.gain(event.header, event.task, gain);
            let is_first = event.flags & EVENT_FIRST != 0;
            self.note_delays(event.start_ns, event.header, event.task, (&event).into(), is_first, out);
            if let Some(other) = before.filter(|before| before.task != event.task) {
                let (rest, own) = shared_out(
                    gain,
                    event.polls_before.saturating_sub(other.polls),
                    is_first.then(|| took(&event)),
                );
                self.over_unseen(other.task, event.start_ns, tid, rest, out);
                gain = own;
            }
        }
        let readable = event.flags & EVENT_UNREADABLE == 0;
        let Some(task) = self.identify(event.site, event.task, readable, gain) else { return };
        self.learn(event.to, record.to, event.to_flags);
        self.learn(event.from, record.from, event.from_flags);
        let straggler = event.flags & EVENT_DISTURBED != 0 && event.flags & EVENT_FIRST == 0;
        if !straggler && !self.missing.contains_key(&task.id) {
            self.first_sight(event.start_ns, task, event.site, None, out);
        }
        if event.flags & EVENT_START_ONLY != 0 {
            if event.to_flags & PATH_BROKEN == 0 {
                self.moved(task, event.to, event.start_ns, out);
                self.stays(task, event.start_ns, out);
            }
            let t_ns = event.start_ns;
            let end = PollEnd::Unseen;
            let (count, duration_ns, off_cpu) = (gain.polls, None, None);
            out.push(TraceEvent::Poll { t_ns, task, tid, count, duration_ns, end, off_cpu });
        } else {
            if event.flags & EVENT_OUTSIDE == 0 {
                self.whole(&record, task, out);
            }
            let end = self.end(&record);
            if end != PollEnd::Pending {
                self.tasks.remove(&task.id);
                self.missing.remove(&task.id);
                self.tell_delays(event.end_ns, event.header, task.id, out);
            }
            if gain.polls > 0 || end != PollEnd::Pending {
                let duration_ns = (!self.entry_only).then_some(gain.busy_ns);
                let (t_ns, count) = (event.end_ns, gain.polls);
                let off_cpu = duration_ns.and_then(|_| self.told_off_cpu(gain));
                out.push(TraceEvent::Poll { t_ns, task, tid, count, duration_ns, end, off_cpu });
            }
        }
    }

    /// Adds what an account says that no record said: polls, and the end of a task whose record was lost.
    /// `tid` says how the user knows a thread.
    pub fn read(&mut self, reading: Reading, tid: impl FnOnce(u32) -> u32, out: &mut Vec<TraceEvent>) {
        self.delayed(&reading, out);
        let Reading { t_ns, header, account } = reading;
        let off_cpu = OffCpu::of_account(&account);
        let sums = Gain { polls: account.polls, busy_ns: account.busy_ns, off_cpu };
        let before = self.accounts.get(&header).copied();
        let mut gain = self.gain(header, account.task, sums);
        if let Some(other) = before.filter(|before| before.task != account.task) {
            let (rest, own) = shared_out(gain, account.polls_before.saturating_sub(other.polls), None);
            self.over_unseen(other.task, t_ns, account.tid, rest, out);
            gain = own;
        }
        let tid = tid(account.tid);
        if account.is_over() {
            self.miss(account.task, t_ns, tid);
        }
        if gain.polls == 0 {
            return;
        }
        let Some(task) = self.identify(account.site, account.task, true, gain) else { return };
        if !account.is_over() {
            self.first_sight(t_ns, task, account.site, None, out);
        }
        let (duration_ns, end) = match self.entry_only {
            true => (None, PollEnd::Unseen),
            false => (Some(gain.busy_ns), PollEnd::Pending),
        };
        let t_ns = account.last_end_ns;
        let off_cpu = duration_ns.and_then(|_| self.told_off_cpu(gain));
        out.push(TraceEvent::Poll { t_ns, task, tid, count: gain.polls, duration_ns, end, off_cpu });
    }

    /// An account was removed: its sums begin anew if the address is used again.
    pub fn forget_account(&mut self, header: u64) {
        self.accounts.remove(&header);
        self.delays.forget(header);
    }

    /// What an account has more than was told, and whose it is.
    fn gain(&mut self, header: u64, task: u64, sums: Gain) -> Gain {
        let told = self.accounts.entry(header).or_default();
        let gain = Gain {
            polls: sums.polls.saturating_sub(told.polls),
            busy_ns: sums.busy_ns.saturating_sub(told.busy_ns),
            off_cpu: sums.off_cpu.minus(told.off_cpu),
        };
        *told = Told {
            task,
            polls: told.polls.max(sums.polls),
            busy_ns: told.busy_ns.max(sums.busy_ns),
            off_cpu: told.off_cpu.max(sums.off_cpu),
        };
        gain
    }

    fn told_off_cpu(&self, gain: Gain) -> Option<OffCpu> {
        self.watches_off_cpu.then_some(gain.off_cpu)
    }

    /// Another task stands where task `old` stood: that one has ended, whether or not it was seen, and `rest` are its last polls.
    fn over_unseen(&mut self, old: u64, t_ns: u64, tid: u32, rest: Gain, out: &mut Vec<TraceEvent>) {
        self.miss(old, t_ns, tid);
        if rest.polls > 0 {
            let task = TaskId { runtime: RuntimeKind::Tokio, id: old };
            let (count, duration_ns) = (rest.polls, (!self.entry_only).then_some(rest.busy_ns));
            let off_cpu = duration_ns.and_then(|_| self.told_off_cpu(rest));
            let end = PollEnd::Pending;
            out.push(TraceEvent::Poll { t_ns, task, tid, count, duration_ns, end, off_cpu });
        }
    }

    /// A task has ended, and the record that says how has not come yet.
    fn miss(&mut self, task: u64, t_ns: u64, tid: u32) {
        if self.tasks.remove(&task).is_some() {
            self.missing.insert(task, Missing { t_ns, tid });
        }
    }

    /// Of ends that were missed long before `horizon_ns`, by tasks that nobody saw end, no record comes any more.
    pub fn give_up_missing(&mut self, horizon_ns: u64, out: &mut Vec<TraceEvent>) {
        let late = |missing: &Missing| missing.t_ns.saturating_add(LATE_NS) <= horizon_ns;
        let mut gone: Vec<_> = self.missing.extract_if(|_, missing| late(missing)).collect();
        gone.sort_unstable_by_key(|(id, missing)| (missing.t_ns, *id));
        for (id, Missing { t_ns, tid }) in gone {
            let task = TaskId { runtime: RuntimeKind::Tokio, id };
            self.ends_between_polls(t_ns, task, tid, PollEnd::Gone, out);
        }
    }

    /// The future of `task`, which is not being polled, is dropped. Polls that nobody has told yet come later.
    pub(super) fn dropped(&mut self, t_ns: u64, task: TaskId, tid: u32, out: &mut Vec<TraceEvent>) {
        self.tasks.remove(&task.id);
        self.missing.remove(&task.id);
        self.ends_between_polls(t_ns, task, tid, PollEnd::Cancelled, out);
    }

    fn ends_between_polls(&self, t_ns: u64, task: TaskId, tid: u32, end: PollEnd, out: &mut Vec<TraceEvent>) {
        let duration_ns = (!self.entry_only).then_some(0);
        let off_cpu = duration_ns.and_then(|_| self.told_off_cpu(Gain::default()));
        out.push(TraceEvent::Poll { t_ns, task, tid, count: 0, duration_ns, end, off_cpu });
    }

    /// Whether this is a site, and it is known where its tasks keep their id.
    pub(super) fn tells_apart(&self, site: u32) -> bool {
        self.has_id.get(site as usize) == Some(&true)
    }

    /// None, and counted, where the task cannot be told from others.
    fn identify(&mut self, site: u32, id: u64, readable: bool, gain: Gain) -> Option<TaskId> {
        if self.has_id.get(site as usize) == Some(&false) {
            self.anonymous += gain.polls;
            return None;
        }
        if self.names.len() <= site as usize || !readable {
            self.unidentified += gain.polls;
            return None;
        }
        Some(TaskId { runtime: RuntimeKind::Tokio, id })
    }

    /// `parent`: where the spawn itself was seen.
    pub(super) fn first_sight(
        &mut self,
        t_ns: u64,
        task: TaskId,
        site: u32,
        parent: Option<Doer>,
        out: &mut Vec<TraceEvent>,
    ) {
        if self.tasks.len() >= MAX_TASKS {
            self.tasks.clear();
        }
        if let Entry::Vacant(new) = self.tasks.entry(task.id) {
            new.insert(Seen::default());
            let name = self.names[site as usize].clone();
            out.push(TraceEvent::Spawn { t_ns, task, name, parent });
        }
    }

    /// A poll of which both ends were seen.
    fn whole(&mut self, record: &Record<'_>, task: TaskId, out: &mut Vec<TraceEvent>) {
        let event = record.event;
        let Some(seen) = self.tasks.get_mut(&task.id) else { return };
        // Numbers begin anew with an account.
        let newer = event.number.wrapping_sub(seen.number).cast_signed() > 0;
        if event.number != 0 && event.flags & EVENT_FIRST == 0 && !newer {
            return;
        }
        seen.number = event.number;
        let walked = event.flags & EVENT_WALKED != 0;
        if !walked || event.from_flags & PATH_BROKEN == 0 {
            self.moved(task, event.from, event.start_ns, out);
        }
        let settled = event.flags & (EVENT_DISTURBED | EVENT_GONE | EVENT_ENDED) == 0;
        if settled && event.to_flags & PATH_BROKEN == 0 {
            self.moved(task, event.to, event.end_ns, out);
            self.stays(task, event.end_ns, out);
        }
    }

    /// The task stands here now. A place that only a lost record told is passed over: the move goes on from the last known.
    fn moved(&mut self, task: TaskId, to: u64, t_ns: u64, out: &mut Vec<TraceEvent>) {
        let Some(seen) = self.tasks.get_mut(&task.id) else { return };
        let path = |hash| self.by_hash.get(&hash).cloned();
        let Some(here) = path(to) else { return };
        let before = seen.path.replace(to);
        if let Some(from) = before.and_then(path)
            && from != here
        {
            seen.told = true;
            out.push(TraceEvent::State { t_ns, task, from, to: here });
        }
    }

    /// The task is left where it stands. Told once: it may never move, and who looked at its memory may have seen it being
    /// polled each time.
    fn stays(&mut self, task: TaskId, t_ns: u64, out: &mut Vec<TraceEvent>) {
        let Some(seen) = self.tasks.get_mut(&task.id).filter(|seen| !seen.told) else { return };
        if let Some(at) = seen.path.and_then(|hash| self.by_hash.get(&hash).cloned()) {
            seen.told = true;
            out.push(TraceEvent::Stands { t_ns, task, at });
        }
    }

    fn end(&self, record: &Record<'_>) -> PollEnd {
        let event = record.event;
        let has = |flag: u16| event.flags & flag != 0;
        if !has(EVENT_ENDED) {
            return PollEnd::Pending;
        }
        if has(EVENT_GONE) {
            return PollEnd::Gone;
        }
        let ends: Vec<_> = record.to.iter().filter_map(|arm| *self.arm_ends.get(*arm as usize)?).collect();
        // Its result is there. Else nobody waits for it, or somebody has taken it already; and what lies there then is nothing to go
        // by: tokio overwrites all of it with what its stack happens to hold (`Core::set_stage`).
        if let [PollEnd::Complete, .., result] = ends[..] {
            return result;
        }
        if !has(EVENT_OVER) {
            let outermost = ends.first().copied().unwrap_or(PollEnd::Gone);
            return if was_cancelled(&event) { PollEnd::Cancelled } else { outermost };
        }
        match event.state_after & CANCELLED != 0 {
            // Who caught the panic is not known, nor where none is seen whether there was one.
            _ if has(EVENT_PANICKED) || !self.sees_panics => PollEnd::Gone,
            // It may have come to its end as it was aborted.
            true => PollEnd::Cancelled,
            false => PollEnd::Complete,
        }
    }

    /// What a hash stands for.
    fn learn(&mut self, hash: u64, arms: &[u32], flags: u32) {
        if arms.is_empty() || flags & PATH_BROKEN != 0 || self.by_hash.contains_key(&hash) {
            return;
        }
        if self.by_hash.len() >= MAX_PATHS {
            self.by_hash.clear();
            self.paths.clear();
        }
        let frames: Path = arms.iter().filter_map(|arm| *self.arm_frames.get(*arm as usize)?).collect();
        let path = self.paths.get(&frames).cloned().unwrap_or(frames);
        self.paths.insert(path.clone());
        self.by_hash.insert(hash, path);
    }
}

fn took(event: &PollEvent) -> u64 {
    event.end_ns.saturating_sub(event.start_ns)
}

/// What an account has gained since it was last told, of which `before` polls were those of a task that another has replaced by
/// now: that one's, and the other's own. How long each of them took is known where there is but one of the other's, its first;
/// else all took the same.
fn shared_out(gain: Gain, before: u64, first_ns: Option<u64>) -> (Gain, Gain) {
    let before = before.min(gain.polls);
    let polls = gain.polls - before;
    if before == 0 {
        return (Gain::default(), gain);
    }
    let own_ns = match first_ns {
        Some(took_ns) if polls == 1 => gain.busy_ns.min(took_ns),
        _ => (gain.busy_ns as u128 * polls as u128 / gain.polls as u128) as u64,
    };
    let own = Gain { polls, busy_ns: own_ns, off_cpu: gain.off_cpu.within(own_ns) };
    let off_cpu = gain.off_cpu.minus(own.off_cpu);
    (Gain { polls: before, busy_ns: gain.busy_ns - own_ns, off_cpu }, own)
}

/// Whether a task that has ended was cancelled. The word from before the poll was certainly its own; at the end its memory
/// may have been freed, and only a word that a task can have is believed.
fn was_cancelled(event: &PollEvent) -> bool {
    let at_end = event.state_after;
    let a_tasks = at_end & (COMPLETE | RUNNING) == COMPLETE && at_end >> REFS_SHIFT < MAX_REFS;
    event.state_before & CANCELLED != 0 || a_tasks && at_end & CANCELLED != 0
}

#[cfg(test)]
#[path = "translate_tests.rs"]
mod tests;
