//! How a snapshot changes the task table. Without probes, the difference of two snapshots is all there is.

use super::path::primary_chain;
use super::task::{Known, SeenIn, Since, Stop};
use super::tasks::{is_traced, is_unnamed};
use super::{Ending, Event, Model, TaskPhase};
use crate::decode::{Lasting, Snapshot, Task, TaskId, ThreadPoll};
use crate::target::Avma;

/// A task is given up as gone when this many snapshots in a row lack it: a list that is walked while it
/// changes can miss a living task once.
const MISSES: u8 = 2;

/// After this long no event of an earlier moment is still on its way.
const SETTLED_NS: u64 = 5_000_000_000;

impl Model {
    /// Takes a snapshot, keeps it as the latest one, and appends what changed to `out`.
    pub fn snapshot_taken(&mut self, snapshot: Box<Snapshot>, out: &mut Vec<Event>) {
        // Only a core file's has no time, and those come alone.
        let t_ns = snapshot.t_ns.unwrap_or(self.now_ns);
        self.now_ns = self.now_ns.max(t_ns);
        let first = self.generation == 0;
        self.generation += 1;
        for (index, task) in snapshot.tasks.iter().enumerate() {
            self.merge(task, index as u32, t_ns, first, out);
        }
        self.name_pending(t_ns, out);
        self.give_up_missing(t_ns, out);
        self.just_ended.retain(|_, ended_ns| ended_ns.saturating_add(SETTLED_NS) >= t_ns);
        self.locks.take(&snapshot);
        self.backlogs.take(&snapshot);
        self.see_sequences(&snapshot);
        let closed = snapshot.runtimes.iter().filter(|runtime| runtime.closed == Some(true));
        let since = |at: Avma| (at, self.closed.get(&at).copied().unwrap_or(t_ns));
        self.closed = closed.map(|runtime| since(runtime.address)).collect();
        self.note_in_place(&snapshot);
        let before = self.latest.as_deref().map(|before| (before, &self.lasting[..]));
        self.lasting = Lasting::of(before, &snapshot);
        self.latest = Some(snapshot.into());
    }

    /// Since when each snapshot had this runtime as closed, CLOCK_MONOTONIC ns.
    pub fn closed_since(&self, runtime: Avma) -> Option<u64> {
        self.closed.get(&runtime).copied()
    }

    /// The task as the latest snapshot has it; None if that one lacks it.
    pub fn in_snapshot(&self, id: TaskId) -> Option<&Task> {
        let seen = self.live.get(&id)?.seen;
        if seen.generation != self.generation {
            return None;
        }
        self.latest.as_ref()?.tasks.get(seen.index as usize).filter(|task| task.id == id)
    }

    /// Since when each snapshot had this task the same (see [`Task::stands_as`]) and no transition of it was seen,
    /// CLOCK_MONOTONIC ns. None where there was only one such snapshot, or it is not in the latest.
    pub fn unmoved_since(&self, id: TaskId) -> Option<u64> {
        let entry = self.live.get(&id).filter(|entry| entry.seen.generation == self.generation)?;
        let since = entry.seen.unmoved_ns?;
        let moved = |stop: &Stop| stop.since.known == Known::Exact && stop.since.t_ns > since;
        (!entry.history.back().is_some_and(moved)).then_some(since)
    }

    fn note_in_place(&mut self, snapshot: &Snapshot) {
        let given_away = |poll: &&ThreadPoll| poll.worker.is_some() && poll.tick.is_none();
        for poll in snapshot.polls.iter().flatten().filter(given_away) {
            if let Some(entry) =
                self.live.get(&poll.task).filter(|_| self.in_place.len() < self.limits.places)
            {
                self.in_place.insert(entry.name.clone());
            }
        }
    }

    /// Whether a snapshot showed a task of this name within `block_in_place`.
    pub fn gives_workers_away(&self, name: &str) -> bool {
        self.in_place.contains(name)
    }

    /// Of each poll in the latest snapshot, how long it was seen to last.
    pub fn lasting(&self) -> &[Option<Lasting>] {
        &self.lasting
    }

    pub fn snapshots_taken(&self) -> u32 {
        self.generation
    }

    /// What [`SeenIn::unmoved_ns`] is of a task that the latest snapshot has like this. `self.latest` is the one before.
    fn unmoved(&self, task: &Task) -> Option<u64> {
        let seen = self.live.get(&task.id)?.seen;
        let latest = self.latest.as_ref().filter(|_| seen.generation + 1 == self.generation)?;
        let before = latest.tasks.get(seen.index as usize)?;
        task.stands_as(before).then(|| seen.unmoved_ns.or(latest.t_ns))?
    }

