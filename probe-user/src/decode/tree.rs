//! What a snapshot says: tasks, and for each the tree of futures it awaits.
//!
//! Made for size: 300,000 tasks must fit, so all that is the same for every task in the same place
//! (names, lines, types) is a [`Frame`], interned once; a [`Node`] is a frame at an address.

use super::{Hold, LargePart, QueueKind, ThreadPoll, Wait};
use crate::target::Avma;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::{Arc, RwLock};

/// A line of source, `file` as the compiler wrote it (absolute, or relative to the crate's directory).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SourceLine {
    pub file: Arc<str>,
    pub line: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum FrameKind {
    AsyncFn,
    AsyncBlock,
    AsyncClosure,
    /// A hand-written future that is not a leaf.
    Future,
    /// `select!`, `join!`, …: one future that polls several.
    Combinator,
    /// The same of as many as there happen to be: `JoinAll`, `FuturesUnordered`, `StreamMap`.
    Collection,
    /// Waits for something that is not a future: a timer, a lock, a socket.
    Leaf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum FrameState {
    Unresumed,
    Suspended,
    Running,
    Returned,
    Panicked,
    Unknown,
}

/// A place a future can be in: all that does not depend on which task it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Frame {
    /// `shop::api::fetch_user<u32>`; blocks keep `{async_block#0}`.
    pub function: Arc<str>,
    /// Raw DWARF name of the type.
    pub type_name: Arc<str>,
    pub kind: FrameKind,
    pub state: FrameState,
    /// Ordinal of the await in this coroutine, from 0; only when suspended.
    pub suspend_point: Option<u32>,
    /// The user's place of that await. For an await inside a macro, the invocation.
    pub line: Option<SourceLine>,
    /// The macro's own place, where the await stands in one.
    pub expanded_from: Option<SourceLine>,
    /// Bytes of the future.
    pub size: u64,
    /// In the user's own code: not under /rustc/, a cargo registry, a git checkout or vendor/.
    pub own_code: bool,
    /// Of a large coroutine: what makes it so, in whichever state, outermost first.
    #[serde(default)]
    pub large_parts: Arc<[LargePart]>,
}

/// Index into a [`Frames`] table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FrameId(pub u32);

/// Append-only table of frames; shared by all snapshots and the trace of one target.
#[derive(Debug, Default)]
pub struct Frames {
    inner: RwLock<FramesInner>,
}

#[derive(Debug, Default)]
struct FramesInner {
    list: Vec<Arc<Frame>>,
    ids: HashMap<Arc<Frame>, FrameId>,
}

impl Frames {
    pub fn intern(&self, frame: Frame) -> FrameId {
        let mut inner = self.inner.write().expect("no panic while the table is held");
        if let Some(id) = inner.ids.get(&frame) {
            return *id;
        }
        let id = FrameId(inner.list.len() as u32);
        let frame = Arc::new(frame);
        inner.list.push(frame.clone());
        inner.ids.insert(frame, id);
        id
    }

    /// The frame of an id that this table handed out.
    pub fn get(&self, id: FrameId) -> Arc<Frame> {
        self.inner.read().expect("no panic while the table is held").list[id.0 as usize].clone()
    }

    pub fn len(&self) -> usize {
        self.inner.read().expect("no panic while the table is held").list.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A future at an address, and what it awaits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    pub frame: FrameId,
    /// Of a collection: futures it has beside those that are shown. Of a set of tasks: how many there are.
    pub more: u32,
    pub address: Avma,
    pub awaiting: Box<[Node]>,
    /// Futures this one keeps but does not await now (Oxide RFD 609).
    pub held: Box<[Node]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RuntimeKind {
    Tokio,
    AsyncTask,
    Futures,
    BlockOn,
}

/// What the runtime's own state word says of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TaskState {
    Idle,
    Scheduled,
    Running,
    Complete,
    Cancelled,
}

/// A task's identity in its process. Never the address alone: addresses are reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TaskId {
    pub runtime: RuntimeKind,
    /// As the runtime itself prints it.
    pub id: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Task {
    pub id: TaskId,
    /// Address of the task's header.
    pub address: Avma,
    pub state: TaskState,
    /// Read while it ran, or changed between two reads: the tree may be torn.
    pub stale: bool,
    /// The root future's name, or `?` + address of its poll function where nothing tells it.
    pub name: Arc<str>,
    /// Which of [`Snapshot::runtimes`].
    pub owner: Option<u32>,
    /// None where the build's debug info has no types.
    pub tree: Option<Node>,
    /// Where it was spawned; only a tokio with `tokio_unstable` knows.
    pub spawned_at: Option<SourceLine>,
    /// What each leaf of the tree waits for. Empty while the task runs: it has been woken, and what comes next is not known.
    pub waits: Box<[Wait]>,
    /// Guards, permits and channel ends that its futures keep.
    pub holds: Box<[Hold]>,
    /// In which it waits to be polled. None where it waits in none, or in one that is not known.
    #[serde(default)]
    pub queue: Option<Queue>,
    /// References to it that are neither its runtime's list of tasks nor its JoinHandle: wakers and `AbortHandle`s. None where
    /// the runtime does not count them, or the task is not at rest.
    #[serde(default)]
    pub wakers: Option<u32>,
}

/// A task's place in a queue of its scheduler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queue {
    pub kind: QueueKind,
    /// Whose: index of the worker, in its runtime. None of what belongs to no worker.
    pub worker: Option<u32>,
    /// Tasks before it.
    pub position: u32,
    /// Tasks in the queue.
    pub length: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuntimeInfo {
    pub kind: RuntimeKind,
    pub version: Option<String>,
    /// `multi_thread`, `current_thread`, `local_set`.
    pub flavor: Option<String>,
    pub workers: Option<u32>,
    /// Tasks found in this runtime.
    pub tasks: u64,
    /// Address of the scheduler's handle.
    pub address: Avma,
    /// It takes no more tasks: it is being shut down, or was. None where that is not known.
    #[serde(default)]
    pub closed: Option<bool>,
}

impl RuntimeInfo {
    /// False where its tasks cannot be found, so that [`RuntimeInfo::tasks`] says nothing.
    pub fn tells_tasks(&self) -> bool {
        self.tasks > 0
            || self.kind != RuntimeKind::Tokio
            || !self.version.as_deref().is_some_and(crate::runtime::is_too_old)
    }
}

/// How much of what there is was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    pub tasks_found: u64,
    pub tasks_decoded: u64,
    pub torn_retries: u64,
    /// What could not be seen, and why; for people.
    pub issues: Vec<String>,
}

