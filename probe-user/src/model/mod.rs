//! Tasks, transitions, wakes, aggregates. Pure, deterministic: no clock, no I/O.
//!
//! [`Model`] eats [`Update`]s (trace events and snapshots, in the order they came) and keeps one table of
//! tasks. What changed comes out as [`Event`]s, the same whether the trace or two snapshots showed it.

mod backlogs;
mod cancels;
mod event;
mod held_up;
mod joins;
mod limits;
mod locks;
mod long_poll;
mod path;
mod profile;
#[cfg(test)]
pub mod sample;
mod sampled;
mod snapshot;
mod summary;
mod task;
mod tasks;
mod timed;
mod update;
mod wakes;

#[cfg(test)]
mod tests;

pub use backlogs::Backlog;
pub use cancels::Cancels;
pub use event::{Ending, Event};
pub use held_up::{LongPolls, PollSpan};
pub use joins::Sequence;
pub use limits::Limits;
pub use locks::LockWaits;
#[cfg(test)]
pub use long_poll::{sample_cpu, sample_long_poll};
pub use path::{AwaitPath, primary_chain};
pub use profile::{AwaitPoint, PointTimes, Profile, Series};
pub use sampled::{Looks, Sampled, Spot, Time};
pub use summary::{PlaceTotals, Totals};
pub use task::{Known, Since, Stop, TaskEntry, TaskPhase};
pub use tasks::Model;
pub use timed::{KindTimes, PlaceTimes};
pub use update::{Aside, Cost, End, Mode, Update};
pub use wakes::{Delays, Wakes};
