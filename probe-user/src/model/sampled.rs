//! What looks from outside say of tasks: how long each ran, and how long it rested where. Estimates, with how far to trust them.

use super::{Event, Model, TaskEntry};
use crate::decode::{FrameId, RuntimeKind, TaskId, TaskState};
use crate::sample::{Estimate, Round};
use std::collections::HashMap;

/// Places of one task that are told apart; what is over is kept in one sum.
const STAYS: usize = 16;

/// Looks that were made, and periods without one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    looks: u64,
    missed: u64,
}

/// All looks so far. Beside probes they are made while those are out.
#[derive(Clone, Debug, Default)]
pub struct Looks {
    /// From one look to the next, ns.
    pub period_ns: u64,
    pub looks: u64,
    /// Periods without a look.
    pub missed: u64,
    /// What they saw of tasks that have a name, as far as it is in no exact figure, ns.
    pub busy_ns: u64,
    /// Some were made since the probes went out last.
    pub now: bool,
    /// Threads that the latest ones looked at.
    pub threads: u32,
    /// Looks at threads that polled a task which no snapshot ever showed.
    pub unnamed: u64,
    /// Tasks that the next snapshot may name.
    pending: HashMap<TaskId, Pending>,
}

impl Looks {
    /// The time that was to be looked at, ns.
    pub fn span_ns(&self) -> u64 {
        (self.looks + self.missed).saturating_mul(self.period_ns)
    }

    /// Looks a second.
    pub fn hz(&self) -> u64 {
        1_000_000_000 / self.period_ns.max(1)
    }

    fn tally(&self) -> Tally {
        Tally { looks: self.looks, missed: self.missed }
    }
}

#[derive(Clone, Copy, Debug)]
struct Pending {
    tid: u32,
    hits: u64,
    /// Looks before it was first seen.
    before: Tally,
    /// Time in polls, ns.
    busy_ns: u64,
    /// Of the last round that saw it.
    t_ns: u64,
}

/// What is known of one task in this way.
#[derive(Clone, Debug, Default)]
pub struct Sampled {
    /// All looks, when it was first and last there.
    before: Tally,
    until: Option<Tally>,
    /// Snapshots that showed it, and when the first one did.
    snapshots: u64,
    since_ns: u64,
    stays: Vec<Stay>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Stay {
    at: Spot,
    /// Looks.
    ran: u64,
    /// Snapshots.
    rested: u64,
}

/// Where a task's time is booked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Spot {
    /// Before its first await, or where no line is known.
    #[default]
    Start,
    Await(FrameId),
    /// All places beyond those that are told apart.
    Elsewhere,
}

/// How long a task ran and rested at one spot; it ran from there on, until its next await.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time {
    pub at: Spot,
    pub busy: Estimate,
    pub wait: Estimate,
}

impl Sampled {
    fn stay(&mut self, at: Spot) -> &mut Stay {
        let known = self.stays.iter().position(|stay| stay.at == at);
        let i = known.unwrap_or_else(|| {
            let at = if self.stays.len() < STAYS { at } else { Spot::Elsewhere };
            if let Some(i) = self.stays.iter().position(|stay| stay.at == at) {
                return i;
            }
            self.stays.push(Stay { at, ..Stay::default() });
            self.stays.len() - 1
        });
        &mut self.stays[i]
    }

    pub(super) fn ended(&mut self, looks: Option<&Looks>) {
        self.until = looks.map(Looks::tally);
    }
}

impl TaskEntry {
    fn spot(&self) -> Spot {
        self.path().and_then(|path| path.place).map_or(Spot::Start, Spot::Await)
    }
}

impl Model {
    /// All looks so far; None where the target is not sampled, or has not been yet.
    pub fn looks(&self) -> Option<&Looks> {
        self.looks.as_ref()
    }

    /// How long a task was polled, as far as looks tell; None where it is not sampled.
    pub fn busy(&self, task: &TaskEntry) -> Option<Estimate> {
        let ran = task.sampled.as_ref()?.stays.iter().map(|stay| stay.ran).sum();
        self.busy_of(task, ran)
    }

