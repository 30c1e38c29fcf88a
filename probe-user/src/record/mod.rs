//! Append-only recordings: what a model was fed, in the order it came, to be fed to another one later.
//!
//! [`Writer`] takes the [`Update`](crate::model::Update)s that a view takes; [`Reader`] gives them back. So every view, and
//! every answer about a moment in between, is the model's own, as it was live. Events could not give that: they are what
//! the model said, not what it knew. docs/RECORDING.md has the format.

mod chunks;
mod format;
mod payload;
mod reader;
mod sound;
mod writer;

#[cfg(test)]
mod older_recordings;
#[cfg(test)]
mod tests;

pub use format::{Head, VERSION};
pub use reader::{Reader, Unreadable};
pub use writer::{Writer, Written};

use crate::model::Update;

/// The latest moment an update speaks of, CLOCK_MONOTONIC ns.
pub fn time_of(update: &Update) -> Option<u64> {
    match update {
        Update::Trace(events) => events.iter().map(crate::trace::TraceEvent::t_ns).max(),
        Update::Snapshot(snapshot) => snapshot.t_ns,
        Update::Samples(round) => Some(round.t_ns),
        Update::Tick(t_ns) | Update::End { t_ns, .. } => Some(*t_ns),
        Update::Note(_) | Update::Cost(_) => None,
    }
}
