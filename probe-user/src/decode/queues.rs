//! In which queue each scheduled task waits for its poll.

use super::discover::Discovery;
use super::snapshot::SnapshotParts;
use super::{Inspector, Queue, RuntimeKind, Task, TaskState};
use crate::runtime::{Reflect, TaskQueue, thread_queues};
use crate::target::{Avma, Subject};
use std::collections::{HashMap, HashSet};

/// A task's place, or None where it seems to be in two.
type Places = HashMap<Avma, Option<Queue>>;

impl<S: Subject> Inspector<S> {
    /// Reads the queues, but only of runtimes that have a task in one.
    pub(super) fn add_queues(
        &self,
        parts: &mut SnapshotParts,
        discovery: &Discovery,
        tls_blocks: &HashMap<u32, Avma>,
    ) {
        let mut waiting: HashMap<u32, Vec<Avma>> = HashMap::new();
        for task in parts.claims.iter().map(|claims| &claims.task).filter(|task| is_queued(task)) {
            waiting.entry(task.owner.unwrap_or_default()).or_default().push(task.address);
        }
        if waiting.is_empty() {
            return;
        }
        let reflect = Reflect { program: self.model.program(), memory: &self.process };
        let mut places: HashMap<u32, Places> = HashMap::new();
        // An arena of units may each describe the static; one address, one description.
        let mut seen = HashSet::new();
        let contexts: Vec<_> =
            reflect.program.contexts().filter(|(_, offset)| seen.insert(*offset)).collect();
        for block in tls_blocks.values() {
            for (ty, offset) in &contexts {
                for found in thread_queues(&reflect, block.offset(*offset), *ty) {
                    let number = discovery.schedulers.iter().position(|s| s.address == found.scheduler);
                    if let Some(number) = number {
                        note(places.entry(number as u32).or_default(), &found.queue);
                    }
                }
            }
        }
        for (number, tasks) in &waiting {
            let Some(scheduler) = discovery.schedulers.get(*number as usize) else { continue };
            let Some(layout) = &scheduler.layout else { continue };
            let places = places.entry(*number).or_default();
            let queues = layout.local_queues(&reflect, scheduler.address);
            for queue in queues.iter().chain(&layout.injection(&reflect, scheduler.address, tasks)) {
                note(places, queue);
            }
        }
        for task in parts.claims.iter_mut().map(|claims| &mut claims.task).filter(|task| is_queued(task)) {
            let places = task.owner.and_then(|owner| places.get(&owner));
            task.queue = places.and_then(|places| *places.get(&task.address)?);
        }
    }
}

/// Whether the task's state word says that some queue has it; that of an aborted one may say so.
fn is_queued(task: &Task) -> bool {
    task.id.runtime == RuntimeKind::Tokio
        && task.owner.is_some()
        && matches!(task.state, TaskState::Scheduled | TaskState::Cancelled)
}

fn note(places: &mut Places, queue: &TaskQueue) {
    let length = queue.tasks.len() as u32;
    for (position, task) in queue.tasks.iter().enumerate() {
        let place = Queue { kind: queue.kind, worker: queue.worker, position: position as u32, length };
        let known = places.entry(*task).or_insert(Some(place));
        // It moved between two reads.
        if *known != Some(place) {
            *known = None;
        }
    }
}
