//! Tasks of executors other than tokio's: what was found of them, and their decoding.
//!
//! These executors keep no list that leads to every task, so memory is searched; what each found word must agree with
//! is told where it is searched ([`super::async_tasks`], [`super::futures_tasks`]).

use super::async_tasks::AsyncTaskKinds;
use super::discover::Scope;
use super::futures_tasks::FuturesPools;
use super::relations::Claims;
use super::snapshot::SnapshotParts;
use super::walk::Walker;
use super::{RecipeId, Recipes, RuntimeInfo, RuntimeKind, Task, TaskId, TaskState};
use crate::runtime::{AsyncTaskWord, UnparkStatus, Vacant};
use crate::target::{Avma, Bias, CachedMemory, Memory};
use rayon::prelude::*;
use std::collections::HashMap;
use std::sync::Arc;

/// A task as it was found.
#[derive(Clone, Debug)]
pub struct ExecutorTask {
    pub id: TaskId,
    /// What its wakers point to.
    pub address: Avma,
    /// The root future's name, unless its tree tells a better one.
    pub name: Arc<str>,
    /// Which of [`FoundExecutors::owners`].
    pub owner: Option<u32>,
    /// The future, or a holder of it.
    pub future: Avma,
    /// None where no debug information with types describes it.
    pub root: Option<RecipeId>,
    /// A word that is this task's as long as it is there, and where.
    pub identity: (Avma, u64),
    pub status: Status,
}

/// Where the state of a task is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// async-task's state word.
    Word(Avma),
    /// A ThreadPool's `UnparkMutex`, and the handle that has it.
    Unpark { at: Avma, handle: Avma, vacant: Vacant },
    /// A LocalPool's `queued` flag; `next_all`, and the value it has while the task is polled.
    Queued { flag: Avma, next: Avma, polled: u64 },
}

/// Known kinds of executor in a program.
#[derive(Debug)]
pub struct Executors {
    pub async_task: AsyncTaskKinds,
    pub futures: Option<FuturesPools>,
}

/// What a search found.
#[derive(Debug, Default)]
pub struct FoundExecutors {
    pub tasks: Vec<ExecutorTask>,
    pub owners: Owners,
    pub issues: Vec<String>,
}

/// Executors, told apart by kind and address.
#[derive(Debug, Default)]
pub struct Owners {
    pub list: Vec<RuntimeInfo>,
    known: HashMap<(RuntimeKind, Avma), u32>,
}

impl Owners {
    pub fn known(&self, kind: RuntimeKind, address: Avma) -> Option<u32> {
        self.known.get(&(kind, address)).copied()
    }

    pub fn number(&mut self, info: RuntimeInfo) -> u32 {
        let next = self.list.len() as u32;
        *self.known.entry((info.kind, info.address)).or_insert_with(|| {
            self.list.push(info);
            next
        })
    }
}

impl Executors {
    pub fn new(recipes: &Recipes<'_, '_>) -> Self {
        Executors { async_task: AsyncTaskKinds::new(recipes), futures: FuturesPools::new(recipes) }
    }

    /// Kinds of task with a known layout.
    pub fn typed(&self) -> usize {
        self.async_task.typed() + usize::from(self.futures.is_some())
    }

    pub fn is_empty(&self) -> bool {
        self.async_task.is_empty() && self.futures.is_none()
    }

    pub fn find<M: Memory + ?Sized>(
        &self,
        recipes: &Recipes<'_, '_>,
        memory: &M,
        scope: &Scope<'_>,
    ) -> FoundExecutors {
        let mut found = FoundExecutors::default();
        self.async_task.find(memory, scope, &mut found);
        if let Some(pools) = &self.futures {
            pools.find(recipes, memory, scope, &mut found);
        }
        if found.tasks.len() >= MAX_TASKS {
            found.issues.push(format!("more than {MAX_TASKS} tasks of one kind: the others are not listed"));
        }
        found
    }
}

/// More tasks of one kind than this are not taken in: a hostile target.
pub(super) const MAX_TASKS: usize = 8 << 20;
/// Reads of one task before its tree is given as stale.
const ATTEMPTS: u64 = 3;
/// Block cache of one task.
const CACHE: usize = 1 << 20;

/// Decodes what was found and adds it to a snapshot. `memory` is the target itself, not a cache.
pub(super) fn add_executors<M: Memory>(
    recipes: &Recipes<'_, '_>,
    memory: &M,
    bias: Bias,
    found: &FoundExecutors,
    parts: &mut SnapshotParts,
) {
    let decoded: Vec<_> =
        found.tasks.par_iter().filter_map(|task| decode(recipes, memory, bias, task)).collect();
    // An executor is known by its tasks: one whose tasks have all gone meanwhile may never have been.
    let mut listed: Vec<Option<u32>> = vec![None; found.owners.list.len()];
    for (mut claims, whole, retries) in decoded {
        claims.task.owner = claims.task.owner.map(|owner| {
            let runtimes = &mut parts.runtimes;
            let number = *listed[owner as usize].get_or_insert_with(|| {
                runtimes.push(found.owners.list[owner as usize].clone());
                runtimes.len() as u32 - 1
            });
            runtimes[number as usize].tasks += 1;
            number
        });
        parts.coverage.tasks_found += 1;
        parts.coverage.tasks_decoded += u64::from(whole);
        parts.coverage.torn_retries += retries;
        parts.claims.push(claims);
    }
    parts.coverage.issues.extend(found.issues.iter().cloned());
}

