//! `dump --json`, schema 1.
//!
//! Written task by task. All that a task's await tree says depends on its [shape](super::shape) alone, so each
//! distinct tree is put into JSON once, and 300,000 tasks cost little more than copying text.

use super::shape::{Shape, shape_into};
use super::{findings, resources};
use crate::analysis::Finding;
use crate::decode::{
    DebugInfoLevel, Frame, FrameId, FrameKind, FrameState, Node, Queue, QueueKind, RuntimeInfo, RuntimeKind,
    Snapshot, SourceLine, Task, TaskState,
};
use crate::target::Avma;
use foldhash::{HashMap, HashMapExt as _};
use serde::{Serialize, Serializer};
use std::fmt::Display;
use std::io::{self, Write};
use std::sync::Arc;

pub const SCHEMA: u32 = 1;

#[derive(Serialize)]
struct Head<'a> {
    schema: u32,
    pid: u32,
    exe: &'a str,
    taken_at_ns: u64,
    debuginfo: &'static str,
    runtimes: Vec<Runtime<'a>>,
    coverage: Coverage<'a>,
}

#[derive(Serialize)]
struct Runtime<'a> {
    kind: &'static str,
    version: Option<&'a str>,
    flavor: Option<&'a str>,
    workers: Option<u32>,
    tasks: Option<u64>,
    address: String,
}

#[derive(Serialize)]
struct Coverage<'a> {
    tasks_found: u64,
    tasks_decoded: u64,
    torn_retries: u64,
    issues: &'a [String],
}

#[derive(Serialize)]
struct TaskHead<'a> {
    id: Text<u64>,
    runtime: &'static str,
    name: &'a str,
    state: &'static str,
    stale: bool,
    /// Absent where a recording's trace tells of it and no snapshot.
    address: Option<Text<Avma>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    spawned_at: Option<Line<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<QueueJson>,
}

#[derive(Serialize)]
struct QueueJson {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    worker: Option<u32>,
    position: u32,
    length: u32,
}

impl From<Queue> for QueueJson {
    fn from(queue: Queue) -> QueueJson {
        let kind = match queue.kind {
            QueueKind::LifoSlot => "lifo-slot",
            QueueKind::Local => "local",
            QueueKind::Injection => "injection",
        };
        QueueJson { kind, worker: queue.worker, position: queue.position, length: queue.length }
    }
}

#[derive(Serialize)]
pub(super) struct Line<'a> {
    pub file: &'a str,
    pub line: u32,
}

/// As text, written without a String of its own.
pub(super) struct Text<T>(pub T);

impl<T: Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'a> From<&'a SourceLine> for Line<'a> {
    fn from(line: &'a SourceLine) -> Line<'a> {
        Line { file: &line.file, line: line.line }
    }
}

/// A NODE without its children.
#[derive(Serialize)]
struct FrameJson<'a> {
    function: &'a str,
    #[serde(rename = "type")]
    type_name: &'a str,
    kind: &'static str,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    suspend_point: Option<u32>,
    #[serde(flatten)]
    line: Option<Line<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expanded_from: Option<Line<'a>>,
    size: u64,
}

/// Bytes of rendered trees kept for reuse.
const TREES: usize = 64 << 20;

struct Trees {
    frames: Vec<Arc<Frame>>,
    nodes: Vec<Option<Box<str>>>,
    rendered: HashMap<Shape, Rendered>,
    bytes: usize,
    shape: Vec<u32>,
    text: Vec<u8>,
}

/// `location` and `await` of a task: what a tree's shape decides of its text.
type Rendered = Box<str>;

/// Writes `tasks` of `snapshot` (all, or those a filter chose) as one object.
pub fn write<'a>(
    out: &mut impl Write,
    snapshot: &Snapshot,
    tasks: impl Iterator<Item = &'a Task>,
    found: &[&Finding],
) -> io::Result<()> {
    let head = Head {
        schema: SCHEMA,
        pid: snapshot.pid,
        exe: &snapshot.exe,
        taken_at_ns: snapshot.taken_at_ns,
        debuginfo: debuginfo_word(snapshot.debuginfo),
        runtimes: snapshot.runtimes.iter().map(runtime).collect(),
        coverage: Coverage {
            tasks_found: snapshot.coverage.tasks_found,
            tasks_decoded: snapshot.coverage.tasks_decoded,
            torn_retries: snapshot.coverage.torn_retries,
            issues: &snapshot.coverage.issues,
        },
    };
    out.write_all(open(&serde_json::to_string(&head)?).as_bytes())?;
    out.write_all(b",\"tasks\":[")?;
    let mut trees = Trees::new(snapshot);
    for (i, task) in tasks.enumerate() {
        out.write_all(if i == 0 { b"\n" } else { b",\n" })?;
        trees.task(out, task, snapshot)?;
    }
    out.write_all(b"\n],\"findings\":")?;
    out.write_all(findings::array(found)?.as_bytes())?;
    out.write_all(b"}\n")
}

/// An object's text without its closing brace, for more fields to follow.
pub(super) fn open(object: &str) -> &str {
    object.strip_suffix('}').unwrap_or(object)
}

impl Trees {
    fn new(snapshot: &Snapshot) -> Trees {
        // A copy of the table: 300,000 tasks need not take its lock for every node.
        let frames: Vec<_> =
            (0..snapshot.frames.len()).map(|id| snapshot.frames.get(FrameId(id as u32))).collect();
        let nodes = vec![None; frames.len()];
        Trees { frames, nodes, rendered: HashMap::new(), bytes: 0, shape: Vec::new(), text: Vec::new() }
    }

