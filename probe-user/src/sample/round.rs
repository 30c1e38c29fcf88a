//! What some looks in a row saw.

use crate::trace::Path;
use serde::{Deserialize, Serialize};

/// One look reads what every thread polls, at about one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Round {
    /// When it ended, CLOCK_MONOTONIC ns.
    pub t_ns: u64,
    /// From one look to the next, ns.
    pub period_ns: u64,
    pub looks: u32,
    /// Periods without a look: we were late, or the target could not be read.
    pub missed: u32,
    /// Threads looked at.
    pub threads: u32,
    /// By task, thread and path, ascending.
    pub runs: Vec<Run>,
}

/// A thread polled a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// tokio's id.
    pub task: u64,
    pub tid: u32,
    /// The await that the poll began at, if it could be read.
    pub path: Option<Path>,
    /// In how many of the looks.
    pub hits: u32,
}
