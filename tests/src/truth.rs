//! What a program says of itself.

use crate::schema::{Certainty, QueueKind, RuntimeKind, TaskState};
use serde::Deserialize;
use std::collections::BTreeMap;

/// One line of a program's stdout.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "truth", rename_all = "snake_case")]
pub enum Truth {
    Task(TrueTask),
    Stuck(Stuck),
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
    /// `causes`: who did what to one task. Doers are `task ID` or `thread TID`.
    Caused {
        id: String,
        parent: String,
        polls: u64,
        /// Uses of its waker, by who used it.
        woken: BTreeMap<String, u64>,
        /// Line of the await at which it was aborted.
        aborted_at: Option<u32>,
        panics: bool,
    },
    /// `timed`: of each poll of a kind of task what it took at least and at most, ns, and of each wait between a wake and a poll.
    Timed {
        name: String,
        least: Vec<u64>,
        most: Vec<u64>,
        least_delay: Vec<u64>,
        most_delay: Vec<u64>,
        /// How long its task was idle before those, at least and at most.
        idle: (u64, u64),
    },
    /// `blockers`: where a task held up its thread, and how long. Line 0: it did not.
    HeldUp {
        id: String,
        case: String,
        function: String,
        line: u32,
        wall_ns: u64,
        /// Of it, on a CPU.
        cpu_ns: u64,
    },
    /// `computes`: in which function a task computed for long, between which lines, and how the name begins of what it called there.
    Computes {
        id: String,
        case: String,
        function: String,
        first: u32,
        last: u32,
        calls: String,
    },
    /// `faults`: what is to be found.
    Fault {
        lint: String,
        certainty: Certainty,
        tasks: Vec<String>,
        lines: Vec<u32>,
        words: Vec<String>,
    },
    /// `faults`: what may be found as well, as possible.
    MayBeTold {
        lint: String,
    },
    /// `many`: how many tasks stand at a place.
    Place {
        name: String,
        file: String,
        line: u32,
        tasks: u64,
    },
    /// `roots`: a closure on the blocking pool.
    Blocking {
        id: String,
        name: String,
        state: TaskState,
    },
    /// `queues`: where a task waits to be polled. Tasks of one `thread` of one runtime are in the queues of one worker.
    Queued {
        id: String,
        runtime: u32,
        queue: QueueKind,
        thread: u32,
        position: u32,
        length: u32,
    },
    /// `spawned`: where a task was spawned.
    Spawned {
        id: String,
        line: u32,
    },
    /// `outline_calls`: who calls or spawns whom, and where.
    Edge {
        kind: String,
        from: String,
        to: String,
        line: u32,
    },
    /// `outline_calls`: an async fn from which a call is reached that blocks, and where that is.
    Blocks {
        what: String,
        from: String,
        line: u32,
    },
    /// `outline_states`: an async fn or block.
    Machine(TrueMachine),
    /// `outline_states`: what one spawned task allocates.
    TaskSize {
        name: String,
        size: u64,
        align: u64,
        /// Bytes of the future.
        future: u64,
        /// The same where it is an allocation of its own.
        boxed: Option<u64>,
    },
    /// The program waits for a line on stdin.
    Waiting,
    Ready,
}

#[derive(Clone, Debug, Deserialize)]
pub struct TrueTask {
    /// Empty in a runtime that prints no ids.
    pub id: String,
    pub kind: RuntimeKind,
    /// Which runtime of the process, numbered by the program.
    pub runtime: u32,
    pub name: String,
    pub waits_for: Option<String>,
    /// No task: given to `block_on`, and its id is the thread's.
    #[serde(default)]
    pub root: bool,
    /// Path of the innermost future's type, without its parameters.
    pub leaf: Option<String>,
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

/// A task that stands at its last await.
#[derive(Clone, Debug, Deserialize)]
pub struct Stuck {
    pub id: String,
    pub case: String,
    /// As `file!()` says: relative to the package.
    pub file: String,
    pub line: u32,
    /// Waits beyond those listed are no mistake.
    pub more: bool,
    pub state: TaskState,
    pub waits: Vec<TrueWait>,
    pub holds: Vec<TrueHold>,
}

/// How far the decoder may go in saying who holds what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Claim {
    /// It must say so, and call it proven.
    Proven,
    /// It must say so; builds differ in whether that can be proven.
    Told,
    /// It may say so, in any way; it may as well not see it.
    Any,
    /// It may say so, but only call it possible.
    Possible,
}

#[derive(Clone, Debug, Deserialize)]
pub struct TrueWait {
    /// A word of the JSON schema, or several with `|` between them.
    pub kind: String,
    pub address: Option<String>,
    /// A name for what has no address that could be printed.
    pub channel: Option<String>,
    pub fd: Option<i32>,
    pub task: Option<String>,
    /// CLOCK_MONOTONIC.
    pub deadline_ns: Option<u64>,
    pub holders: Vec<String>,
    pub certainty: Option<Claim>,
    pub acquired_line: Option<u32>,
    /// What `detail` must contain.
    pub words: Vec<String>,
    /// Another one may let it go on as well.
    pub any: bool,
}

#[derive(Clone, Debug, Deserialize)]
pub struct TrueHold {
    pub kind: String,
    pub role: String,
    pub address: Option<String>,
    pub channel: Option<String>,
    pub certainty: Claim,
    pub acquired_line: Option<u32>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct TrueMachine {
    pub function: String,
    pub file: String,
    /// Where it is declared.
    pub line: u32,
    pub size: u64,
    pub align: u64,
    /// In the order of the source.
    pub awaits: Vec<TrueAwait>,
    /// Where a poll began and where it ended, lines of awaits or `start` and `returned`: all that can be.
    pub ways: Vec<(String, String)>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct TrueAwait {
    pub line: u32,
    pub awaiting: String,
    /// Bytes of what is awaited.
    pub size: u64,
    /// Locals that are needed after it, and their bytes.
    pub kept: Vec<(String, u64)>,
}
