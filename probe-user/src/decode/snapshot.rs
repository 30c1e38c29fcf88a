//! All tasks decoded: in parallel, each checked against a second read of its header.

use super::discover::{Discovery, Found};
use super::recipe::Recipes;
use super::walk::Walker;
use super::{Coverage, Node, RuntimeInfo, RuntimeKind, Task, TaskId, TaskState};
use crate::runtime::{Flavor, TaskWord};
use crate::target::{Avma, Bias, CachedMemory, Memory};
use rayon::prelude::*;

/// Tasks decoded before their headers are read again: few, so that a busy target has little time to move on.
const CHUNK: usize = 512;
/// Reads of one task before its tree is given as stale.
const ATTEMPTS: u64 = 3;
/// Block cache of one chunk. Chunks are made of neighbours in memory.
const CACHE: usize = 8 << 20;

/// What a snapshot is made of, but for what only the process knows.
#[derive(Debug, Default)]
pub struct SnapshotParts {
    pub tasks: Vec<Task>,
    pub runtimes: Vec<RuntimeInfo>,
    pub coverage: Coverage,
}

struct Decoded {
    task: Task,
    /// Its await tree is whole.
    whole: bool,
    retries: u64,
}

/// Decodes what was discovered. `memory` is the target itself, not a cache.
pub fn tasks<M: Memory>(
    recipes: &Recipes<'_, '_>,
    memory: &M,
    bias: Bias,
    discovery: &Discovery,
    version: Option<&str>,
) -> SnapshotParts {
    let decoded: Vec<Decoded> = discovery
        .tasks
        .par_chunks(CHUNK)
        .flat_map_iter(|chunk| decode_chunk(recipes, memory, bias, chunk))
        .collect();
    let mut parts = SnapshotParts { runtimes: runtimes(discovery, version), ..SnapshotParts::default() };
    parts.coverage.issues.clone_from(&discovery.issues);
    parts.coverage.tasks_found = decoded.len() as u64;
    parts.tasks.reserve(decoded.len());
    for one in decoded {
        parts.coverage.tasks_decoded += u64::from(one.whole);
        parts.coverage.torn_retries += one.retries;
        if let Some(runtime) = one.task.owner.and_then(|o| parts.runtimes.get_mut(o as usize)) {
            runtime.tasks += 1;
        }
        parts.tasks.push(one.task);
    }
    parts.tasks.sort_by_key(|task| (task.owner, task.id));
    note_untyped(discovery, &mut parts.coverage.issues);
    parts
}

fn runtimes(discovery: &Discovery, version: Option<&str>) -> Vec<RuntimeInfo> {
    let info = |s: &super::FoundScheduler| RuntimeInfo {
        kind: RuntimeKind::Tokio,
        version: version.map(str::to_owned),
        flavor: Some(s.flavor.name().to_owned()),
        workers: s.workers.or((s.flavor == Flavor::CurrentThread).then_some(1)),
        tasks: 0,
        address: s.address,
    };
    discovery.schedulers.iter().map(info).collect()
}

/// One line per reason for which kinds of task could not be decoded.
fn note_untyped(discovery: &Discovery, issues: &mut Vec<String>) {
    let mut counts = std::collections::BTreeMap::<&str, usize>::new();
    for found in &discovery.tasks {
        if let Some(issue) = &found.vtable.site.issue {
            *counts.entry(issue).or_default() += 1;
        }
    }
    issues.extend(counts.iter().map(|(issue, n)| format!("{n} tasks are not decoded: {issue}")));
}

