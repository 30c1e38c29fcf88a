//! How much of what is suspended a dump tells.

use super::Real;
use crate::schema::{Dump, Node, NodeKind, NodeState, Task, TaskState};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The least share of suspended frames that must be told.
pub const MINIMUM: f64 = 0.95;

/// Frames are suspended coroutines and hand-written futures, awaited or kept, of tasks that do not run. A coroutine is told
/// when its state and the line of its await are; a hand-written future when what is in it, or what it waits for, is. A task
/// without a tree is one frame that is not told, and so is one that was not found.
#[derive(Clone, Debug, Default)]
pub struct Decoded {
    pub tasks: usize,
    /// Those with a tree that is told to its end.
    pub whole: usize,
    /// Those that run or are about to.
    pub moving: usize,
    pub frames: usize,
    pub told: usize,
    /// What tasks wait for, and how many.
    pub waits: BTreeMap<String, usize>,
    /// What ends a tree and is not told, by its type.
    pub unknown: BTreeMap<String, usize>,
}

impl Decoded {
    pub fn of(dump: &Dump) -> Decoded {
        let mut decoded = Decoded { tasks: dump.tasks.len(), ..Decoded::default() };
        for task in &dump.tasks {
            decoded.add(task);
        }
        decoded
    }

    /// From 0 to 1. A program without frames is not told at all.
    pub fn share(&self) -> f64 {
        if self.frames == 0 { 0.0 } else { self.told as f64 / self.frames as f64 }
    }

    fn add(&mut self, task: &Task) {
        match task.state {
            TaskState::Running | TaskState::Scheduled => self.moving += 1,
            TaskState::Complete | TaskState::Cancelled => return,
            TaskState::Idle => {}
        }
        let before = self.frames - self.told;
        match &task.r#await {
            Some(root) => self.tree(root),
            None => {
                self.frames += 1;
                self.not_told(task.name.as_deref().unwrap_or("?"), 1);
            }
        }
        let waits = task.waiting_on.as_deref().unwrap_or_default();
        let nameless = waits.iter().filter(|wait| wait.kind == "unknown").count();
        for wait in waits {
            *self.waits.entry(wait.kind.clone()).or_default() += 1;
        }
        if let Some(root) = task.r#await.as_ref().filter(|_| nameless > 0) {
            self.told -= nameless.min(self.told);
            self.not_told(&innermost(root).r#type, nameless);
        }
        self.whole += usize::from(self.frames - self.told == before);
    }

    /// Tasks that must be there and were not found.
    pub(super) fn miss(&mut self, tasks: usize) {
        if tasks > 0 {
            self.frames += tasks;
            self.not_told("tasks that were not found", tasks);
        }
    }

    fn tree(&mut self, node: &Node) {
        self.frames += 1;
        let coroutine =
            matches!(node.kind, NodeKind::AsyncFn | NodeKind::AsyncBlock | NodeKind::AsyncClosure);
        let told = match node.state {
            NodeState::Unknown => false,
            NodeState::Suspended if coroutine => node.line.is_some() && node.suspend_point.is_some(),
            _ => true,
        };
        match told {
            true => self.told += 1,
            false => self.not_told(&node.r#type, 1),
        }
        node.awaiting.iter().chain(&node.held).for_each(|child| self.tree(child));
    }

    fn not_told(&mut self, name: &str, count: usize) {
        *self.unknown.entry(name.to_owned()).or_default() += count;
    }
}

/// The end of the first branch.
fn innermost(node: &Node) -> &Node {
    node.awaiting.first().map_or(node, innermost)
}

/// A table in Markdown, one row per program.
pub fn table(rows: &[(&Real, Decoded)]) -> String {
    let mut out = String::from(
        "| program | stack | tasks | whole | suspended frames | told | waits | not told |\n|---|---|---|---|---|---|---|---|\n",
    );
    for (real, decoded) in rows {
        let Decoded { tasks, whole, frames, .. } = decoded;
        let (name, version, stack) = (real.name, real.version, real.stack);
        let share = decoded.share() * 100.0;
        let (waits, unknown) = (list(&decoded.waits), list(&decoded.unknown));
        let _ = writeln!(
            out,
            "| {name} {version} | {stack} | {tasks} | {whole} | {frames} | {share:.1} % | {waits} | {unknown} |"
        );
    }
    out
}

/// `3 io, 1 timer`; types without their parameters.
fn list(counts: &BTreeMap<String, usize>) -> String {
    let head = |name: &str| name.split('<').next().unwrap_or(name).to_owned();
    let each: Vec<_> = counts.iter().map(|(name, count)| format!("{count} {}", head(name))).collect();
    if each.is_empty() { "nothing".into() } else { each.join(", ") }
}
