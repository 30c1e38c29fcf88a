//! A runtime none of whose threads waits for I/O and timers, because polls hold all of them.

use crate::analysis::held_workers::{Held, all_of, held_workers};
use crate::analysis::stalls::{self, AGAIN, LONG};
use crate::analysis::{Answer, Case, Finding, Lint, Part, Sentence, sentence};
use crate::decode::{Certainty, ResourceKind, Task, TaskState};
use std::collections::HashMap;

pub struct IoDriverStalled;

impl Lint for IoDriverStalled {
    fn name(&self) -> &'static str {
        "io-driver-stalled"
    }

    fn what(&self) -> &'static str {
        "runtimes whose workers are all held by polls, so that nobody looks for I/O and timers"
    }

    fn look(&self, case: &Case<'_>) -> Answer {
        if case.snapshot.polls.is_none() {
            return Answer::Blind("the program's threads do not tell which task they poll");
        }
        let held = held_workers(case);
        let waiting = waiting(case);
        if !case.read_twice
            && !waiting.is_empty()
            && case.polls().any(|(poll, _)| stalls::is_worker(case, poll))
        {
            return Answer::LookAgain(AGAIN);
        }
        let mut runtimes: Vec<u32> = waiting.keys().copied().collect();
        runtimes.sort_unstable();
        let one = |runtime: u32| finding(case, &all_of(case, &held, runtime)?, &waiting[&runtime]);
        Answer::of(runtimes.into_iter().filter_map(one).collect())
    }
}

/// What waits for a runtime's driver.
#[derive(Default)]
struct Waiting {
    io: u64,
    timers: u64,
    /// CLOCK_MONOTONIC, ns.
    first_due_ns: Option<u64>,
}

fn waiting(case: &Case<'_>) -> HashMap<u32, Waiting> {
    let mut all: HashMap<u32, Waiting> = HashMap::new();
    let idle = |task: &&Task| task.state == TaskState::Idle && !task.stale;
    for task in case.snapshot.tasks.iter().filter(idle) {
        let Some(owner) = task.owner else { continue };
        for wait in
            task.waits.iter().filter(|wait| matches!(wait.kind, ResourceKind::Io | ResourceKind::Timer))
        {
            let known = all.entry(owner).or_default();
            match wait.kind {
                ResourceKind::Io => known.io += 1,
                _ => known.timers += 1,
            }
            if let Some(due) = wait.deadline_ns {
                known.first_due_ns = Some(known.first_due_ns.map_or(due, |first| first.min(due)));
            }
        }
    }
    all
}

fn finding(case: &Case<'_>, held: &[&Held<'_>], waiting: &Waiting) -> Option<Finding> {
    let ns = held.iter().map(|held| held.ns).min().filter(|ns| *ns >= LONG.as_nanos() as u64)?;
    let mut message = match held {
        [only] if only.poll.worker.is_none() => {
            sentence![only.task.id, " ", &only.task.name, " holds the runtime's only thread"]
        }
        all => {
            let mut words = sentence!["all ", all.len() as u64, " workers of a runtime are held, by "];
            for (nth, held) in all.iter().take(NAMED).enumerate() {
                words.append(sentence![if nth == 0 { "" } else { ", " }, held.task.id, " ", &held.task.name]);
            }
            words
        }
    };
    message.append(sentence![": for ", Part::Span(ns), " nobody has looked for I/O and timers"]);
    let mut places: Vec<_> = Vec::new();
    for held in held {
        if !places.contains(&held.place) {
            places.push(held.place.clone());
        }
    }
    let mut evidence: Vec<Sentence> = held.iter().take(NAMED).map(|held| held.how()).collect();
    evidence.push(who_waits(case, waiting));
    Some(Finding {
        lint: IoDriverStalled.name(),
        certainty: Certainty::Proven,
        tasks: held.iter().map(|held| held.task.id).collect(),
        places,
        resources: Vec::new(),
        message,
        evidence,
        remedy: "do what blocks or computes for long in tokio::task::spawn_blocking, or yield between its parts",
    })
}

/// Workers that are named.
const NAMED: usize = 8;

fn who_waits(case: &Case<'_>, waiting: &Waiting) -> Sentence {
    let mut words =
        sentence![waiting.io, " waits for I/O and ", waiting.timers, " for timers are its tasks'"];
    let late = case.snapshot.t_ns.zip(waiting.first_due_ns).and_then(|(now, due)| now.checked_sub(due));
    if let Some(late) = late {
        words.append(sentence!["; the first timer was due ", Part::Span(late), " ago"]);
    }
    words
}