/// What the target's debug information allows (FIELD-NOTES: less debug info leaves less).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DebugInfoLevel {
    Full,
    /// debug=1 or line tables: names, no types.
    Names,
    /// The symbol table only.
    Symbols,
    None,
    /// It has types, but the tasks of the program's runtime are laid out in no way that is known here.
    UnknownLayout,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Snapshot {
    pub pid: u32,
    pub exe: String,
    /// CLOCK_REALTIME, ns. Of a core file: when that was last written to.
    pub taken_at_ns: u64,
    /// CLOCK_MONOTONIC, ns. None of a core file, which does not keep it: how far deadlines are is not known then.
    pub t_ns: Option<u64>,
    pub debuginfo: DebugInfoLevel,
    pub runtimes: Vec<RuntimeInfo>,
    pub coverage: Coverage,
    /// A recording keeps them, and the frames, apart.
    #[serde(skip)]
    pub tasks: Vec<Task>,
    #[serde(skip)]
    pub frames: Arc<Frames>,
    /// What threads poll. None where this program's threads do not tell.
    #[serde(default)]
    pub polls: Option<Vec<ThreadPoll>>,
}

/// The innermost await of a chain in the user's own code; else the innermost with a line.
pub fn place_of(chain: &[FrameId], frames: &Frames) -> Option<FrameId> {
    let mut outside = None;
    for id in chain.iter().rev() {
        let frame = frames.get(*id);
        match &frame.line {
            Some(_) if frame.own_code => return Some(*id),
            Some(_) if outside.is_none() => outside = Some(*id),
            _ => {}
        }
    }
    outside
}

impl Task {
    /// The innermost place in the user's own code, along the first branch that has one.
    pub fn location(&self, frames: &Frames) -> Option<SourceLine> {
        fn innermost(node: &Node, frames: &Frames) -> Option<SourceLine> {
            let deeper = node.awaiting.iter().find_map(|n| innermost(n, frames));
            deeper.or_else(|| {
                let frame = frames.get(node.frame);
                if frame.own_code { frame.line.clone() } else { None }
            })
        }
        self.tree.as_ref().and_then(|tree| innermost(tree, frames))
    }

    /// The frame of the same; of a task in nobody's own code, the innermost await of its first branches.
    pub fn place(&self, frames: &Frames) -> Option<FrameId> {
        fn innermost(node: &Node, frames: &Frames) -> Option<FrameId> {
            let deeper = node.awaiting.iter().find_map(|child| innermost(child, frames));
            let is_own = |frame: &Frame| frame.own_code && frame.line.is_some();
            deeper.or_else(|| is_own(&frames.get(node.frame)).then_some(node.frame))
        }
        let tree = self.tree.as_ref()?;
        innermost(tree, frames).or_else(|| {
            let chain: Vec<FrameId> = std::iter::successors(Some(tree), |node| node.awaiting.first())
                .map(|node| node.frame)
                .collect();
            place_of(&chain, frames)
        })
    }

    /// What it keeps of the thing at this address.
    pub fn hold_of(&self, address: Avma) -> Option<&Hold> {
        self.holds.iter().find(|hold| hold.address == address)
    }

    /// What it waits for at one of its awaits: ends of other branches, of a `select!` around it perhaps, are not that.
    pub fn waits_at(&self, place: Option<FrameId>) -> impl Iterator<Item = &Wait> {
        // Recordings of older versions do not tell.
        let all = self.waits.iter().all(|wait| wait.at.is_none());
        self.waits.iter().filter(move |wait| all || wait.at == place)
    }

    /// Whether it was read the same before: same state, at the same place, waiting for the same of the same, and neither
    /// reading torn. It may have been polled in between.
    pub fn stands_as(&self, before: &Task) -> bool {
        let same = |(now, then): (&Wait, &Wait)| {
            let key = |wait: &Wait| {
                (wait.kind, wait.leaf, wait.address, wait.fd, wait.task, wait.any, wait.deadline_ns)
            };
            key(now) == key(then) && now.holders == then.holders
        };
        !(self.stale || before.stale)
            && (self.id, self.address, self.state) == (before.id, before.address, before.state)
            && self.waits.len() == before.waits.len()
            && self.waits.iter().zip(&before.waits).all(same)
            && self.tree == before.tree
    }
}
