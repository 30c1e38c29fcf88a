//! Tasks that have waited long for an answer over a connection, and that nothing but the answer lets go on.

use super::group::{Groups, MAX_TASKS};
use crate::analysis::{Answer, Case, Finding, FoundPlace, Lint, Part, Sentence, sentence};
use crate::decode::{Certainty, ResourceKind, Task, TaskState, Wait};

pub struct NoTimeout;

impl Lint for NoTimeout {
    fn name(&self) -> &'static str {
        "no-timeout"
    }

    fn what(&self) -> &'static str {
        "tasks that have waited long for an answer over a connection, with no timeout"
    }

    fn needs_trees(&self) -> bool {
        true
    }

    fn look(&self, case: &Case<'_>) -> Answer {
        // Between two snapshots something may have come, and the next wait be for the same of the same.
        if !case.watched.is_some_and(|model| model.mode().counts_polls()) {
            return Answer::Blind("whether tasks are polled is not watched");
        }
        let mut groups = Groups::default();
        for (number, task) in case.snapshot.tasks.iter().enumerate() {
            let Some(wait) = waits_for_an_answer(task) else { continue };
            let polled = case.entry(task.id).and_then(|entry| entry.idle_for(case.now_ns()?));
            let stood =
                polled.map(|(ns, _)| ns).filter(|ns| u128::from(*ns) >= case.answers_within.as_nanos());
            // Without code of the user's it is a library's own task, which looks after a connection that may rest.
            let (Some(ns), Some(_)) = (stood, case.location(task)) else { continue };
            if case.unmoved_since(number).is_some() {
                groups.add(case.place_of(task, wait), (task, wait, ns));
            }
        }
        Answer::of(groups.into_iter().map(|(place, tasks)| finding(place, &tasks)).collect())
    }
}

/// Its wait over a connection that was made by the target, where no timer is among the waits.
fn waits_for_an_answer(task: &Task) -> Option<&Wait> {
    let idle = task.state == TaskState::Idle && !task.stale;
    let timed = |wait: &Wait| wait.kind == ResourceKind::Timer;
    let asked = |wait: &&Wait| wait.kind == ResourceKind::Io && wait.outgoing;
    task.waits.iter().find(asked).filter(|_| idle && !task.waits.iter().any(timed))
}

fn finding(place: FoundPlace, tasks: &[(&Task, &Wait, u64)]) -> Finding {
    let longest = tasks.iter().map(|(.., ns)| *ns).max().unwrap_or(0);
    let mut evidence: Vec<Sentence> =
        tasks.iter().take(4).map(|(task, wait, ns)| of_task(task, wait, *ns)).collect();
    evidence.push(sentence!["no timer is among what ends that wait"]);
    evidence.push(sentence![
        "whether it is an answer that it waits for, or what may come at any time, is not known"
    ]);
    Finding {
        lint: NoTimeout.name(),
        certainty: Certainty::Possible,
        tasks: tasks.iter().take(MAX_TASKS).map(|(task, ..)| task.id).collect(),
        places: vec![place],
        resources: Vec::new(),
        message: message(tasks, longest),
        evidence,
        remedy: "put it into tokio::time::timeout, or give the client a timeout of its own",
    }
}

fn message(tasks: &[(&Task, &Wait, u64)], longest: u64) -> Sentence {
    let waits = " waited for a connection for ";
    let mut words = match tasks {
        [(only, ..)] => sentence![Part::Task(only.id), " ", &only.name, " has"],
        _ => sentence![Part::Count(tasks.len() as u64), " tasks ", &tasks[0].0.name, " have"],
    };
    words.append(sentence![waits, Part::Span(longest), ", and no timeout ends that"]);
    words
}

fn of_task(task: &Task, wait: &Wait, ns: u64) -> Sentence {
    let mut words = sentence![Part::Task(task.id), " ", &task.name];
    if let Some(detail) = &wait.detail {
        words.append(sentence![" ", Part::Name((**detail).into())]);
    }
    words.append(sentence![", for ", Part::Span(ns)]);
    words
}
