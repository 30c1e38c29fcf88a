//! Tasks that hold up their threads: asleep within a poll, by what the kernel and the stacks say.

use super::calls::{may_block, own_frame, recognise};
use super::{Case, FoundPlace, Part, Sentence, sentence};
use crate::decode::{Certainty, CodeFrame, Lasting, TaskId, ThreadPoll};
use crate::model::LongPolls;
use crate::runtime::BlockingCall;
use crate::target::Avma;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Shorter ones are not told.
pub(super) const SHORT: Duration = Duration::from_millis(10);
/// So long harms whoever waits for the thread, whatever it is for.
pub(super) const LONG: Duration = Duration::from_millis(100);
/// Until a second reading of the same.
pub(super) const AGAIN: Duration = Duration::from_millis(200);

/// Tasks that are named of one finding.
const NAMED: usize = 100;

/// Threads asleep within polls of tasks of one name, at one place.
#[derive(Clone, Debug)]
pub(super) struct Stall {
    pub name: Arc<str>,
    pub tasks: Vec<TaskId>,
    pub place: FoundPlace,
    pub call: Option<BlockingCall>,
    pub system_call: Option<Arc<str>>,
    /// The function that the own code called.
    pub called: Option<Arc<str>>,
    pub tid: u32,
    pub worker: Option<u32>,
    /// The word that a `futex` call waits at.
    pub futex: Option<Avma>,
    /// How long the longest slept, ns.
    pub ns: u64,
    /// How often it was seen.
    pub count: u64,
    pub total_ns: u64,
    pub rests_on: RestsOn,
}

/// How it is known that the thread slept so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RestsOn {
    /// The scheduler's own times, of a poll that took so long in all, ns.
    Kernel { poll_ns: u64 },
    /// It had run no further between two readings.
    Readings,
    /// It was asleep whenever it was looked at.
    Looks,
}

impl Stall {
    pub fn certainty(&self) -> Certainty {
        let long = self.ns >= LONG.as_nanos() as u64;
        if long && self.rests_on != RestsOn::Looks { Certainty::Proven } else { Certainty::Possible }
    }

    /// `#5 app::handler` or `12 tasks app::handler`.
    pub fn who(&self) -> Sentence {
        who(&self.tasks, &self.name)
    }

    /// In which call, of whom, on which thread.
    pub fn how(&self) -> Sentence {
        let mut words = match &self.system_call {
            Some(call) => sentence!["asleep in ", call],
            None => sentence!["asleep, in no system call: it waits for memory to be read in"],
        };
        if let Some(called) = &self.called {
            words.append(sentence![", called by ", called]);
        }
        words.append(sentence![", within a poll, on ", Part::Thread(self.tid)]);
        if let Some(worker) = self.worker {
            words.add(format!(" (worker {worker})"));
        }
        words
    }

    /// How long, how often and by whose account.
    pub fn how_long(&self) -> Sentence {
        let mut words = match self.rests_on {
            RestsOn::Kernel { poll_ns } => sentence![
                "by the kernel's times it slept for ",
                Part::Span(self.ns),
                " of a poll that took ",
                Part::Span(poll_ns)
            ],
            RestsOn::Readings => {
                sentence!["its thread did not run at all between readings ", Part::Span(self.ns), " apart"]
            }
            RestsOn::Looks => sentence![
                "it was asleep there each time it was looked at, over ",
                Part::Span(self.ns),
                "; whether it slept all the time is not known"
            ],
        };
        if self.count > 1 {
            let times = sentence!["; seen ", self.count, " times, ", Part::Span(self.total_ns), " in all"];
            words.append(times);
        }
        words
    }
}

pub(super) fn who(tasks: &[TaskId], name: &Arc<str>) -> Sentence {
    match tasks {
        [only] => sentence![*only, " ", name],
        many if many.len() >= NAMED => sentence![many.len() as u64, " tasks or more ", name],
        many => sentence![many.len() as u64, " tasks ", name],
    }
}

