//! All tasks decoded: in parallel, each checked against a second read of its header.

use super::discover::{Discovery, Found, HEADER_VTABLE};
use super::recipe::Recipes;
use super::relations::Claims;
use super::walk::Walker;
use super::{Coverage, Node, RuntimeInfo, RuntimeKind, SourceLine, Task, TaskId, TaskState, ThreadPoll};
use crate::runtime::{Flavor, TaskWord};
use crate::target::{Avma, Bias, CachedMemory, Memory};
use rayon::prelude::*;

/// Tasks decoded before their headers are read again: few, so that a busy target has little time to move on.
const CHUNK: usize = 512;
/// Up to so many tasks a second reading of all of them is not noticed.
const READ_TWICE: usize = 20_000;
/// Reads of one task before its tree is given as stale.
const ATTEMPTS: u64 = 3;
/// Block cache of one chunk. Chunks are made of neighbours in memory.
const CACHE: usize = 8 << 20;

/// What a snapshot is made of, but for what only the process knows.
#[derive(Debug, Default)]
pub(super) struct SnapshotParts {
    /// Each with what it says of itself: who holds what, all of them together tell.
    pub claims: Vec<Claims>,
    pub runtimes: Vec<RuntimeInfo>,
    pub coverage: Coverage,
    pub polls: Option<Vec<ThreadPoll>>,
}

struct Decoded {
    claims: Claims,
    /// Its await tree is whole.
    whole: bool,
    retries: u64,
}

/// All tasks of a discovery.
struct Decodings {
    /// None where a task has gone.
    claims: Vec<Option<Claims>>,
    /// How many trees are whole.
    whole: u64,
    retries: u64,
}

/// Decodes what was discovered. `memory` is the target itself, not a cache.
pub(super) fn tasks<M: Memory>(
    recipes: &Recipes<'_, '_>,
    memory: &M,
    bias: Bias,
    discovery: &Discovery,
    version: Option<&str>,
) -> SnapshotParts {
    let known = recipes.made();
    let mut decoded = decode(recipes, memory, bias, discovery);
    // What was read while types were looked up for the first time took long enough for a busy target to move on.
    if recipes.made() > known && discovery.tasks.len() <= READ_TWICE {
        decoded = decode(recipes, memory, bias, discovery);
    }
    let mut parts = SnapshotParts { runtimes: runtimes(discovery, version), ..SnapshotParts::default() };
    parts.coverage.issues.clone_from(&discovery.issues);
    let Decodings { claims, whole, retries } = decoded;
    // In place: what the tasks take is the largest part of a snapshot.
    parts.claims = claims.into_iter().flatten().collect();
    parts.coverage.tasks_found = parts.claims.len() as u64;
    (parts.coverage.tasks_decoded, parts.coverage.torn_retries) = (whole, retries);
    for owner in parts.claims.iter().filter_map(|one| one.task.owner) {
        if let Some(runtime) = parts.runtimes.get_mut(owner as usize) {
            runtime.tasks += 1;
        }
    }
    note_untyped(discovery, &mut parts.coverage.issues);
    parts
}

