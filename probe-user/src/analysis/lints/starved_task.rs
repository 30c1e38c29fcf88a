//! Tasks that were woken and are not polled, with who keeps them waiting.

use crate::analysis::held_workers::{Held, all_of, held_workers};
use crate::analysis::stalls::{self, AGAIN, LONG, who};
use crate::analysis::{Answer, Case, Finding, Lint, Part, Sentence, sentence};
use crate::decode::{Certainty, QueueKind, Task, TaskId, TaskState};
use std::collections::BTreeMap;

pub struct StarvedTask;

/// Tasks that are named of one finding.
const NAMED: usize = 100;

impl Lint for StarvedTask {
    fn name(&self) -> &'static str {
        "starved-task"
    }

    fn what(&self) -> &'static str {
        "tasks that are ready and not polled, because other polls hold the workers that could"
    }

    fn look(&self, case: &Case<'_>) -> Answer {
        if case.snapshot.polls.is_none() {
            return Answer::Blind("the program's threads do not tell which task they poll");
        }
        let scheduled = |task: &Task| task.state == TaskState::Scheduled && task.owner.is_some();
        if !case.read_twice {
            let waits = case.snapshot.tasks.iter().any(scheduled);
            let held = case.polls().any(|(poll, _)| stalls::is_worker(case, poll));
            return if waits && held { Answer::LookAgain(AGAIN) } else { Answer::Fine };
        }
        let held = held_workers(case);
        if held.is_empty() {
            return Answer::Fine;
        }
        let mut starving = Starving::default();
        for (i, task) in case.snapshot.tasks.iter().enumerate().filter(|(_, task)| scheduled(task)) {
            if let Some(ns) = unpolled_ns(case, i) {
                starving.add(&held, task, ns);
            }
        }
        Answer::of(starving.findings(case, &held))
    }
}

/// How long it has been seen ready to be polled at the same place, ns.
fn unpolled_ns(case: &Case<'_>, index: usize) -> Option<u64> {
    let ns = case.snapshot.t_ns?.saturating_sub(case.unmoved_since(index)?);
    (ns >= LONG.as_nanos() as u64).then_some(ns)
}

/// Ready tasks with how long they were seen so, ns.
type Ready<'a> = Vec<(&'a Task, u64)>;

#[derive(Default)]
struct Starving<'a> {
    /// In the slot of a worker; by number of who holds that.
    slots: BTreeMap<usize, Ready<'a>>,
    /// In a queue that any worker of the runtime takes from.
    queues: BTreeMap<u32, Ready<'a>>,
}

impl<'a> Starving<'a> {
    fn add(&mut self, held: &[Held<'_>], task: &'a Task, ns: u64) {
        let (Some(queue), Some(owner)) = (task.queue, task.owner) else { return };
        let holds = |held: &Held<'_>| held.poll.runtime == Some(owner) && held.poll.worker == queue.worker;
        match queue.kind {
            QueueKind::LifoSlot => {
                if let Some(by) = held.iter().position(holds) {
                    self.slots.entry(by).or_default().push((task, ns));
                }
            }
            QueueKind::Local | QueueKind::Injection => {
                self.queues.entry(owner).or_default().push((task, ns));
            }
        }
    }

    fn findings(self, case: &Case<'_>, held: &[Held<'_>]) -> Vec<Finding> {
        let slots = self.slots.iter().filter_map(|(by, ready)| in_slot(case, &held[*by], ready));
        let queues = self.queues.iter().filter_map(|(runtime, ready)| {
            // Others would have taken them.
            in_queues(case, &all_of(case, held, *runtime)?, ready)
        });
        slots.chain(queues).collect()
    }
}

/// Of those that wait for this worker, the least that was seen, ns. None if it is not long.
fn least(held: u64, ready: &Ready<'_>) -> Option<u64> {
    let ns = ready.iter().map(|(_, ns)| *ns).fold(held, u64::min);
    (ns >= LONG.as_nanos() as u64).then_some(ns)
}

fn in_slot(case: &Case<'_>, held: &Held<'_>, ready: &Ready<'_>) -> Option<Finding> {
    let ns = least(held.ns, ready)?;
    let victims = ids(ready);
    let worker = held.poll.worker.unwrap_or(0);
    let mut message = who(&victims, &ready.first()?.0.name);
    message.append(sentence![
        " is ready and not polled for ",
        Part::Span(ns),
        format!(": it is in the LIFO slot of worker {worker}, which "),
        held.task.id,
        " ",
        &held.task.name,
        " holds"
    ]);
    if let Some(line) = &held.place.line {
        message.append(sentence![" at ", line]);
    }
    let slot = "no other worker takes tasks from a LIFO slot, though it be idle";
    finding(case, &[held], ready, message, vec![held.how(), sentence![slot]])
}

fn in_queues(case: &Case<'_>, held: &[&Held<'_>], ready: &Ready<'_>) -> Option<Finding> {
    let ns = least(held.iter().map(|held| held.ns).min()?, ready)?;
    let victims = ids(ready);
    let mut message = who(&victims, &ready.first()?.0.name);
    let names: std::collections::BTreeSet<_> = ready.iter().map(|(task, _)| &task.name).collect();
    if names.len() > 1 {
        message = sentence![ready.len() as u64, " tasks"];
    }
    message.append(sentence![
        if ready.len() == 1 { " is" } else { " are" },
        " ready and not polled for ",
        Part::Span(ns),
        ": "
    ]);
    message.append(match held {
        [only] => sentence![only.task.id, " ", &only.task.name, " holds the runtime's only worker"],
        all => sentence!["polls hold all ", all.len() as u64, " workers of the runtime"],
    });
    let evidence = held.iter().take(8).map(|held| held.how()).collect();
    finding(case, held, ready, message, evidence)
}

fn ids(ready: &Ready<'_>) -> Vec<TaskId> {
    ready.iter().map(|(task, _)| task.id).take(NAMED).collect()
}

fn finding(
    case: &Case<'_>,
    held: &[&Held<'_>],
    ready: &Ready<'_>,
    message: Sentence,
    evidence: Vec<Sentence>,
) -> Option<Finding> {
    let mut tasks = ids(ready);
    tasks.extend(held.iter().map(|held| held.task.id));
    let mut places = Vec::new();
    let victims = ready.iter().take(NAMED).map(|(task, _)| case.place(task));
    for place in held.iter().map(|held| held.place.clone()).chain(victims) {
        if places.len() < 8 && !places.contains(&place) {
            places.push(place);
        }
    }
    Some(Finding {
        lint: StarvedTask.name(),
        certainty: Certainty::Proven,
        tasks,
        places,
        resources: Vec::new(),
        message,
        evidence,
        remedy: "let the poll that holds the worker end: await, yield, or do its work in tokio::task::spawn_blocking",
    })
}
