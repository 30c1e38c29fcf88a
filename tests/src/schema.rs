//! The JSON that `dump --json` and `attach --json` promise (schema 1). Reading it into these types is the check of the
//! schema: a field that is missing, null where it must not be, or of another type is an error. Fields may be added.

mod outline;

pub use outline::*;

use serde::Deserialize;

#[derive(Clone, Debug, Deserialize)]
pub struct Dump {
    pub schema: u32,
    pub pid: u32,
    pub exe: String,
    pub taken_at_ns: u64,
    pub debuginfo: DebugInfo,
    pub runtimes: Vec<Runtime>,
    pub coverage: Coverage,
    pub tasks: Vec<Task>,
    pub findings: Option<Vec<Finding>>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Finding {
    pub lint: String,
    pub certainty: Certainty,
    pub tasks: Vec<String>,
    pub places: Vec<FoundPlace>,
    pub resources: Vec<String>,
    pub message: String,
    pub evidence: Vec<String>,
    pub remedy: String,
}

#[derive(Clone, Debug, Deserialize)]
pub struct FoundPlace {
    pub function: String,
    pub file: Option<String>,
    pub line: Option<u32>,
}

/// `diagnose --json`.
#[derive(Clone, Debug, Deserialize)]
pub struct Diagnosis {
    pub schema: u32,
    pub pid: u32,
    pub findings: Vec<Finding>,
    pub coverage: Coverage,
    pub look_again_in_ms: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DebugInfo {
    Full,
    Names,
    Symbols,
    None,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Runtime {
    pub kind: RuntimeKind,
    pub version: Option<String>,
    pub flavor: Option<String>,
    pub workers: Option<u32>,
    /// None where they cannot be found.
    pub tasks: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
pub enum RuntimeKind {
    #[serde(rename = "tokio")]
    Tokio,
    #[serde(rename = "async-task")]
    AsyncTask,
    #[serde(rename = "futures")]
    Futures,
    #[serde(rename = "block_on")]
    BlockOn,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Coverage {
    pub tasks_found: u64,
    pub tasks_decoded: u64,
    pub torn_retries: u64,
    pub issues: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Task {
    pub id: String,
    pub runtime: RuntimeKind,
    pub name: Option<String>,
    pub state: TaskState,
    pub stale: bool,
    /// Null where a recording's trace tells of the task and no snapshot.
    pub address: Option<String>,
    pub spawned_at: Option<Location>,
    /// Absent where it waits in none that is known.
    pub queue: Option<Queue>,
    pub location: Option<Location>,
    pub r#await: Option<Node>,
    /// None where it is not known.
    pub waiting_on: Option<Vec<Resource>>,
    pub holds: Option<Vec<Resource>>,
    /// Of channels; absent where there are none.
    #[serde(default)]
    pub ends: Vec<Resource>,
}

/// Where a scheduled task stands in line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Queue {
    pub kind: QueueKind,
    /// Absent where it belongs to no worker.
    pub worker: Option<u32>,
    pub position: u32,
    pub length: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum QueueKind {
    LifoSlot,
    Local,
    Injection,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    Idle,
    Scheduled,
    Running,
    Complete,
    Cancelled,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Location {
    pub file: String,
    pub line: u32,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Node {
    pub function: String,
    pub r#type: String,
    pub kind: NodeKind,
    pub state: NodeState,
    pub suspend_point: Option<u32>,
    pub file: Option<String>,
    pub line: Option<u32>,
    pub expanded_from: Option<Location>,
    pub size: u64,
    /// Of a collection of futures, or a set of tasks: how many there are.
    pub children: Option<u64>,
    #[serde(default)]
    pub awaiting: Vec<Node>,
    #[serde(default)]
    pub held: Vec<Node>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum NodeKind {
    #[serde(rename = "async fn")]
    AsyncFn,
    #[serde(rename = "async block")]
    AsyncBlock,
    #[serde(rename = "async closure")]
    AsyncClosure,
    #[serde(rename = "future")]
    Future,
    #[serde(rename = "combinator")]
    Combinator,
    #[serde(rename = "leaf")]
    Leaf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    Unresumed,
    Suspended,
    Running,
    Returned,
    Panicked,
    Unknown,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Resource {
    pub kind: String,
    pub address: Option<String>,
    pub detail: Option<String>,
    #[serde(default)]
    pub holders: Vec<String>,
    pub certainty: Option<Certainty>,
    pub deadline_in_ms: Option<i64>,
    pub fd: Option<i32>,
    pub task: Option<String>,
    pub acquired_at: Option<Location>,
    #[serde(default)]
    pub any: bool,
    pub role: Option<String>,
    pub local: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Certainty {
    Proven,
    Possible,
}

/// Some of a histogram: where a class begins, and how many are in it.
#[derive(Clone, Debug, Deserialize)]
pub struct Classes {
    pub count: u64,
    pub sum_ns: u64,
    pub max_ns: u64,
    pub classes: Vec<(u64, u64)>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Spread {
    pub count: u64,
    pub sum_ns: u64,
    pub p50_ns: Option<u64>,
    pub p95_ns: Option<u64>,
    pub p99_ns: Option<u64>,
    pub max_ns: Option<u64>,
}

/// One line of `attach --json`.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Line {
    Start {
        schema: u32,
        pid: u32,
        exe: String,
        mode: String,
    },
    Ready {},
    End {
        reason: String,
        totals: Totals,
        cost: Option<Cost>,
    },
    /// `existing` marks tasks that were there before the trace.
    Spawn {
        t_ns: u64,
        task: String,
        runtime: RuntimeKind,
        parent: Option<String>,
        parent_thread: Option<u32>,
        #[serde(default)]
        existing: bool,
    },
    Poll {
        t_ns: u64,
        task: String,
        count: u64,
        duration_ns: Option<u64>,
        off_cpu_ns: Option<u64>,
        blocked_ns: Option<u64>,
        /// Looks saw it run: `duration_ns` is an estimate.
        #[serde(default)]
        sampled: bool,
    },
    State {
        t_ns: u64,
        task: String,
        from: Place,
        to: Place,
    },
    /// Who spawned a task whose `spawn` came too early to tell.
    Parent {
        t_ns: u64,
        task: String,
        parent: Option<String>,
        parent_thread: Option<u32>,
    },
    /// By a task or by a thread.
    Wake {
        t_ns: u64,
        task: String,
        waker: Option<String>,
        waker_thread: Option<u32>,
    },
    /// So many polls began so long after their task was woken for them.
    Delay {
        t_ns: u64,
        task: String,
        count: u64,
        sum_ns: u64,
        max_ns: u64,
        idle_ns: Option<u64>,
        poll_max_ns: Option<u64>,
    },
    /// So many polls of tasks of this name, begun at this place, took so long.
    Histogram {
        t_ns: u64,
        name: String,
        at: Option<Location>,
        elsewhere: bool,
        polls: Classes,
        delays: Classes,
        idle_ns: u64,
    },
    Kind {
        name: String,
        polls: Spread,
        delays: Spread,
        idle_ns: u64,
    },
    /// `how`: `unseen`, where it is not known whether it completed.
    Complete {
        t_ns: u64,
        task: String,
        #[serde(default)]
        how: Option<String>,
    },
    /// `at`: where it stood when its last poll began.
    Cancel {
        t_ns: u64,
        task: String,
        at: Option<Place>,
    },
    Panic {
        t_ns: u64,
        task: String,
        at: Option<Place>,
    },
    /// A poll under way takes long.
    Blocked {
        t_ns: u64,
        task: String,
        thread: u32,
        for_ns: u64,
        on_cpu: bool,
        doing: String,
        off_cpu_ns: Option<u64>,
        blocked_ns: Option<u64>,
        system_call: Option<String>,
        stack: Vec<CodeFrame>,
        samples: Option<CpuSamples>,
    },
    Finding {
        t_ns: u64,
    },
    Lost {
        t_ns: u64,
        count: u64,
    },
    /// Whether the probes are `in` or `out` from now on.
    Budget {
        t_ns: u64,
        probes: String,
        sampling_hz: Option<u64>,
    },
    /// Some looks in a row.
    Sample {
        t_ns: u64,
        looks: u32,
        missed: u32,
        period_ns: u64,
        threads: u32,
    },
    /// What looks say of a task at one await, or at all that are not told apart (`elsewhere`).
    Time {
        t_ns: u64,
        task: String,
        runtime: RuntimeKind,
        name: String,
        at: Option<Place>,
        elsewhere: bool,
        busy: Length,
        wait: Length,
    },
}

/// A length of time by looks.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Length {
    pub ns: u64,
    pub low_ns: u64,
    pub high_ns: u64,
    pub hits: u64,
    pub looks: u64,
    pub missed: u64,
}

/// A function that has not returned.
#[derive(Clone, Debug, Deserialize)]
pub struct CodeFrame {
    pub function: Option<String>,
    pub file: Option<String>,
    pub line: Option<u32>,
    pub inlined: bool,
    pub own_code: bool,
}

/// How often it was looked at what a poll computes.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct CpuSamples {
    pub count: u64,
    pub here: u64,
    pub unknown: u64,
}

/// The summary of a trace.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Totals {
    pub spawned: u64,
    pub completed: u64,
    pub polls: u64,
    /// Null where they are not watched.
    pub wakes: Option<u64>,
    pub lost: u64,
}

/// What it cost.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Cost {
    pub hits: u64,
    /// Null where the price of a hit could not be tried.
    pub probes_ns: Option<u64>,
    pub target_ns: Option<u64>,
    pub probes_out_ns: u64,
}

/// Where a task stands: its innermost await.
#[derive(Clone, Debug, Deserialize)]
pub struct Place {
    pub function: Option<String>,
    pub suspend_point: Option<u32>,
    pub file: Option<String>,
    pub line: Option<u32>,
}

impl Line {
    /// The task it is about.
    pub fn task(&self) -> Option<&str> {
        match self {
            Line::Spawn { task, .. }
            | Line::Poll { task, .. }
            | Line::State { task, .. }
            | Line::Wake { task, .. }
            | Line::Delay { task, .. }
            | Line::Parent { task, .. }
            | Line::Complete { task, .. }
            | Line::Cancel { task, .. }
            | Line::Time { task, .. }
            | Line::Panic { task, .. }
            | Line::Blocked { task, .. } => Some(task),
            _ => None,
        }
    }
}