fn decode<M: Memory>(recipes: &Recipes<'_, '_>, memory: &M, bias: Bias, discovery: &Discovery) -> Decodings {
    let patient = discovery.tasks.len() <= READ_TWICE;
    let mut claims: Vec<Option<Claims>> = Vec::new();
    claims.resize_with(discovery.tasks.len(), || None);
    let chunks = claims.par_chunks_mut(CHUNK).zip(discovery.tasks.par_chunks(CHUNK));
    let cache = || CachedMemory::new(memory, CACHE);
    let counts = chunks.map_init(cache, |cache, (claims, found)| {
        cache.clear();
        decode_chunk(recipes, cache, bias, found, patient, claims)
    });
    let (whole, retries) = counts.reduce(|| (0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
    Decodings { claims, whole, retries }
}

fn runtimes(discovery: &Discovery, version: Option<&str>) -> Vec<RuntimeInfo> {
    let info = |s: &super::FoundScheduler| RuntimeInfo {
        kind: RuntimeKind::Tokio,
        version: version.map(str::to_owned),
        flavor: Some(s.flavor.name().to_owned()),
        workers: s.workers.or((s.flavor == Flavor::CurrentThread).then_some(1)),
        tasks: 0,
        address: s.address,
        closed: s.closed,
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

/// Puts the claims of each task where they belong. How many trees are whole, and reads that were made again.
fn decode_chunk<M: Memory>(
    recipes: &Recipes<'_, '_>,
    cache: &CachedMemory<'_, M>,
    bias: Bias,
    chunk: &[Found],
    patient: bool,
    claims: &mut [Option<Claims>],
) -> (u64, u64) {
    let memory = cache.inner();
    let mut walker = Walker::new(recipes, cache, bias);
    let mut first = Vec::with_capacity(chunk.len());
    for (found, place) in chunk.iter().zip(&mut *claims) {
        let before = Stamp::read(cache, found);
        let decoded = read_task(&mut walker, cache, found);
        first.push((before, decoded.as_ref().is_some_and(|decoded| decoded.whole)));
        *place = decoded.map(|decoded| decoded.claims);
    }
    let fresh = fresh_stamps(memory, chunk);
    let mut counts = (0, 0);
    for (i, ((before, mut whole), after)) in first.into_iter().zip(fresh).enumerate() {
        let (found, place) = (&chunk[i], &mut claims[i]);
        // Freed since it was found, and perhaps another task's or no task's memory by now.
        let Some(after) = after.filter(|stamp| stamp.is_of(found)) else {
            *place = None;
            continue;
        };
        let steady = before == Some(after) && !TaskWord(after.state).running();
        let enough = whole || !patient || found.vtable.site.typed.is_none();
        if place.is_none() || !steady || !enough {
            let decoded = again(recipes, memory, bias, found);
            whole = decoded.as_ref().is_some_and(|decoded| decoded.whole);
            counts.1 += decoded.as_ref().map_or(0, |decoded| decoded.retries);
            *place = decoded.map(|decoded| decoded.claims);
        }
        counts.0 += u64::from(whole);
    }
    counts
}

/// What tells one task at one time from any other: its state word, its vtable, its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    state: u64,
    vtable: u64,
    id: u64,
}

/// Bytes of a Cell up to its id, at the most; those whose id is farther away are read in parts.
const STAMP: usize = 128;

impl Stamp {
    fn len(found: &Found) -> Option<usize> {
        let end = usize::try_from(found.vtable.id?).ok()?.checked_add(8)?;
        (HEADER_VTABLE as usize + 8..=STAMP).contains(&end).then_some(end)
    }

    fn read<M: Memory + ?Sized>(memory: &M, found: &Found) -> Option<Stamp> {
        let mut bytes = [0; STAMP];
        let Some(length) = Stamp::len(found) else { return Stamp::read_apart(memory, found) };
        memory.read(found.header, &mut bytes[..length]).ok()?;
        Some(Stamp::of(&bytes[..length]))
    }

    /// Old tokio (1.21, say) lets the compiler order the Core, which then often has the id behind the future.
    fn read_apart<M: Memory + ?Sized>(memory: &M, found: &Found) -> Option<Stamp> {
        let word = |offset: u64| memory.read_u64(found.header.offset(offset)).ok();
        Some(Stamp { state: word(0)?, vtable: word(HEADER_VTABLE)?, id: word(found.vtable.id?)? })
    }

    fn of(bytes: &[u8]) -> Stamp {
        let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        Stamp { state: word(0), vtable: word(HEADER_VTABLE as usize), id: word(bytes.len() - 8) }
    }

    fn is_of(&self, found: &Found) -> bool {
        Avma(self.vtable) == found.vtable.address && self.id != 0 && TaskWord(self.state).plausible()
    }
}

/// Stamps straight from the target, in few system calls.
fn fresh_stamps<M: Memory>(memory: &M, chunk: &[Found]) -> Vec<Option<Stamp>> {
    let lengths: Vec<usize> = chunk.iter().map(|found| Stamp::len(found).unwrap_or(0)).collect();
    let mut buffers = vec![[0; STAMP]; chunk.len()];
    let parts = chunk.iter().zip(&mut buffers).zip(&lengths);
    let mut requests: Vec<(Avma, &mut [u8])> =
        parts.map(|((found, buffer), length)| (found.header, &mut buffer[..*length])).collect();
    let failed = memory.read_many(&mut requests);
    let read = |(i, (buffer, length)): (usize, (&[u8; STAMP], &usize))| match length {
        0 => Stamp::read_apart(memory, &chunk[i]),
        _ => failed.binary_search(&i).is_err().then(|| Stamp::of(&buffer[..*length])),
    };
    buffers.iter().zip(&lengths).enumerate().map(read).collect()
}

/// Reads one task again, with nothing cached, until a read is whole and nothing changed meanwhile, or two reads agree in
/// what they lack. None where the task has gone.
fn again<M: Memory>(recipes: &Recipes<'_, '_>, memory: &M, bias: Bias, found: &Found) -> Option<Decoded> {
    let mut last: Option<Decoded> = None;
    for attempt in 1..=ATTEMPTS {
        let cache = CachedMemory::new(memory, 0);
        let mut walker = Walker::new(recipes, &cache, bias);
        let before = Stamp::read(memory, found);
        let mut decoded = read_task(&mut walker, &cache, found)?;
        let after = Stamp::read(memory, found).filter(|stamp| stamp.is_of(found))?;
        decoded.retries = attempt;
        let steady = before == Some(after) && !TaskWord(after.state).running();
        let same = last.as_ref().is_some_and(|last| last.claims.task.tree == decoded.claims.task.tree);
        if steady && (decoded.whole || same) {
            // Two reads that lack the same thing were not torn: it is not described.
            decoded.retries = if decoded.whole { attempt } else { 0 };
            return Some(decoded);
        }
        decoded.claims.task.stale = true;
        last = Some(decoded);
    }
    last
}

/// The task as it is now. None where its header cannot be read.
fn read_task<M: Memory>(
    walker: &mut Walker<'_, '_, '_, CachedMemory<'_, M>>,
    memory: &CachedMemory<'_, M>,
    found: &Found,
) -> Option<Decoded> {
    let site = &found.vtable.site;
    let stamp = Stamp::read(memory, found)?;
    let state = state_of(TaskWord(stamp.state));
    let ended = TaskWord(stamp.state).complete();
    let (mut whole, mut tree) = (ended, None);
    if let Some(typed) = site.typed.as_ref().filter(|_| !ended) {
        let roots = walker.tree(Some(found.header), found.header.offset(typed.cell.stage), typed.root);
        whole = !walker.incomplete && !roots.is_empty();
        tree = single(roots);
    }
    let spawned = site.typed.as_ref().and_then(|typed| typed.cell.spawned_at?.read(memory, found.header));
    let spawned_at = spawned.map(|(file, line)| SourceLine { file: file.into(), line });
    let task = Task {
        spawned_at,
        queue: None,
        wakers: found.scheduler.and_then(|_| TaskWord(stamp.state).wakers()),
        id: TaskId { runtime: RuntimeKind::Tokio, id: stamp.id },
        address: found.header,
        state,
        stale: false,
        name: tree.as_ref().map_or_else(|| site.name.clone(), |node| walker.function(node)),
        owner: found.scheduler,
        waits: Box::default(),
        holds: Box::default(),
        tree,
    };
    Some(Decoded { claims: walker.claims(task), whole, retries: 0 })
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
    } else if word.cancelled() {
        // Aborted, and in a queue: the next poll drops the future, which has all it had until then.
        TaskState::Cancelled
    } else if word.notified() {
        TaskState::Scheduled
    } else {
        TaskState::Idle
    }
}
