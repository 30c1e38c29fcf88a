//! The task table, and how trace events change it.

use super::backlogs::{Backlog, Backlogs};
use super::cancels::CancelCounts;
use super::held_up::HeldUp;
use super::joins::Sequences;
use super::locks::Locks;
use super::path::Paths;
use super::task::{Known, Since, Stop};
use super::{
    AwaitPath, Cancels, Cost, Delays, Ending, Event, Limits, LockWaits, Looks, Mode, PlaceTimes, PlaceTotals,
    Sequence, Spot, TaskEntry, TaskPhase, Totals,
};
use crate::decode::{FrameId, Frames, Lasting, RuntimeKind, Snapshot, TaskId};
use crate::target::Avma;
use crate::trace::{Doer, OffCpu, PollEnd, TraceEvent};
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

/// Everything known of a target's tasks. A clone is a frozen picture of it.
#[derive(Clone)]
pub struct Model {
    pub(super) mode: Mode,
    pub(super) limits: Limits,
    pub(super) frames: Arc<Frames>,
    pub(super) paths: Paths,
    pub(super) live: HashMap<TaskId, TaskEntry>,
    /// In the order of their end.
    pub(super) ended: VecDeque<TaskEntry>,
    /// Ends that a snapshot still in the making may not know of.
    pub(super) just_ended: HashMap<TaskId, u64>,
    pub(super) totals: Totals,
    pub(super) cost: Option<Cost>,
    pub(super) probes_in: bool,
    /// Since when they are out, CLOCK_MONOTONIC ns.
    pub(super) out_since_ns: Option<u64>,
    pub(super) places: HashMap<(Arc<str>, FrameId), PlaceTotals>,
    pub(super) times: HashMap<(Arc<str>, Spot), PlaceTimes>,
    pub(super) looks: Option<Looks>,
    pub(super) locks: Locks,
    pub(super) backlogs: Backlogs,
    pub(super) cancels: CancelCounts,
    pub(super) sequences: Sequences,
    pub(super) held_up: HeldUp,
    /// Names of tasks that were seen to give their worker's part to another thread (`block_in_place`).
    pub(super) in_place: HashSet<Arc<str>>,
    /// Of the polls in the latest snapshot.
    pub(super) lasting: Vec<Option<Lasting>>,
    pub(super) latest: Option<Arc<Snapshot>>,
    /// Runtimes that all snapshots since then had as closed, CLOCK_MONOTONIC ns.
    pub(super) closed: HashMap<Avma, u64>,
    pub(super) generation: u32,
    pub(super) now_ns: u64,
    pub(super) started_ns: u64,
}

impl Model {
    /// `t_ns`: when watching began, CLOCK_MONOTONIC.
    pub fn new(mode: Mode, frames: Arc<Frames>, t_ns: u64, limits: Limits) -> Model {
        let totals = Totals {
            polls: mode.counts_polls().then_some(0),
            busy_ns: (mode.times_polls() || mode.samples()).then_some(0),
            ..Totals::default()
        };
        Model {
            mode,
            limits,
            frames,
            paths: Paths::new(limits.paths),
            live: HashMap::new(),
            ended: VecDeque::new(),
            just_ended: HashMap::new(),
            totals,
            cost: None,
            probes_in: mode.counts_polls(),
            out_since_ns: None,
            places: HashMap::new(),
            times: HashMap::new(),
            looks: mode.samples().then(Looks::default),
            locks: Locks::default(),
            backlogs: Backlogs::default(),
            cancels: CancelCounts::default(),
            sequences: Sequences::default(),
            held_up: HeldUp::new(limits.places),
            in_place: HashSet::new(),
            lasting: Vec::new(),
            latest: None,
            closed: HashMap::new(),
            generation: 0,
            now_ns: t_ns,
            started_ns: t_ns,
        }
    }

    pub fn mode(&self) -> Mode {
        self.mode
    }

    pub fn frames(&self) -> &Arc<Frames> {
        &self.frames
    }

    /// Living tasks in no order, then the ended ones that are still kept.
    pub fn tasks(&self) -> impl Iterator<Item = &TaskEntry> {
        self.live.values().chain(&self.ended)
    }

    pub fn live_count(&self) -> usize {
        self.live.len()
    }

