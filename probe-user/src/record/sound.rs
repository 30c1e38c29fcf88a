//! Whether what was read can be given to a model. Checksums tell damage; they do not tell that a file was made in bad
//! faith, and views look frames up by index.

use super::payload::within;
use crate::decode::{Node, Task};
use crate::trace::TraceEvent;

/// More ns (52 days) or polls than one event tells; thousands of them can be added up.
const PLAUSIBLE: u64 = 1 << 52;

/// Names every kind of event, so that whoever adds one has to think of what it refers to.
pub(super) fn event(event: &TraceEvent, frames: usize) -> bool {
    event.t_ns() < 1 << 63
        && match event {
            TraceEvent::State { from, to, .. } => within(from, frames) && within(to, frames),
            TraceEvent::Poll { count, duration_ns, .. } => {
                *count < PLAUSIBLE && duration_ns.is_none_or(|ns| ns < PLAUSIBLE)
            }
            TraceEvent::Lost { count, .. } => *count < PLAUSIBLE,
            TraceEvent::Spawn { .. } | TraceEvent::Paused { .. } | TraceEvent::Resumed { .. } => true,
        }
}

pub(super) fn task(task: &Task, frames: usize) -> bool {
    task.tree.as_ref().is_none_or(|tree| node(tree, frames))
        && task.waits.iter().all(|wait| within(&[wait.leaf], frames))
        && task.holds.iter().all(|hold| within(&[hold.frame], frames))
}

/// As deep as the decoder lets them be.
fn node(at: &Node, frames: usize) -> bool {
    within(&[at.frame], frames) && at.awaiting.iter().chain(&at.held).all(|below| node(below, frames))
}