    fn merge(&mut self, task: &Task, index: u32, t_ns: u64, first: bool, out: &mut Vec<Event>) {
        let phase = TaskPhase::from(task.state);
        if !self.live.contains_key(&task.id) {
            let over = matches!(phase, TaskPhase::Ended(_));
            let full = self.live.len() >= self.limits.live;
            if over || self.just_ended.contains_key(&task.id) || (full && !first) {
                return;
            }
            let known = if first { Known::AtLeast } else { Known::About };
            self.first_sight(task.id, task.name.clone(), Since { t_ns, known }, None, out);
        }
        let traced = self.mode.of(task.id).times_polls();
        let unmoved_ns = self.unmoved(task);
        let Some(entry) = self.live.get_mut(&task.id) else { return };
        entry.seen = SeenIn { generation: self.generation, index, misses: 0, unmoved_ns };
        // A thread may block on one future after the other.
        if is_unnamed(&entry.name) || !is_traced(task.id) {
            entry.name = task.name.clone();
        }
        if entry.last_event_ns > t_ns {
            return; // the trace knows better
        }
        match phase {
            // Its last poll is on its way to us; only an end without a poll (a runtime that shut down) is told here.
            TaskPhase::Ended(_) if traced && entry.last_event_ns.saturating_add(SETTLED_NS) > t_ns => return,
            TaskPhase::Ended(how) => {
                self.end(t_ns, task.id, how, out);
                return;
            }
            TaskPhase::Idle if entry.idle.is_none() || entry.phase != TaskPhase::Idle => {
                let known = if first { Known::AtLeast } else { Known::About };
                entry.idle = Some(Since { t_ns, known });
            }
            _ => {}
        }
        entry.phase = phase;
        self.merge_path(task, t_ns, first, out);
        self.rested(task.id, task.state, t_ns);
    }

    fn merge_path(&mut self, task: &Task, t_ns: u64, first: bool, out: &mut Vec<Event>) {
        let Some(tree) = task.tree.as_ref().filter(|_| !task.stale) else { return };
        let to = self.paths.intern(&primary_chain(tree, &self.frames), &self.frames);
        let derive = !self.mode.of(task.id).counts_polls();
        let Some(entry) = self.live.get_mut(&task.id) else { return };
        let from = entry.path().cloned();
        match &from {
            Some(from) if *from == to => return,
            // With probes, transitions are the trace's to tell: it and a snapshot may cut the same chain at
            // different depths, and then the snapshot's is only the better description of the same place.
            Some(from) if !derive && (from.place == to.place || to.frames.starts_with(&from.frames)) => {
                if let Some(stop) = entry.history.back_mut() {
                    stop.path = to;
                }
                return;
            }
            _ => {}
        }
        let born_exactly = entry.born.known == Known::Exact;
        let since = match &from {
            None if first => Since { t_ns, known: Known::AtLeast },
            None if born_exactly => Since { t_ns: entry.born.t_ns, known: Known::Exact },
            _ => Since { t_ns, known: Known::About },
        };
        if from.is_none() {
            let stop = Stop { since, path: to };
            entry.arrive(stop.clone(), self.limits.history);
            return;
        }
        if derive {
            // It was polled since, at a time in between that nobody saw.
            entry.idle = (entry.phase == TaskPhase::Idle).then_some(Since { t_ns, known: Known::About });
            self.totals.transitions += 1;
            out.push(Event::State { t_ns, task: task.id, from, to: to.clone() });
        }
        self.arrive(task.id, since, &to);
    }

    fn give_up_missing(&mut self, t_ns: u64, out: &mut Vec<Event>) {
        let mode = self.mode;
        let generation = self.generation;
        let mut gone = Vec::new();
        for task in self.live.values_mut() {
            let seen = &mut task.seen;
            // A task that no snapshot has ever shown is the trace's alone, once it was polled.
            let traced = seen.generation == 0 && task.last_event_ns > 0;
            if traced || seen.generation == generation || task.last_event_ns > t_ns {
                continue;
            }
            // A trace tells the end itself, but for tasks that end without a poll.
            let heard_ns = task.last_event_ns.max(task.born.t_ns);
            if mode.of(task.id).times_polls() && heard_ns.saturating_add(SETTLED_NS) > t_ns {
                continue;
            }
            seen.misses = seen.misses.saturating_add(1);
            if seen.misses >= MISSES {
                gone.push(task.id);
            }
        }
        gone.sort_unstable();
        for id in gone {
            self.end(t_ns, id, Ending::Unseen, out);
        }
    }
}