    pub fn get(&self, id: TaskId) -> Option<&TaskEntry> {
        self.live.get(&id).or_else(|| self.ended.iter().rev().find(|task| task.id == id))
    }

    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// What watching has cost, as of the last [`super::Update::Cost`].
    pub fn cost(&self) -> Option<&Cost> {
        self.cost.as_ref()
    }

    /// False while the probes are out to keep their cost within the budget.
    pub fn probes_in(&self) -> bool {
        self.probes_in
    }

    pub fn places(&self) -> impl Iterator<Item = &PlaceTotals> {
        self.places.values()
    }

    /// Locks that tasks wait or waited for, in no order.
    /// Channels without a bound, as far as they are known.
    pub fn backlogs(&self) -> impl Iterator<Item = &Backlog> {
        self.backlogs.iter()
    }

    pub fn locks(&self) -> impl Iterator<Item = &LockWaits> {
        self.locks.iter()
    }

    /// Where tasks were cancelled, in no order.
    pub fn cancels(&self) -> impl Iterator<Item = &Cancels> {
        self.cancels.iter()
    }

    /// Which tasks waited for one task after the other, in no order.
    pub fn sequences(&self) -> impl Iterator<Item = &Sequence> {
        self.sequences.iter()
    }

    pub fn snapshot(&self) -> Option<&Snapshot> {
        self.latest.as_deref()
    }

    /// The latest time any input spoke of.
    pub fn now_ns(&self) -> u64 {
        self.now_ns
    }

    pub fn started_ns(&self) -> u64 {
        self.started_ns
    }

    /// Moves time on, and lets go of tasks that ended long ago.
    pub fn tick(&mut self, t_ns: u64) {
        self.now_ns = self.now_ns.max(t_ns);
        self.settle_sequences();
        let horizon = self.now_ns.saturating_sub(self.limits.ended_for_ns);
        while self.ended.front().is_some_and(|task| task.ended_ns.unwrap_or(0) < horizon) {
            self.ended.pop_front();
        }
    }

    /// Takes one trace event; what it meant is appended to `out`.
    pub fn trace(&mut self, event: TraceEvent, out: &mut Vec<Event>) {
        match event {
            TraceEvent::Watches { wakes, off_cpu, .. } => {
                self.totals.wakes = wakes.then_some(0);
                self.totals.off_cpu = off_cpu.then(OffCpu::default);
            }
            TraceEvent::Wake { t_ns, task, by } => {
                self.now_ns = self.now_ns.max(t_ns);
                self.woken(t_ns, task, by, out);
            }
            TraceEvent::Delays { t_ns, task, count, sum_ns, max_ns, idle_ns, poll_max_ns } => {
                self.delayed(t_ns, task, Delays { count, sum_ns, max_ns, idle_ns, poll_max_ns }, out);
            }
            TraceEvent::Timed { t_ns, of } => self.timed(t_ns, *of, out),
            TraceEvent::Spawn { t_ns, task, name, parent } => {
                self.now_ns = self.now_ns.max(t_ns);
                let born = Since { t_ns, known: Known::Exact };
                if self.just_ended.contains_key(&task) {
                    return;
                }
                if let Some(known) = self.live.get_mut(&task) {
                    if let (None, Some(parent)) = (known.parent, parent) {
                        known.parent = Some(parent);
                        out.push(Event::Parent { t_ns, task, parent });
                    }
                    if is_unnamed(&known.name) {
                        known.name = name;
                    }
                    // A snapshot was quicker to tell of it.
                    if known.born.known == Known::About {
                        known.born = born;
                    }
                } else {
                    self.first_sight(task, name, born, parent, out);
                }
            }
            TraceEvent::Poll { t_ns, task, tid, count, duration_ns, end, off_cpu } => {
                self.now_ns = self.now_ns.max(t_ns);
                self.poll(t_ns, task, count, duration_ns, end, out);
                self.was_off_cpu(task, t_ns, off_cpu);
                out.push(Event::Poll { t_ns, task, tid, count, duration_ns, end, off_cpu });
                let how = match end {
                    PollEnd::Complete => Ending::Complete,
                    PollEnd::Cancelled => Ending::Cancelled,
                    PollEnd::Panicked => Ending::Panicked,
                    PollEnd::Gone => Ending::Unseen,
                    PollEnd::Pending | PollEnd::Unseen => return,
                };
                // Between the end of a poll and its return probe another thread may have polled the task to its end:
                // then both polls saw it complete, and it completed once.
                if self.just_ended.contains_key(&task) {
                    return;
                }
                self.end(t_ns, task, how, out);
            }
            TraceEvent::LongPoll { t_ns, task, tid, name, poll } => {
                self.takes_long(t_ns, task, tid, name, poll, out);
            }
            TraceEvent::LongPollLasts { t_ns, task, tid, since_ns, off_cpu, over, cpu } => {
                self.now_ns = self.now_ns.max(t_ns);
                self.held_up.lasts((tid, since_ns), t_ns, off_cpu, over, &cpu);
                self.computes(task, since_ns, &cpu);
            }
            TraceEvent::State { t_ns, task, from, to } => {
                self.now_ns = self.now_ns.max(t_ns);
                self.transition(t_ns, task, &from, &to, out);
            }
            TraceEvent::Stands { t_ns, task, at } => {
                self.now_ns = self.now_ns.max(t_ns);
                let at = self.paths.intern(&at, &self.frames);
                self.stood(task, &at);
            }
            TraceEvent::Lost { t_ns, count } => {
                self.now_ns = self.now_ns.max(t_ns);
                self.totals.lost = self.totals.lost.saturating_add(count);
                out.push(Event::Lost { t_ns, count });
            }
            TraceEvent::Paused { t_ns } => self.budget(t_ns, false, out),
            TraceEvent::Resumed { t_ns } => self.budget(t_ns, true, out),
        }
    }

