//! What a program says of itself.

use serde::Deserialize;

/// One line of a program's stdout.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "truth", rename_all = "snake_case")]
pub enum Truth {
    Task(TrueTask),
    /// `counts`: what one task did between `go` and the end. A wrapper cannot count the changes inside it.
    Polls {
        id: String,
        name: String,
        polls: u64,
        changes: Option<u64>,
    },
    /// `counts`: all tasks.
    Totals {
        spawned: u64,
        completed: u64,
        polls: u64,
        changes: u64,
    },
    /// `many`: how many tasks stand at a place.
    Place {
        name: String,
        file: String,
        line: u32,
        tasks: u64,
    },
    /// The program waits for a line on stdin.
    Waiting,
    Ready,
}

#[derive(Clone, Debug, Deserialize)]
pub struct TrueTask {
    pub id: String,
    /// Which runtime of the process, numbered by the program.
    pub runtime: u32,
    pub name: String,
    pub waits_for: Option<String>,
    pub tree: TrueNode,
}

/// A future of the program's own that stands at an await.
#[derive(Clone, Debug, Deserialize)]
pub struct TrueNode {
    pub function: String,
    /// The name where the build keeps no linkage name that tells an impl's self type.
    pub or: Option<String>,
    /// As `file!()` says: relative to the package.
    pub file: String,
    pub line: u32,
    pub awaiting: Vec<TrueNode>,
}