    fn task(&mut self, out: &mut impl Write, task: &Task, snapshot: &Snapshot) -> io::Result<()> {
        let head = TaskHead {
            id: Text(task.id.id),
            runtime: runtime_word(task.id.runtime),
            name: &task.name,
            state: state_word(task.state),
            stale: task.stale,
            address: (!task.address.is_null()).then_some(Text(task.address)),
            spawned_at: task.spawned_at.as_ref().map(Line::from),
            queue: task.queue.map(QueueJson::from),
        };
        self.text.clear();
        serde_json::to_writer(&mut self.text, &head)?;
        self.text.pop();
        out.write_all(&self.text)?;
        let Some(tree) = &task.tree else {
            return out.write_all(b",\"location\":null,\"await\":null,\"waiting_on\":null,\"holds\":null}");
        };
        self.location_and_await(out, tree, task, snapshot)?;
        self.text.clear();
        resources::write(&mut self.text, task, snapshot)?;
        out.write_all(&self.text)
    }

    fn location_and_await(
        &mut self,
        out: &mut impl Write,
        tree: &Node,
        task: &Task,
        snapshot: &Snapshot,
    ) -> io::Result<()> {
        shape_into(tree, &mut self.shape);
        if let Some(known) = self.rendered.get(self.shape.as_slice()) {
            return out.write_all(known.as_bytes());
        }
        let fresh = self.render(tree, task, snapshot)?;
        out.write_all(fresh.as_bytes())?;
        self.bytes += fresh.len();
        if self.bytes <= TREES {
            self.rendered.insert(self.shape.as_slice().into(), fresh);
        }
        Ok(())
    }

    fn render(&mut self, tree: &Node, task: &Task, snapshot: &Snapshot) -> io::Result<Rendered> {
        let location = task.location(&snapshot.frames);
        let mut text =
            format!(",\"location\":{}", serde_json::to_string(&location.as_ref().map(Line::from))?);
        text += ",\"await\":";
        self.node(tree, &mut text)?;
        Ok(text.into())
    }

    fn node(&mut self, node: &Node, text: &mut String) -> io::Result<()> {
        let at = node.frame.0 as usize;
        let known = match &mut self.nodes[at] {
            Some(known) => known,
            unknown => {
                let json = serde_json::to_string(&FrameJson::from(&*self.frames[at]))?;
                unknown.insert(open(&json).into())
            }
        };
        text.push_str(known);
        if self.frames[at].kind == FrameKind::Collection || node.more > 0 {
            let children = node.awaiting.len() as u64 + u64::from(node.more);
            text.push_str(&format!(",\"children\":{children}"));
        }
        self.children("awaiting", &node.awaiting, text)?;
        if !node.held.is_empty() {
            self.children("held", &node.held, text)?;
        }
        text.push('}');
        Ok(())
    }

    fn children(&mut self, name: &str, children: &[Node], text: &mut String) -> io::Result<()> {
        text.push_str(",\"");
        text.push_str(name);
        text.push_str("\":[");
        for (i, child) in children.iter().enumerate() {
            if i > 0 {
                text.push(',');
            }
            self.node(child, text)?;
        }
        text.push(']');
        Ok(())
    }
}

impl<'a> From<&'a Frame> for FrameJson<'a> {
    fn from(frame: &'a Frame) -> FrameJson<'a> {
        FrameJson {
            function: &frame.function,
            type_name: &frame.type_name,
            kind: kind_word(frame.kind),
            state: frame_state_word(frame.state),
            suspend_point: frame.suspend_point,
            line: frame.line.as_ref().map(Line::from),
            expanded_from: frame.expanded_from.as_ref().map(Line::from),
            size: frame.size,
        }
    }
}

fn runtime(info: &RuntimeInfo) -> Runtime<'_> {
    Runtime {
        kind: runtime_word(info.kind),
        version: info.version.as_deref(),
        flavor: info.flavor.as_deref(),
        workers: info.workers,
        tasks: info.tells_tasks().then_some(info.tasks),
        address: info.address.to_string(),
    }
}

pub fn runtime_word(kind: RuntimeKind) -> &'static str {
    match kind {
        RuntimeKind::Tokio => "tokio",
        RuntimeKind::AsyncTask => "async-task",
        RuntimeKind::Futures => "futures",
        RuntimeKind::BlockOn => "block_on",
    }
}

pub fn state_word(state: TaskState) -> &'static str {
    match state {
        TaskState::Idle => "idle",
        TaskState::Scheduled => "scheduled",
        TaskState::Running => "running",
        TaskState::Complete => "complete",
        TaskState::Cancelled => "cancelled",
    }
}

pub fn debuginfo_word(level: DebugInfoLevel) -> &'static str {
    match level {
        DebugInfoLevel::Full => "full",
        // Names are what can be read; why it is no more is among the issues.
        DebugInfoLevel::Names | DebugInfoLevel::UnknownLayout => "names",
        DebugInfoLevel::Symbols => "symbols",
        DebugInfoLevel::None => "none",
    }
}

pub fn kind_word(kind: FrameKind) -> &'static str {
    match kind {
        FrameKind::AsyncFn => "async fn",
        FrameKind::AsyncBlock => "async block",
        FrameKind::AsyncClosure => "async closure",
        FrameKind::Future => "future",
        FrameKind::Combinator | FrameKind::Collection => "combinator",
        FrameKind::Leaf => "leaf",
    }
}

pub fn frame_state_word(state: FrameState) -> &'static str {
    match state {
        FrameState::Unresumed => "unresumed",
        FrameState::Suspended => "suspended",
        FrameState::Running => "running",
        FrameState::Returned => "returned",
        FrameState::Panicked => "panicked",
        FrameState::Unknown => "unknown",
    }
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
