//! What looks from outside say of tasks: how long each ran, and how long it rested where. Estimates, with how far to trust them.

use super::{Event, Model, TaskEntry};
use crate::decode::{FrameId, RuntimeKind, TaskId, TaskState};
use crate::sample::{Estimate, Round};
use std::collections::HashMap;

/// Places of one task that are told apart; what is over is kept in one sum.
const STAYS: usize = 16;

/// All looks so far.
#[derive(Clone, Debug, Default)]
pub struct Looks {
    /// From one look to the next, ns.
    pub period_ns: u64,
    pub looks: u64,
    /// Periods without a look.
    pub missed: u64,
    /// Threads that the latest ones looked at.
    pub threads: u32,
    /// Looks at threads that polled a task which no snapshot ever showed.
    pub unnamed: u64,
    /// Tasks that the next snapshot may name.
    pending: HashMap<TaskId, Pending>,
}

impl Looks {
    /// The time that was looked at, ns.
    pub fn span_ns(&self) -> u64 {
        self.looks.saturating_mul(self.period_ns)
    }
}

#[derive(Clone, Copy, Debug)]
struct Pending {
    tid: u32,
    hits: u64,
    /// Looks before it was first seen.
    looks_before: u64,
    /// Of the last round that saw it.
    t_ns: u64,
}

/// What is known of one task in this way.
#[derive(Clone, Debug, Default)]
pub struct Sampled {
    /// Of [`Looks::looks`], when it was first and last there.
    looks_before: u64,
    looks_until: Option<u64>,
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
        self.looks_until = looks.map(|looks| looks.looks);
    }
}

impl TaskEntry {
    fn spot(&self) -> Spot {
        self.path().and_then(|path| path.place).map_or(Spot::Start, Spot::Await)
    }
}

impl Model {
    /// All looks so far; None where the target is not sampled.
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
        let there = sampled.looks_until.unwrap_or(looks.looks).saturating_sub(sampled.looks_before).max(hits);
        Some(Estimate { hits, looks: there, span_ns: there.saturating_mul(looks.period_ns) })
    }

    /// What a task did at each spot, the busiest first. Empty where it is not sampled.
    pub fn times(&self, task: &TaskEntry) -> Vec<Time> {
        let Some(sampled) = &task.sampled else { return Vec::new() };
        let end_ns = task.ended_ns.unwrap_or(self.now_ns);
        let wait = |hits| Estimate {
            hits,
            looks: sampled.snapshots,
            span_ns: end_ns.saturating_sub(sampled.since_ns),
        };
        let time = |stay: &Stay| {
            let busy = self.busy_of(task, stay.ran).unwrap_or_default();
            Time { at: stay.at, busy, wait: wait(stay.rested) }
        };
        let mut times: Vec<Time> = sampled.stays.iter().map(time).collect();
        times.sort_by_key(|time| std::cmp::Reverse((time.busy.hits, time.wait.hits)));
        times
    }

    /// Takes a round of looks; what it meant is appended to `out`.
    pub(super) fn sampled(&mut self, round: &Round, out: &mut Vec<Event>) {
        self.now_ns = self.now_ns.max(round.t_ns);
        let looks = self.looks.get_or_insert_default();
        let looks_before = looks.looks;
        looks.period_ns = round.period_ns;
        looks.looks += u64::from(round.looks);
        looks.missed += u64::from(round.missed);
        looks.threads = round.threads;
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
            if self.live.contains_key(&task) {
                self.ran(round.t_ns, task, run.tid, run.path.as_deref(), hits, out);
                continue;
            }
            let room = looks_room(self.looks.as_ref(), self.limits.live);
            let Some(looks) = &mut self.looks else { continue };
            if self.just_ended.contains_key(&task) || !(room || looks.pending.contains_key(&task)) {
                looks.unnamed += hits;
                continue;
            }
            let fresh = Pending { tid: run.tid, hits: 0, looks_before, t_ns: 0 };
            let pending = looks.pending.entry(task).or_insert(fresh);
            pending.hits += hits;
            pending.t_ns = round.t_ns;
        }
    }

    /// `path`: where the polls began, if looks told; else it is where the task stood last.
    fn ran(
        &mut self,
        t_ns: u64,
        id: TaskId,
        tid: u32,
        path: Option<&[FrameId]>,
        hits: u64,
        out: &mut Vec<Event>,
    ) {
        let told = path.map(|path| self.paths.intern(path, &self.frames).place);
        let busy_ns = hits * self.looks.as_ref().map_or(0, |looks| looks.period_ns);
        let Some(task) = self.live.get_mut(&id) else { return };
        let at = told.map_or_else(|| task.spot(), |place| place.map_or(Spot::Start, Spot::Await));
        let Some(sampled) = &mut task.sampled else { return };
        sampled.stay(at).ran += hits;
        task.busy_ns = Some(task.busy_ns.unwrap_or(0) + busy_ns);
        if let Some(total) = &mut self.totals.busy_ns {
            *total += busy_ns;
        }
        out.push(Event::Sampled { t_ns, task: id, tid, at, hits, busy_ns });
    }

    /// A task that is to be sampled has been seen first.
    pub(super) fn begin_sampling(&self) -> Box<Sampled> {
        let looks_before = self.looks.as_ref().map_or(0, |looks| looks.looks);
        Box::new(Sampled { looks_before, ..Sampled::default() })
    }

    /// A snapshot shows a task.
    pub(super) fn rested(&mut self, id: TaskId, state: TaskState, t_ns: u64) {
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
        for (id, Pending { tid, hits, looks_before, .. }) in named {
            if let Some(sampled) = self.live.get_mut(&id).and_then(|task| task.sampled.as_mut()) {
                sampled.looks_before = sampled.looks_before.min(looks_before);
            }
            self.ran(t_ns, id, tid, None, hits, out);
        }
    }
}

fn looks_room(looks: Option<&Looks>, limit: usize) -> bool {
    looks.is_none_or(|looks| looks.pending.len() < limit)
}

#[cfg(test)]
#[path = "sampled_tests.rs"]
mod tests;
