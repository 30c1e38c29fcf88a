//! Polls that run on a CPU for long, by the kernel's times or by readings.

use super::held_workers::held_workers;
use super::stalls::who;
use super::{Case, FoundPlace, Part, Sentence, sentence};
use crate::decode::{Certainty, TaskId};
use crate::model::{LongPolls, PlaceTimes, Spot};
use crate::trace::CpuSamples;
use std::collections::HashMap;
use std::sync::Arc;

/// Polls of tasks of one name that began at one place.
#[derive(Clone, Debug)]
pub(super) struct Computing {
    pub name: Arc<str>,
    pub tasks: Vec<TaskId>,
    /// The await from which they went on.
    pub place: FoundPlace,
    pub tid: u32,
    /// How long the longest ran, and how long it took, ns.
    pub ns: u64,
    pub lasts_ns: u64,
    pub count: u64,
    pub over: bool,
    /// By its own times, or because nothing else was polled meanwhile.
    pub proven: bool,
    pub rests_on: Sentence,
    /// What is known of all polls from there.
    pub others: Option<Sentence>,
    /// Where they were when it was looked at what they compute.
    pub cpu: CpuSamples,
}

impl Computing {
    pub fn certainty(&self) -> Certainty {
        if self.proven { Certainty::Proven } else { Certainty::Possible }
    }

    /// The same place again: of another task, or by another way of looking.
    fn join(&mut self, other: Computing) {
        let mut tasks = std::mem::take(&mut self.tasks);
        let fresh: Vec<TaskId> = other.tasks.iter().filter(|task| !tasks.contains(task)).copied().collect();
        tasks.extend(fresh);
        let count = self.count.max(other.count);
        let others = self.others.take().or_else(|| other.others.clone());
        let mut cpu = std::mem::take(&mut self.cpu);
        cpu.merge(&other.cpu);
        let surer = (other.proven, other.lasts_ns) > (self.proven, self.lasts_ns);
        let one = if surer { other } else { self.clone() };
        *self = Computing { tasks, count, others, cpu, ..one };
    }

    /// `#5 app::handler ran`
    pub fn who(&self) -> Sentence {
        who(&self.tasks, &self.name)
    }

    /// ` in one poll that went on from src/x.rs:12`
    pub fn from(&self) -> Sentence {
        match &self.place.line {
            Some(line) => sentence![" in a poll that went on from ", line],
            None => sentence![" in one poll"],
        }
    }

    /// `, at src/x.rs:123 (serde_json::to_vec) in 7 of 9 samples`
    pub fn doing(&self) -> Option<Sentence> {
        let most = self.cpu.most()?;
        let mut words = match most.own().and_then(|own| own.line.as_ref()) {
            Some(line) => sentence![", at ", line, " (", most.function()?, ")"],
            None => sentence![", in ", most.function()?],
        };
        words.append(sentence![" in ", most.count, " of ", self.cpu.count, " samples"]);
        Some(words)
    }

    pub fn evidence(&self) -> Vec<Sentence> {
        let mut evidence = vec![self.rests_on.clone()];
        if self.cpu.unknown > 0 {
            let (unknown, count) = (self.cpu.unknown, self.cpu.count);
            evidence.push(sentence!["where it was in ", unknown, " of ", count, " samples is not known"]);
        }
        if self.count > 1 {
            evidence.push(sentence!["seen ", self.count, " times, the longest on ", Part::Thread(self.tid)]);
        }
        evidence.extend(self.others.clone());
        evidence
    }
}

/// Those of the trace, then those of readings that the trace does not have.
pub(super) fn computing(case: &Case<'_>) -> Vec<Computing> {
    let mut all: Vec<Computing> = Vec::new();
    let mut known: HashMap<(Arc<str>, FoundPlace), usize> = HashMap::new();
    let rows = case.watched.iter().flat_map(|model| model.long_polls()).filter(|row| !row.is_asleep());
    let told = rows.filter_map(|row| of_row(case, row));
    for one in told.chain(of_readings(case)) {
        match known.get(&(one.name.clone(), one.place.clone())) {
            None => {
                known.insert((one.name.clone(), one.place.clone()), all.len());
                all.push(one);
            }
            Some(i) => all[*i].join(one),
        }
    }
    all
}