    fn budget(&mut self, t_ns: u64, probes_in: bool, out: &mut Vec<Event>) {
        self.now_ns = self.now_ns.max(t_ns);
        self.turned(t_ns, probes_in);
        out.push(Event::Budget { t_ns, probes_in });
    }

    fn poll(
        &mut self,
        t_ns: u64,
        id: TaskId,
        count: u64,
        duration_ns: Option<u64>,
        end: PollEnd,
        out: &mut Vec<Event>,
    ) {
        if !self.just_ended.contains_key(&id) {
            self.known_or_new(t_ns, id, out);
        }
        if let Some(polls) = &mut self.totals.polls {
            *polls += count;
        }
        if let (Some(busy), Some(d)) = (&mut self.totals.busy_ns, duration_ns) {
            *busy = busy.saturating_add(d);
        }
        let Some(task) = self.live.get_mut(&id) else { return };
        task.polls = Some(task.polls.unwrap_or(0) + count);
        match duration_ns {
            Some(d) => task.busy_ns = Some(task.busy_ns.unwrap_or(0) + d),
            None => task.unmeasured += count,
        }
        task.last_event_ns = task.last_event_ns.max(t_ns);
        if end == PollEnd::Pending {
            task.phase = TaskPhase::Idle;
        }
        let known = if end == PollEnd::Unseen { Known::About } else { Known::Exact };
        task.idle = Some(Since { t_ns, known });
    }

    fn transition(&mut self, t_ns: u64, id: TaskId, from: &[FrameId], to: &[FrameId], out: &mut Vec<Event>) {
        if self.just_ended.contains_key(&id) {
            return;
        }
        self.known_or_new(t_ns, id, out);
        let from = self.paths.intern(from, &self.frames);
        let to = self.paths.intern(to, &self.frames);
        self.totals.transitions += 1;
        if let Some(task) = self.live.get_mut(&id) {
            task.last_event_ns = task.last_event_ns.max(t_ns);
        }
        self.stood(id, &from);
        self.arrive(id, Since { t_ns, known: Known::Exact }, &to);
        out.push(Event::State { t_ns, task: id, from: Some(from), to });
    }

    /// It was there before its first event: since when is not known.
    fn stood(&mut self, id: TaskId, at: &Arc<AwaitPath>) {
        if let Some(task) = self.live.get_mut(&id).filter(|task| task.history.is_empty()) {
            let since = Since { t_ns: task.born.t_ns, known: task.born.known };
            task.arrive(Stop { since, path: at.clone() }, self.limits.history);
        }
    }