/// Why nothing can be told of polls at all.
pub(super) fn blind(case: &Case<'_>) -> Option<&'static str> {
    let told = case.snapshot.polls.is_some() || case.watched.is_some_and(|model| model.mode().times_polls());
    (!told).then_some("the program's threads do not tell which task they poll, and polls are not watched")
}

/// Name of the tasks, place, system call.
type Key = (Arc<str>, FoundPlace, Option<Arc<str>>);

/// All of them, the longest first.
pub(super) fn stalls(case: &Case<'_>) -> Vec<Stall> {
    let mut all: Vec<Stall> = Vec::new();
    let mut known: HashMap<Key, usize> = HashMap::new();
    let rows = case.watched.iter().flat_map(|model| model.long_polls()).filter(|row| row.is_asleep());
    let rows = rows.filter_map(|row| of_row(case, row));
    let read = case.polls().filter_map(|(poll, lasting)| of_poll(case, poll, lasting?));
    for stall in rows.chain(read).filter(|stall| stall.ns >= SHORT.as_nanos() as u64) {
        let key = (stall.name.clone(), stall.place.clone(), stall.system_call.clone());
        match known.get(&key) {
            Some(i) => all[*i].join(&stall),
            None => {
                known.insert(key, all.len());
                all.push(stall);
            }
        }
    }
    all.sort_by_key(|stall| std::cmp::Reverse(stall.ns));
    all
}

impl Stall {
    /// The same place again, as another source has it.
    fn join(&mut self, other: &Stall) {
        for task in &other.tasks {
            if self.tasks.len() < NAMED && !self.tasks.contains(task) {
                self.tasks.push(*task);
            }
        }
        let surer = (other.certainty(), self.ns) < (self.certainty(), other.ns);
        self.futex = self.futex.or(other.futex);
        if surer {
            (self.ns, self.rests_on, self.tid) = (other.ns, other.rests_on, other.tid);
            self.worker = other.worker;
        }
        self.count = self.count.max(other.count);
        self.total_ns = self.total_ns.max(other.total_ns);
    }
}

/// What the trace told while it was under way.
fn of_row(case: &Case<'_>, row: &LongPolls) -> Option<Stall> {
    let span = row.longest;
    let (ns, rests_on) = match span.off_cpu {
        Some(off_cpu) => (off_cpu.blocked_ns, RestsOn::Kernel { poll_ns: span.ns() }),
        None => (span.ns(), RestsOn::Looks),
    };
    let fallback = || case.place_at(row.at.as_ref().and_then(|at| at.place), &row.name);
    let found = at_stack(&row.poll.stack, fallback)?;
    Some(Stall {
        name: row.name.clone(),
        tasks: row.tasks.clone(),
        place: found.place,
        call: found.call,
        system_call: row.poll.system_call.clone(),
        called: found.called,
        tid: span.tid,
        worker: case.polls().find(|(poll, _)| poll.tid == span.tid).and_then(|(poll, _)| poll.worker),
        futex: None,
        ns,
        count: row.count,
        total_ns: row.total_ns.max(ns),
        rests_on,
    })
}

/// What was read of a thread at least twice.
fn of_poll(case: &Case<'_>, poll: &ThreadPoll, lasting: Lasting) -> Option<Stall> {
    let task = case.task(poll.task).filter(|_| poll.asleep == Some(true) && is_worker(case, poll))?;
    let found = at_stack(&poll.stack, || case.place(task))?;
    let ns = case.snapshot.t_ns?.saturating_sub(lasting.since_ns);
    Some(Stall {
        name: task.name.clone(),
        tasks: vec![task.id],
        place: found.place,
        call: found.call,
        system_call: poll.system_call.clone(),
        called: found.called,
        tid: poll.tid,
        worker: poll.worker,
        futex: poll.futex,
        ns,
        count: 1,
        total_ns: ns,
        rests_on: if lasting.slept { RestsOn::Readings } else { RestsOn::Looks },
    })
}

/// Whether other tasks wait for this thread. Not where it runs a closure of the blocking pool, or has given its worker's part
/// away (`block_in_place`).
pub(super) fn is_worker(case: &Case<'_>, poll: &ThreadPoll) -> bool {
    let spawned = case.task(poll.task).is_some_and(|task| task.owner.is_some());
    let given_away = poll.worker.is_some() && poll.tick.is_none();
    spawned && !given_away && !may_block(&poll.stack)
}

struct AtStack {
    place: FoundPlace,
    call: Option<BlockingCall>,
    called: Option<Arc<str>>,
}

/// None where it does no harm.
fn at_stack(stack: &[CodeFrame], fallback: impl FnOnce() -> FoundPlace) -> Option<AtStack> {
    if may_block(stack) {
        return None;
    }
    let recognised = recognise(stack);
    let own = recognised.map_or_else(|| own_frame(stack), |(_, own)| own);
    let place = own
        .map(|own| &stack[own])
        .and_then(|frame| Some(FoundPlace { function: frame.function.clone()?, line: frame.line.clone() }));
    let inner = &stack[..own.unwrap_or(stack.len())];
    let called = inner.iter().rev().find_map(|frame| frame.function.clone());
    Some(AtStack { place: place.unwrap_or_else(fallback), call: recognised.map(|(call, _)| call), called })
}