fn decode_chunk<M: Memory>(
    recipes: &Recipes<'_, '_>,
    memory: &M,
    bias: Bias,
    chunk: &[Found],
) -> Vec<Decoded> {
    let cache = CachedMemory::new(memory, CACHE);
    let mut walker = Walker::new(recipes, &cache, bias);
    let first: Vec<_> = chunk
        .iter()
        .filter_map(|found| read_task(&mut walker, &cache, found).map(|read| (found, read)))
        .collect();
    let words = fresh_words(memory, first.iter().map(|(found, _)| found.header));
    first
        .into_iter()
        .zip(words)
        .map(|((found, (before, decoded)), after)| {
            let steady = before.is_some_and(|w| Some(w) == after && !TaskWord(w).running());
            if steady || decoded.task.state == TaskState::Complete {
                return decoded;
            }
            again(recipes, memory, bias, found).unwrap_or(decoded)
        })
        .collect()
}

/// State words straight from the target, in few system calls.
fn fresh_words<M: Memory>(memory: &M, headers: impl Iterator<Item = Avma>) -> Vec<Option<u64>> {
    let headers: Vec<Avma> = headers.collect();
    let mut words = vec![[0; 8]; headers.len()];
    let mut requests: Vec<(Avma, &mut [u8])> =
        headers.iter().zip(&mut words).map(|(at, word)| (*at, &mut word[..])).collect();
    let failed = memory.read_many(&mut requests);
    let read = |(i, word)| failed.binary_search(&i).is_err().then(|| u64::from_le_bytes(word));
    words.into_iter().enumerate().map(read).collect()
}

/// Reads one task again, with nothing cached, until two reads agree.
fn again<M: Memory>(recipes: &Recipes<'_, '_>, memory: &M, bias: Bias, found: &Found) -> Option<Decoded> {
    let mut last = None;
    for attempt in 1..=ATTEMPTS {
        let cache = CachedMemory::new(memory, 0);
        let mut walker = Walker::new(recipes, &cache, bias);
        let (before, mut decoded) = read_task(&mut walker, &cache, found)?;
        let after = memory.read_u64(found.header).ok();
        decoded.retries = attempt;
        if before == after && before.is_some_and(|w| !TaskWord(w).running()) {
            return Some(decoded);
        }
        decoded.task.stale = true;
        last = Some(decoded);
    }
    last
}

/// The task as it is now, and the state word it was read under. None where its header cannot be read.
fn read_task<M: Memory>(
    walker: &mut Walker<'_, '_, '_, CachedMemory<'_, M>>,
    memory: &CachedMemory<'_, M>,
    found: &Found,
) -> Option<(Option<u64>, Decoded)> {
    let site = &found.vtable.site;
    let word = memory.read_u64(found.header).ok();
    let id = found.vtable.id.and_then(|id| memory.read_u64(found.header.offset(id)).ok())?;
    let state = word.map_or(TaskState::Idle, |w| state_of(TaskWord(w)));
    let mut whole = false;
    let mut tree = None;
    if let Some(typed) = site.typed.as_ref().filter(|_| !matches!(state, TaskState::Complete)) {
        let roots = walker.tree(found.header.offset(typed.cell.stage), typed.root);
        whole = !walker.incomplete && !roots.is_empty();
        tree = single(roots);
    }
    let task = Task {
        id: TaskId { runtime: RuntimeKind::Tokio, id },
        address: found.header,
        state,
        stale: false,
        name: tree.as_ref().map_or_else(|| site.name.clone(), |node| walker.function(node)),
        owner: found.scheduler,
        tree,
    };
    let whole = whole || state == TaskState::Complete;
    Some((word, Decoded { task, whole, retries: 0 }))
}

/// A spawned future without a node of its own (a boxed one, say) has the node inside it.
fn single(mut roots: Vec<Node>) -> Option<Node> {
    if roots.is_empty() { None } else { Some(roots.swap_remove(0)) }
}

fn state_of(word: TaskWord) -> TaskState {
    if word.complete() {
        if word.cancelled() { TaskState::Cancelled } else { TaskState::Complete }
    } else if word.running() {
        TaskState::Running
    } else if word.notified() {
        TaskState::Scheduled
    } else {
        TaskState::Idle
    }
}