/// Where a row's polls began, if that is known: a task that runs nearly all the time may never be met at rest, but the kernel's
/// histograms, which come a second later, have where its long polls began. None before that.
fn began_at(case: &Case<'_>, row: &LongPolls) -> Option<Spot> {
    if let Some(place) = row.at.as_ref().and_then(|at| at.place) {
        return Some(Spot::Await(place));
    }
    // Its clock stops a little earlier.
    let least_ns = row.longest.ns() / 20 * 19;
    let as_long = |times: &&PlaceTimes| times.name == row.name && times.polls.max_ns >= least_ns;
    match case.watched?.place_times().into_iter().filter(as_long).collect::<Vec<_>>()[..] {
        [] => None,
        [only] => Some(only.at),
        _ => Some(Spot::Elsewhere),
    }
}

fn of_row(case: &Case<'_>, row: &LongPolls) -> Option<Computing> {
    // Its worker's other tasks go on elsewhere meanwhile.
    if case.watched.is_some_and(|model| model.gives_workers_away(&row.name)) {
        return None;
    }
    let span = row.longest;
    let ns = span.on_cpu_ns().unwrap_or(span.ns());
    let rests_on = match span.on_cpu_ns() {
        Some(ran) => sentence![
            "by the kernel's times ",
            Part::Thread(span.tid),
            " was on a CPU for ",
            Part::Span(ran),
            if span.over { " of a poll that took " } else { " of a poll that is under way for " },
            Part::Span(span.ns())
        ],
        None => sentence!["the poll took ", Part::Span(span.ns()), "; how much of it on a CPU is not known"],
    };
    let began_at = began_at(case, row)?;
    let frame = if let Spot::Await(place) = began_at { Some(place) } else { None };
    Some(Computing {
        name: row.name.clone(),
        tasks: row.tasks.clone(),
        place: case.place_at(frame, &row.name),
        tid: span.tid,
        ns,
        lasts_ns: span.ns(),
        count: row.count,
        over: span.over,
        proven: span.on_cpu_ns().is_some(),
        rests_on,
        others: others(case, &row.name, began_at),
        cpu: row.cpu.clone(),
    })
}

/// The polls of all such tasks from the same place.
fn others(case: &Case<'_>, name: &Arc<str>, at: Spot) -> Option<Sentence> {
    let times = case.watched?.times_at(name, at)?;
    let count = times.polls.count();
    let (most, longest) = (times.polls.percentile(99)?, times.polls.max_ns);
    Some(sentence![
        "of ",
        count,
        if count == 1 { " poll" } else { " polls" },
        " from there 99 % took up to ",
        Part::Span(most),
        ", the longest ",
        Part::Span(longest)
    ])
}

/// Threads that have run since an earlier reading without going for another task.
fn of_readings(case: &Case<'_>) -> Vec<Computing> {
    let one = |held: super::held_workers::Held<'_>| {
        let ran_ns = held.ran_ns().filter(|_| held.runs())?;
        let entry = case.entry(held.task.id);
        // Unmoved polls are counted once a second: what is not counted by now may have been in the last one.
        let unpolled = entry.is_some_and(|entry| entry.polls == Some(0)) && held.ns >= 2_000_000_000;
        let watched = case.watched.is_some_and(|model| model.mode().times_polls() && model.probes_in());
        let mut rests_on = sentence![
            Part::Thread(held.poll.tid),
            " ran for ",
            Part::Span(ran_ns),
            " between readings ",
            Part::Span(held.ns),
            " apart, and its worker went for no other task"
        ];
        if watched && unpolled {
            rests_on.append(sentence![
                "; the probes saw no poll of the task begin: it began before they were there"
            ]);
        }
        Some(Computing {
            name: held.task.name.clone(),
            tasks: vec![held.task.id],
            place: held.place.clone(),
            tid: held.poll.tid,
            ns: ran_ns,
            lasts_ns: held.ns,
            count: 1,
            over: false,
            proven: watched && unpolled,
            rests_on,
            others: None,
            cpu: CpuSamples::default(),
        })
    };
    held_workers(case).into_iter().filter_map(one).collect()
}
