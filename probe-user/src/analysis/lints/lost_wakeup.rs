//! Tasks that wait, and that nothing can wake any more.

use super::group::{Groups, MAX_TASKS};
use crate::analysis::{Answer, Case, Finding, FoundPlace, Lint, Part, Sentence, sentence};
use crate::decode::{Certainty, Frame, FrameState, Node, Task, TaskState};
use std::sync::Arc;
use std::time::Duration;

pub struct LostWakeup;

const AGAIN: Duration = Duration::from_millis(200);
/// Leaves of one tree that are looked at.
const MAX_LEAVES: usize = 64;
/// Futures that are made to be never ready.
const NEVER: &[&str] = &[
    "core::future::pending::Pending<",
    "futures_util::future::pending::Pending<",
    "futures_util::stream::pending::Pending<",
    "tokio_stream::pending::Pending<",
];

impl Lint for LostWakeup {
    fn name(&self) -> &'static str {
        "lost-wakeup"
    }

    fn what(&self) -> &'static str {
        "tasks that wait, and of which nobody has a waker any more"
    }

    fn needs_trees(&self) -> bool {
        true
    }

    fn look(&self, case: &Case<'_>) -> Answer {
        // The count of references is one word: an idle task of which nobody has a waker never gets one again.
        let lost = |(_, task): &(usize, &Task)| {
            task.wakers == Some(0) && task.state == TaskState::Idle && !task.stale
        };
        let mut lost = case.snapshot.tasks.iter().enumerate().filter(lost).peekable();
        if lost.peek().is_none() {
            return Answer::Fine;
        }
        let mut groups = Groups::default();
        let mut moved = false;
        for (number, task) in lost {
            let Some((certainty, leaf)) = leaf(case, task) else { continue };
            if case.unmoved_since(number).is_none() {
                moved = true;
                continue;
            }
            groups.add((certainty, task.name.clone(), case.place(task), leaf.function.clone()), task);
        }
        if groups.is_empty() {
            return if moved { Answer::LookAgain(AGAIN) } else { Answer::Fine };
        }
        let finding =
            |((certainty, _, place, leaf), tasks): (_, Vec<&Task>)| finding(certainty, place, &leaf, &tasks);
        Answer::of(groups.into_iter().map(finding).collect())
    }
}

/// The future that should have kept a waker, and how far it is known that it should have. None where no future of the task is
/// one that anybody expects to be ready.
fn leaf(case: &Case<'_>, task: &Task) -> Option<(Certainty, Arc<Frame>)> {
    let mut leaves = Vec::new();
    collect(case, task.tree.as_ref()?, &mut leaves);
    let waits = |frame: &&Arc<Frame>| !NEVER.iter().any(|never| frame.function.starts_with(never));
    let rank = |frame: &Arc<Frame>| {
        // A closure may mean to be pending for ever, and what is not described may be such a future.
        let sure = frame.state == FrameState::Suspended && !frame.function.contains("PollFn<");
        if sure { Certainty::Proven } else { Certainty::Possible }
    };
    let known = leaves.iter().filter(waits).map(|frame| (rank(frame), frame.clone()));
    known.min_by_key(|(certainty, _)| *certainty)
}

fn collect(case: &Case<'_>, node: &Node, leaves: &mut Vec<Arc<Frame>>) {
    if node.awaiting.is_empty() {
        let frame = case.frames().get(node.frame);
        let over = matches!(frame.state, FrameState::Unresumed | FrameState::Returned | FrameState::Panicked);
        if !over && leaves.len() < MAX_LEAVES {
            leaves.push(frame);
        }
    }
    for child in &node.awaiting {
        collect(case, child, leaves);
    }
}

fn finding(certainty: Certainty, place: FoundPlace, leaf: &Arc<str>, tasks: &[&Task]) -> Finding {
    let mut stands = sentence![Part::Task(tasks[0].id), " ", &tasks[0].name, " waits"];
    if let Some(line) = &place.line {
        stands.append(sentence![" at ", line]);
    }
    stands.append(sentence![" for ", leaf]);
    let mut evidence = vec![
        stands,
        sentence![
            "its runtime counts no reference to it but those of its own list and of the JoinHandle: it can be aborted, and \
             not woken"
        ],
    ];
    if certainty == Certainty::Possible {
        evidence.push(sentence!["whether that future is meant to be never ready is not known"]);
    }
    Finding {
        lint: LostWakeup.name(),
        certainty,
        tasks: tasks.iter().take(MAX_TASKS).map(|task| task.id).collect(),
        places: vec![place],
        resources: Vec::new(),
        message: message(tasks),
        evidence,
        remedy: "whoever returns Pending must first give a clone of the context's waker to what will wake it, and that \
                 must wake it even when it is dropped",
    }
}

fn message(tasks: &[&Task]) -> Sentence {
    match tasks {
        [only] => sentence![
            Part::Task(only.id),
            " ",
            &only.name,
            " waits, and nobody has a waker of it: it can never go on"
        ],
        _ => sentence![
            Part::Count(tasks.len() as u64),
            " tasks ",
            &tasks[0].name,
            " wait, and nobody has a waker of them: they can never go on"
        ],
    }
}
