//! What one task waited for, and what that waited for in turn, and for how long.

use super::{Case, FoundPlace};
use crate::decode::{Certainty, FrameId, ResourceKind, Task, TaskId, TaskState, Wait};
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Tasks in one chain.
const DEEPEST: usize = 32;
/// Chains that are told apart.
const CHAINS: usize = 1000;

/// A task of the chain: where it is, and what it waits for there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Step {
    pub task: TaskId,
    pub name: Arc<str>,
    pub place: FoundPlace,
    pub doing: Doing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Doing {
    Waits(ResourceKind),
    /// Idle, for what is not known.
    Idle,
    Runs,
    /// Woken, and not polled yet.
    Scheduled,
    Ended,
    /// It is in the chain already.
    Again,
}

/// Chains of one task, each with the time that it lasted.
#[derive(Clone, Debug)]
pub struct CriticalPath {
    pub task: TaskId,
    chains: HashMap<Vec<Step>, u64>,
    last: Option<(u64, Vec<Step>)>,
    /// In chains beyond those that are told apart, ns.
    pub elsewhere_ns: u64,
}

impl CriticalPath {
    pub fn new(task: TaskId) -> CriticalPath {
        CriticalPath { task, chains: HashMap::new(), last: None, elsewhere_ns: 0 }
    }

    /// Looks once more: what was so at the last look is taken to have lasted until now.
    pub fn look(&mut self, case: &Case<'_>) {
        let Some(now_ns) = case.snapshot.t_ns else { return };
        if let Some((then_ns, chain)) = self.last.take() {
            let passed = now_ns.saturating_sub(then_ns);
            if self.chains.len() < CHAINS || self.chains.contains_key(&chain) {
                let lasted = self.chains.entry(chain).or_default();
                *lasted = lasted.saturating_add(passed);
            } else {
                self.elsewhere_ns = self.elsewhere_ns.saturating_add(passed);
            }
        }
        let chain = chain(case, self.task);
        self.last = (!chain.is_empty()).then_some((now_ns, chain));
    }

    /// The longest first, ns; 0 of one that was seen once. None: the task was never there.
    pub fn chains(&self) -> Vec<(&[Step], u64)> {
        let mut chains: Vec<_> = self.chains.iter().map(|(chain, ns)| (chain.as_slice(), *ns)).collect();
        if chains.is_empty() {
            chains.extend(self.last.iter().map(|(_, chain)| (chain.as_slice(), 0)));
        }
        chains
            .sort_by(|a, b| Reverse(a.1).cmp(&Reverse(b.1)).then_with(|| place_of(a.0).cmp(&place_of(b.0))));
        chains
    }
}

fn place_of(chain: &[Step]) -> Vec<(&str, u64)> {
    chain.iter().map(|step| (&*step.name, step.task.id)).collect()
}

fn chain(case: &Case<'_>, from: TaskId) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut known = HashSet::new();
    let mut next = case.task(from);
    while let Some(task) = next {
        let step = |doing| Step { task: task.id, name: task.name.clone(), place: case.place(task), doing };
        if !known.insert(task.id) {
            steps.push(step(Doing::Again));
            break;
        }
        let place = task.place(case.frames());
        let wait = awaited(task, place);
        steps.push(step(match (task.state, wait) {
            (TaskState::Running, _) => Doing::Runs,
            (TaskState::Scheduled, _) => Doing::Scheduled,
            (TaskState::Complete | TaskState::Cancelled, _) => Doing::Ended,
            (TaskState::Idle, Some(wait)) => Doing::Waits(wait.kind),
            (TaskState::Idle, None) => Doing::Idle,
        }));
        if steps.len() >= DEEPEST || task.state != TaskState::Idle {
            break;
        }
        let next_id = wait.filter(|wait| is_reason(task, place, wait));
        let next_id = next_id.and_then(|wait| wait.task.or_else(|| wait.holders.first().copied()));
        next = next_id.and_then(|id| case.task(id));
    }
    steps
}

/// What a task waits for where it stands. Of several waits there the one that it cannot do without, or whose holder is known.
pub(super) fn awaited(task: &Task, place: Option<FrameId>) -> Option<&Wait> {
    let open = |wait: &Wait| if wait.any { !is_proven(wait) } else { wait.holders.is_empty() };
    task.waits_at(place).min_by_key(|wait| (wait.any, open(wait), wait.kind == ResourceKind::Timer))
}

fn is_proven(wait: &Wait) -> bool {
    !wait.holders.is_empty() && wait.certainty == Some(Certainty::Proven)
}

/// Whether its end lies with the holder: one that is only possible is none where something else may let the task go on.
fn is_reason(task: &Task, place: Option<FrameId>, wait: &Wait) -> bool {
    let others = || task.waits_at(place).filter(|other| other.kind != ResourceKind::Timer).count() > 1;
    !wait.any || is_proven(wait) || !others()
}

#[cfg(test)]
#[path = "critical_path_tests.rs"]
mod tests;
