//! Runtimes that are being shut down and cannot end, because a poll or a closure does not return.

use super::group::{MAX_TASKS, once_each, some};
use crate::analysis::{Answer, Case, Finding, Lint, Part, sentence};
use crate::decode::{Certainty, RuntimeInfo, RuntimeKind, Task, TaskState};
use std::time::Duration;

pub struct StuckShutdown;

/// Polls and closures are over sooner than this.
const LONG: Duration = Duration::from_millis(500);

impl Lint for StuckShutdown {
    fn name(&self) -> &'static str {
        "stuck-shutdown"
    }

    fn what(&self) -> &'static str {
        "runtimes that are shut down and cannot end, because a poll or a closure does not return"
    }

    fn look(&self, case: &Case<'_>) -> Answer {
        let runtimes = case.snapshot.runtimes.iter().enumerate();
        let mut findings = Vec::new();
        let mut soon = false;
        for (number, runtime) in runtimes.filter(|(_, runtime)| runtime.closed == Some(true)) {
            let running = running(case, number);
            if running.is_empty() {
                continue;
            }
            match case.closed_for(runtime).filter(|ns| *ns >= LONG.as_nanos() as u64) {
                Some(ns) => findings.push(finding(case, runtime, ns, &running)),
                None => soon = true,
            }
        }
        if findings.is_empty() && soon { Answer::LookAgain(LONG) } else { Answer::of(findings) }
    }
}

/// What such a runtime waits for: polls on its threads, and closures on threads of its pool.
fn running<'a>(case: &Case<'a>, runtime: usize) -> Vec<&'a Task> {
    let tokio = case.snapshot.runtimes.iter().filter(|runtime| runtime.kind == RuntimeKind::Tokio);
    // A closure does not say whose it is.
    let only = tokio.count() == 1;
    let ours = |task: &&Task| match task.owner {
        Some(owner) => owner as usize == runtime,
        None => only,
    };
    let runs = |task: &&Task| task.id.runtime == RuntimeKind::Tokio && task.state == TaskState::Running;
    case.snapshot.tasks.iter().filter(runs).filter(ours).collect()
}

fn finding(case: &Case<'_>, runtime: &RuntimeInfo, ns: u64, running: &[&Task]) -> Finding {
    let first = running[0];
    let flavor = runtime.flavor.clone().unwrap_or_default();
    let what =
        |task: &Task| if task.owner.is_some() { " is being polled" } else { ", a blocking closure, runs" };
    let mut message = sentence![
        format!("a {flavor} runtime has been shutting down for "),
        Part::Span(ns),
        ", and ",
        Part::Task(first.id),
        " ",
        &first.name
    ];
    message.add(if first.owner.is_some() { " does not return from its poll" } else { " does not return" });
    if running.len() > 1 {
        message.append(sentence!["; ", Part::Count(running.len() as u64 - 1), " more like it"]);
    }
    let mut evidence =
        vec![sentence!["its queue is closed: it takes no more tasks, and ends when its threads have ended"]];
    for task in running.iter().take(8) {
        evidence.push(sentence![Part::Task(task.id), " ", &task.name, what(task)]);
    }
    evidence.push(sentence![
        "whether a thread waits for the end, as it does in the drop of a Runtime, is not known"
    ]);
    Finding {
        lint: StuckShutdown.name(),
        certainty: Certainty::Possible,
        tasks: running.iter().take(MAX_TASKS).map(|task| task.id).collect(),
        places: once_each(some(running).map(|task| case.place(task))),
        resources: vec![runtime.address],
        message,
        evidence,
        remedy: "let it see that it should end (a flag, a CancellationToken, a closed channel), or use \
                 Runtime::shutdown_timeout",
    }
}