    /// Moves a task to a place and books the time it spent at the last one.
    pub(super) fn arrive(&mut self, id: TaskId, since: Since, path: &Arc<AwaitPath>) {
        let Some(task) = self.live.get_mut(&id) else { return };
        let left = task.history.back().cloned();
        task.arrive(Stop { since, path: path.clone() }, self.limits.history);
        let name = task.name.clone();
        let same_place = left.as_ref().is_some_and(|stop| stop.path.place == path.place);
        if same_place {
            return;
        }
        if let Some(stop) = left
            && let Some(place) = stop.path.place
            && stop.since.known != Known::AtLeast
            && let Some(totals) = self.places.get_mut(&(name.clone(), place))
        {
            totals.spent_ns += since.t_ns.saturating_sub(stop.since.t_ns);
            totals.departures += 1;
        }
        let Some(place) = path.place else { return };
        let key = (name.clone(), place);
        if !self.places.contains_key(&key) && self.places.len() >= self.limits.places {
            self.totals.places_not_kept += 1;
            return;
        }
        let fresh = PlaceTotals { task_name: name, place, arrivals: 0, spent_ns: 0, departures: 0 };
        self.places.entry(key).or_insert(fresh).arrivals += 1;
    }

    /// A task that an event speaks of, before anything told its name (that event was lost, or it was there
    /// before we looked and no snapshot has come yet).
    fn known_or_new(&mut self, t_ns: u64, id: TaskId, out: &mut Vec<Event>) {
        // In a full table it may be one that was counted and not kept.
        if !self.live.contains_key(&id) && self.live.len() < self.limits.live {
            let born = Since { t_ns, known: Known::AtLeast };
            self.first_sight(id, UNNAMED.into(), born, None, out);
        }
    }

    pub(super) fn first_sight(
        &mut self,
        id: TaskId,
        name: Arc<str>,
        born: Since,
        parent: Option<Doer>,
        out: &mut Vec<Event>,
    ) {
        let existing = born.known == Known::AtLeast;
        let traced = is_traced(id);
        if traced {
            self.totals.tasks_seen += 1;
            *(if existing { &mut self.totals.existing } else { &mut self.totals.spawned }) += 1;
        }
        let t_ns = born.t_ns;
        let about = born.known == Known::About;
        out.push(Event::Spawn { t_ns, task: id, name: name.clone(), parent, existing, about });
        if self.live.len() >= self.limits.live {
            self.totals.not_kept += 1;
            return;
        }
        let mut task = TaskEntry::new(id, name, born);
        task.parent = parent;
        let mode = self.mode.of(id);
        task.polls = mode.counts_polls().then_some(0);
        task.busy_ns = (mode.times_polls() || mode.samples()).then_some(0);
        task.sampled = self.looks.is_some().then(|| self.begin_sampling());
        self.live.insert(id, task);
    }

    pub(super) fn end(&mut self, t_ns: u64, id: TaskId, how: Ending, out: &mut Vec<Event>) {
        let total = match how {
            Ending::Complete => &mut self.totals.completed,
            Ending::Cancelled => &mut self.totals.cancelled,
            Ending::Panicked => &mut self.totals.panicked,
            Ending::Unseen => &mut self.totals.gone,
        };
        *total += u64::from(is_traced(id));
        let seen = how != Ending::Unseen;
        let at = self.live.get(&id).filter(|_| seen).and_then(TaskEntry::path).cloned();
        out.push(Event::Ended { t_ns, task: id, how, at });
        if self.just_ended.len() < self.limits.live {
            self.just_ended.insert(id, t_ns);
        }
        let Some(mut task) = self.live.remove(&id) else { return };
        if let Some(place) = task.path().and_then(|path| path.place).filter(|_| how == Ending::Cancelled) {
            self.cancels.take(id, &task.name, place);
        }
        task.phase = TaskPhase::Ended(how);
        task.ended_ns = Some(t_ns);
        if let Some(sampled) = &mut task.sampled {
            sampled.ended(self.looks.as_ref());
        }
        if self.ended.len() >= self.limits.ended {
            self.ended.pop_front();
        }
        self.ended.push_back(task);
        self.tick(t_ns);
    }
}

/// The trace sees what executors poll; a future in `block_on` is in snapshots only, and no task that anybody spawned.
pub(super) fn is_traced(id: TaskId) -> bool {
    id.runtime != RuntimeKind::BlockOn
}

/// The name of a task whose name nothing told.
const UNNAMED: &str = "?";

pub(super) fn is_unnamed(name: &str) -> bool {
    name.starts_with('?')
}