    fn busy_of(&self, task: &TaskEntry, hits: u64) -> Option<Estimate> {
        let (looks, sampled) = (self.looks.as_ref()?, task.sampled.as_ref()?);
        let (before, until) = (sampled.before, sampled.until.unwrap_or(looks.tally()));
        let there = until.looks.saturating_sub(before.looks).max(hits);
        let missed = until.missed.saturating_sub(before.missed);
        let span_ns = (there + missed).saturating_mul(looks.period_ns);
        Some(Estimate { hits, looks: there, missed, span_ns })
    }

    /// What a task did at each spot, the busiest first. Empty where it is not sampled.
    pub fn times(&self, task: &TaskEntry) -> Vec<Time> {
        let Some(sampled) = &task.sampled else { return Vec::new() };
        let end_ns = task.ended_ns.unwrap_or(self.now_ns);
        // Beside probes only what they did not see is estimated.
        let span_ns = match self.mode.samples() {
            true => end_ns.saturating_sub(sampled.since_ns),
            false => self.busy_of(task, 0).map_or(0, |busy| busy.span_ns),
        };
        let wait = |hits| Estimate { hits, looks: sampled.snapshots, missed: 0, span_ns };
        let time = |stay: &Stay| {
            let busy = self.busy_of(task, stay.ran).unwrap_or_default();
            Time { at: stay.at, busy, wait: wait(stay.rested) }
        };
        let mut times: Vec<Time> = sampled.stays.iter().map(time).collect();
        if times.is_empty() && self.busy(task).is_some_and(|busy| busy.looks > 0) {
            // That nobody saw it run is something, too.
            times.push(time(&Stay { at: task.spot(), ..Stay::default() }));
        }
        times.sort_by_key(|time| std::cmp::Reverse((time.busy.hits, time.wait.hits)));
        times
    }

    /// Takes a round of looks; what it meant is appended to `out`.
    pub(super) fn sampled(&mut self, round: &Round, out: &mut Vec<Event>) {
        self.now_ns = self.now_ns.max(round.t_ns);
        self.begin_all();
        let looks = self.looks.get_or_insert_default();
        let before = looks.tally();
        looks.period_ns = round.period_ns;
        looks.looks += u64::from(round.looks);
        looks.missed += u64::from(round.missed);
        looks.threads = round.threads;
        looks.now |= !self.probes_in;
        // In what was missed of this round it was as in the rest of it.
        let parts = u64::from(round.looks) + u64::from(round.missed);
        let weigh = |hits: u64| {
            let ns = u128::from(hits) * u128::from(round.period_ns) * u128::from(parts);
            u64::try_from(ns / u128::from(round.looks.max(1))).unwrap_or(u64::MAX)
        };
        out.push(Event::Looked {
            t_ns: round.t_ns,
            looks: round.looks,
            missed: round.missed,
            period_ns: round.period_ns,
            threads: round.threads,
        });
        for run in &round.runs {
            let task = TaskId { runtime: RuntimeKind::Tokio, id: run.task };
            let hits = u64::from(run.hits);
            let busy_ns = weigh(hits);
            if self.live.contains_key(&task) {
                self.ran(round.t_ns, task, run.tid, run.path.as_deref(), (hits, busy_ns), out);
                continue;
            }
            let room = looks_room(self.looks.as_ref(), self.limits.live);
            let Some(looks) = &mut self.looks else { continue };
            if self.just_ended.contains_key(&task) || !(room || looks.pending.contains_key(&task)) {
                looks.unnamed += hits;
                continue;
            }
            let fresh = Pending { tid: run.tid, hits: 0, before, busy_ns: 0, t_ns: 0 };
            let pending = looks.pending.entry(task).or_insert(fresh);
            pending.hits += hits;
            pending.busy_ns = pending.busy_ns.saturating_add(busy_ns);
            pending.t_ns = round.t_ns;
        }
    }

    /// The first looks of all have come: tasks that are there already are sampled from now on.
    fn begin_all(&mut self) {
        if self.looks.is_some() {
            return;
        }
        self.looks = Some(Looks::default());
        for task in self.live.values_mut() {
            task.sampled = Some(Box::default());
        }
    }

