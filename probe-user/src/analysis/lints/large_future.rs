//! Tasks whose futures are large: each move copies them, and each task keeps as much for as long as it lives.

use super::group::{Groups, MAX_TASKS, once_each};
use crate::analysis::{Answer, Case, Finding, FoundPlace, Lint, Part, Sentence, sentence};
use crate::decode::{Certainty, Frame, FrameId, LargePart, Node, Task};
use std::collections::HashMap;
use std::sync::Arc;

pub struct LargeFuture;

/// From here on it may be meant, and is worth a look: some hundred times what futures usually take.
const LARGE: u64 = 64 << 10;
/// From here on it is not: a handful of moves, and a thread's stack of 2 MiB is gone.
const FAR_TOO_LARGE: u64 = 256 << 10;

impl Lint for LargeFuture {
    fn name(&self) -> &'static str {
        "large-future"
    }

    fn what(&self) -> &'static str {
        "tasks whose futures take much memory, and what in them does"
    }

    fn needs_trees(&self) -> bool {
        true
    }

    fn look(&self, case: &Case<'_>) -> Answer {
        let mut known: HashMap<FrameId, Option<Arc<Frame>>> = HashMap::new();
        let large = |id: FrameId| {
            let frame = case.frames().get(id);
            (frame.size >= LARGE).then_some(frame)
        };
        let mut groups = Groups::default();
        for task in &case.snapshot.tasks {
            let Some(tree) = &task.tree else { continue };
            if let Some(frame) = known.entry(tree.frame).or_insert_with(|| large(tree.frame)) {
                groups.add((frame.type_name.clone(), frame.size), task);
            }
        }
        let finding = |((_, bytes), tasks): (_, Vec<&Task>)| finding(case, bytes, &tasks);
        Answer::of(groups.into_iter().map(finding).collect())
    }
}

fn finding(case: &Case<'_>, bytes: u64, tasks: &[&Task]) -> Finding {
    let parts = tasks[0].tree.as_ref().map(|tree| parts(case, tree)).unwrap_or_default();
    let place = |part: &LargePart| FoundPlace { function: part.function.clone(), line: part.line.clone() };
    // The innermost is what takes the room; the others only have it in them.
    let places = parts.iter().rev().map(place).chain([case.place(tasks[0])]);
    Finding {
        lint: LargeFuture.name(),
        certainty: if bytes >= FAR_TOO_LARGE { Certainty::Proven } else { Certainty::Possible },
        tasks: tasks.iter().take(MAX_TASKS).map(|task| task.id).collect(),
        places: once_each(places),
        resources: Vec::new(),
        message: message(bytes, tasks),
        evidence: if parts.is_empty() {
            vec![sentence!["which part of it is large is not known"]]
        } else {
            parts.iter().map(evidence).collect()
        },
        remedy: "keep the buffer in a Vec or a Box, or let go of it before the await; Box::pin the large future where it \
                 is awaited",
    }
}

/// Of the outermost coroutine: what is around it only adds to it.
fn parts(case: &Case<'_>, root: &Node) -> Arc<[LargePart]> {
    let mut node = root;
    loop {
        let frame = case.frames().get(node.frame);
        match &*node.awaiting {
            [only] if frame.large_parts.is_empty() => node = only,
            _ => return frame.large_parts.clone(),
        }
    }
}

fn message(bytes: u64, tasks: &[&Task]) -> Sentence {
    match tasks {
        [only] => sentence![Part::Task(only.id), " ", &only.name, " is a future of ", Part::Size(bytes)],
        _ => sentence![
            Part::Count(tasks.len() as u64),
            " tasks ",
            &tasks[0].name,
            " are futures of ",
            Part::Size(bytes),
            " each"
        ],
    }
}

fn evidence(part: &LargePart) -> Sentence {
    let mut words = match &part.local {
        Some(local) => sentence![
            Part::Size(part.bytes),
            " are `",
            Part::Name(local.to_string().into()),
            "` of ",
            &part.function,
            ", ",
            &part.type_name
        ],
        None => sentence![Part::Size(part.bytes), " are what ", &part.function, " awaits, ", &part.type_name],
    };
    if let Some(line) = &part.line {
        words.append(sentence![", at ", line]);
    }
    words
}