/// The task, whether its tree is whole, and how often it was read again. None where it has gone.
fn decode<M: Memory>(
    recipes: &Recipes<'_, '_>,
    memory: &M,
    bias: Bias,
    found: &ExecutorTask,
) -> Option<(Claims, bool, u64)> {
    let mut last: Option<(Claims, bool)> = None;
    for attempt in 0..ATTEMPTS {
        let before = state(memory, found)?;
        let cache = CachedMemory::new(memory, CACHE);
        let mut walker = Walker::new(recipes, &cache, bias);
        let (mut claims, whole) = read(&mut walker, found, before);
        let after = state(memory, found)?;
        let steady = before == after && before.0 != TaskState::Running;
        let same = last.as_ref().is_some_and(|(last, _)| last.task.tree == claims.task.tree);
        if steady && (whole || same) {
            // Two reads that lack the same thing were not torn: it is not described.
            return Some((claims, whole, if whole { attempt } else { 0 }));
        }
        claims.task.stale = true;
        last = Some((claims, whole));
    }
    last.map(|(claims, whole)| (claims, whole, ATTEMPTS))
}

fn read<M: Memory>(
    walker: &mut Walker<'_, '_, '_, CachedMemory<'_, M>>,
    found: &ExecutorTask,
    (state, future_is_there, sure): (TaskState, bool, bool),
) -> (Claims, bool) {
    let (mut tree, mut whole) = (None, !future_is_there);
    if let Some(root) = found.root.filter(|_| future_is_there) {
        let mut roots = walker.tree(Some(found.address), found.future, root);
        whole = !walker.incomplete && !roots.is_empty();
        tree = (!roots.is_empty()).then(|| roots.swap_remove(0));
    }
    let task = Task {
        spawned_at: None,
        queue: None,
        wakers: None,
        id: found.id,
        address: found.address,
        state,
        stale: !sure,
        name: tree.as_ref().map_or_else(|| found.name.clone(), |node| walker.function(node)),
        owner: found.owner,
        waits: Box::default(),
        holds: Box::default(),
        tree,
    };
    (walker.claims(task), whole)
}

/// The task's state, whether its future still exists, and whether the state is sure; None where the task has gone.
fn state<M: Memory + ?Sized>(memory: &M, found: &ExecutorTask) -> Option<(TaskState, bool, bool)> {
    let (at, expected) = found.identity;
    memory.read_u64(at).ok().filter(|word| *word == expected)?;
    match found.status {
        Status::Word(at) => {
            let word = AsyncTaskWord(memory.read_u64(at).ok()?);
            let state = state_of_word(word);
            // A cancelled task's future is dropped the next time the executor runs it, so it is not looked at.
            let exists = !matches!(state, TaskState::Complete | TaskState::Cancelled);
            word.plausible().then_some((state, exists, true))
        }
        Status::Unpark { at, handle, vacant } => match UnparkStatus::of(memory.read_u64(at).ok()?)? {
            // In the pool's queue for its first poll.
            UnparkStatus::Waiting if is_vacant(memory, handle, vacant)? => {
                Some((TaskState::Scheduled, true, true))
            }
            UnparkStatus::Waiting => Some((TaskState::Idle, true, true)),
            // In the pool's queue, or on the stack of a thread that polls it.
            UnparkStatus::Polling => Some((TaskState::Scheduled, true, false)),
            UnparkStatus::Repoll => Some((TaskState::Running, true, true)),
            UnparkStatus::Complete => None,
        },
        Status::Queued { flag, next, polled } => {
            let mut queued = [0];
            memory.read(flag, &mut queued).ok()?;
            let next = memory.read_u64(next).ok()?;
            Some(match queued[0] {
                _ if next == polled => (TaskState::Running, true, true),
                0 => (TaskState::Idle, true, true),
                _ => (TaskState::Scheduled, true, true),
            })
        }
    }
}

/// Whether a ThreadPool's handle keeps no task.
pub(super) fn is_vacant<M: Memory + ?Sized>(memory: &M, handle: Avma, vacant: Vacant) -> Option<bool> {
    let mut bytes = [0; 8];
    let width = usize::from(vacant.width).min(8);
    memory.read(handle.offset(vacant.at), &mut bytes[..width]).ok()?;
    Some(u64::from_le_bytes(bytes) == vacant.value)
}

fn state_of_word(word: AsyncTaskWord) -> TaskState {
    match () {
        () if word.completed() => TaskState::Complete,
        () if word.closed() => TaskState::Cancelled,
        () if word.running() => TaskState::Running,
        () if word.scheduled() => TaskState::Scheduled,
        () => TaskState::Idle,
    }
}