    /// The probes went out, or are in again.
    pub(super) fn turned(&mut self, t_ns: u64, probes_in: bool) {
        self.probes_in = probes_in;
        self.out_since_ns = (!probes_in).then_some(t_ns);
        if let Some(looks) = &mut self.looks {
            looks.now = false;
        }
    }

    /// `path`: where the polls began, if looks told; else it is where the task stood last. Hits, and the time they stand for, ns.
    fn ran(
        &mut self,
        t_ns: u64,
        id: TaskId,
        tid: u32,
        path: Option<&[FrameId]>,
        (hits, busy_ns): (u64, u64),
        out: &mut Vec<Event>,
    ) {
        let told = path.map(|path| self.paths.intern(path, &self.frames).place);
        let alone = self.mode.samples();
        let Some(task) = self.live.get_mut(&id) else { return };
        let at = told.map_or_else(|| task.spot(), |place| place.map_or(Spot::Start, Spot::Await));
        let Some(sampled) = &mut task.sampled else { return };
        sampled.stay(at).ran += hits;
        if alone {
            task.busy_ns = Some(task.busy_ns.unwrap_or(0).saturating_add(busy_ns));
        }
        // Beside probes it is no part of what those measured.
        let total =
            if alone { self.totals.busy_ns.as_mut() } else { self.looks.as_mut().map(|l| &mut l.busy_ns) };
        if let Some(total) = total {
            *total = total.saturating_add(busy_ns);
        }
        out.push(Event::Sampled { t_ns, task: id, tid, at, hits, busy_ns });
    }

    /// A task that is to be sampled has been seen first.
    pub(super) fn begin_sampling(&self) -> Box<Sampled> {
        let before = self.looks.as_ref().map(Looks::tally).unwrap_or_default();
        Box::new(Sampled { before, ..Sampled::default() })
    }

    /// A snapshot shows a task. While probes are in they know better how long it rests.
    pub(super) fn rested(&mut self, id: TaskId, state: TaskState, t_ns: u64) {
        let estimated = self.mode.samples() || self.out_since_ns.is_some_and(|since| since <= t_ns);
        if !estimated {
            return;
        }
        let Some(task) = self.live.get_mut(&id) else { return };
        let at = task.spot();
        let Some(sampled) = &mut task.sampled else { return };
        if sampled.snapshots == 0 {
            sampled.since_ns = t_ns;
        }
        sampled.snapshots += 1;
        if state == TaskState::Idle {
            sampled.stay(at).rested += 1;
        }
    }

    /// After a snapshot taken at `t_ns`: tasks that were seen running before it and are named now get what was seen.
    pub(super) fn name_pending(&mut self, t_ns: u64, out: &mut Vec<Event>) {
        let Some(looks) = &mut self.looks else { return };
        let mut named: Vec<(TaskId, Pending)> = looks
            .pending
            .iter()
            .filter(|(id, _)| self.live.contains_key(id))
            .map(|(id, p)| (*id, *p))
            .collect();
        for (id, _) in &named {
            looks.pending.remove(id);
        }
        // Not in this snapshot, though it had run before: it has ended unseen.
        let mut unnamed = 0;
        looks.pending.retain(|_, pending| {
            let keep = pending.t_ns >= t_ns;
            unnamed += if keep { 0 } else { pending.hits };
            keep
        });
        looks.unnamed += unnamed;
        named.sort_unstable_by_key(|(id, _)| *id);
        for (id, Pending { tid, hits, before, busy_ns, .. }) in named {
            if let Some(sampled) = self.live.get_mut(&id).and_then(|task| task.sampled.as_mut())
                && before.looks < sampled.before.looks
            {
                sampled.before = before;
            }
            self.ran(t_ns, id, tid, None, (hits, busy_ns), out);
        }
    }
}

fn looks_room(looks: Option<&Looks>, limit: usize) -> bool {
    looks.is_none_or(|looks| looks.pending.len() < limit)
}

#[cfg(test)]
#[path = "sampled_tests.rs"]
mod tests;
