//! Finds every task, also those that no thread will ever touch again.
//!
//! Exact: from each thread's context to its scheduler, and from there along the list of tasks that the scheduler owns.
//! A runtime that no thread is inside of, and a LocalSet, are found through any task of theirs: memory is searched for
//! words that are task vtables, and such a task's own scheduler leads to the exact list again. Found words alone are
//! trusted only where no list can be had.

use super::executors::FoundExecutors;
use super::naming::name_by_calls;
use super::sites::{Schedulers, Sites, TaskVtable};
use crate::dwarf::{DieRef, Program, Type};
use crate::runtime::{Flavor, OwnedList, Reflect, SchedulerLayout, TaskWord};
use crate::target::{Avma, Bias, Memory, Region, Svma};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// More tasks than this in one list is a cycle made by a torn read.
const MAX_TASKS: usize = 8 << 20;

/// A task's header and what its vtable says.
#[derive(Clone, Debug)]
pub struct Found {
    pub header: Avma,
    pub vtable: Arc<TaskVtable>,
    /// Which of [`Discovery::schedulers`].
    pub scheduler: Option<u32>,
}

/// One runtime (or LocalSet) of the target.
#[derive(Clone, Debug)]
pub struct FoundScheduler {
    /// The `Arc`'s allocation.
    pub address: Avma,
    pub flavor: Flavor,
    pub workers: Option<u32>,
    /// None where its lists cannot be walked.
    pub layout: Option<SchedulerLayout>,
    /// Its queue for what comes from outside takes no more; None where that is not known.
    pub closed: Option<bool>,
}

#[derive(Debug, Default)]
pub struct Discovery {
    pub tasks: Vec<Found>,
    pub schedulers: Vec<FoundScheduler>,
    /// Offset of the id in tasks with this poll function, as their vtables tell it.
    pub ids: HashMap<Svma, u64>,
    /// Closures for the blocking pool that have not ended. No list has those that run.
    pub blocking: Vec<Found>,
    /// The runtime that a thread is inside of, by the thread's TLS block.
    pub entered: HashMap<Avma, u32>,
    /// What other executors than tokio's have.
    pub executors: FoundExecutors,
    pub issues: Vec<String>,
}

/// What of the target the search needs to know.
#[derive(Debug)]
pub struct Scope<'s> {
    pub bias: Bias,
    /// TLS block of the executable, per thread.
    pub tls_blocks: &'s [Avma],
    /// Written data of the image, where task vtables lie.
    pub data: &'s [Region],
    /// Data of the image that is never written.
    pub constants: &'s [Region],
    /// Writable anonymous memory that is not a thread's stack.
    pub heap: &'s [Region],
    /// Code of the image.
    pub text: &'s [Region],
}

pub struct Search<'s, 'p, 'a, M: Memory + ?Sized> {
    pub program: &'p Program<'a>,
    pub sites: &'s Sites,
    pub memory: &'s M,
    pub scope: &'s Scope<'s>,
}

struct State {
    layouts: Schedulers,
    vtables: foldhash::HashMap<Avma, Option<Arc<TaskVtable>>>,
    tasks: foldhash::HashMap<Avma, Found>,
    schedulers: Vec<FoundScheduler>,
    /// Arc address → number in `schedulers`, and whether its list could be walked.
    known: HashMap<Avma, (u32, bool)>,
    ids: HashMap<Svma, u64>,
    blocking: Vec<Found>,
    issues: Vec<String>,
}

impl<'a, M: Memory + ?Sized> Search<'_, '_, 'a, M> {
    pub fn run(&self) -> Discovery {
        let mut state = State {
            layouts: Schedulers::default(),
            vtables: foldhash::HashMap::default(),
            tasks: foldhash::HashMap::default(),
            schedulers: Vec::new(),
            known: HashMap::new(),
            ids: HashMap::new(),
            blocking: Vec::new(),
            issues: Vec::new(),
        };
        let mut entered = HashMap::new();
        for (block, scheduler, arc) in self.in_thread_contexts() {
            if let Some((number, _)) = self.scheduler(&mut state, scheduler, arc) {
                entered.entry(block).or_insert(number);
            }
        }
        self.in_memory(&mut state);
        let mut tasks: Vec<Found> = state.tasks.into_values().collect();
        tasks.sort_unstable_by_key(|found| found.header);
        Discovery {
            tasks,
            schedulers: state.schedulers,
            ids: state.ids,
            blocking: state.blocking,
            entered,
            executors: FoundExecutors::default(),
            issues: state.issues,
        }
    }

    fn reflect(&self) -> Reflect<'_, 'a, M> {
        Reflect { program: self.program, memory: self.memory }
    }

    /// Scheduler handles in tokio's thread-local CONTEXT of each thread, by its TLS block.
    fn in_thread_contexts(&self) -> Vec<(Avma, DieRef, Avma)> {
        let mut handles = Vec::new();
        // An arena of units may each describe the static; one address, one description.
        let mut seen = HashSet::new();
        let contexts: Vec<_> = self.program.contexts().filter(|(_, offset)| seen.insert(*offset)).collect();
        for block in self.scope.tls_blocks {
            for (ty, offset) in &contexts {
                let reflect = self.reflect();
                reflect.visit(block.offset(*offset), *ty, &mut |at, ty: &Arc<Type>| {
                    if !ty.name.starts_with("Arc<tokio::runtime::") {
                        return false;
                    }
                    let arc = reflect.number(at, 8).filter(|p| *p != 0);
                    handles.extend(arc.map(|p| (*block, ty.die, Avma(p))));
                    true
                });
            }
        }
        handles
    }

    /// Takes in a scheduler and all tasks of its lists. Its number, and whether the lists could be walked.
    fn scheduler(&self, state: &mut State, ty: DieRef, arc: Avma) -> Option<(u32, bool)> {
        if let Some(known) = state.known.get(&arc) {
            return Some(*known);
        }
        let layout: Option<SchedulerLayout> = state.layouts.get(self.program, ty);
        // Nothing leads from the scheduler of an old LocalSet to its list, which is then not walked.
        let flavor = layout.as_ref().map(|l| l.flavor).or_else(|| self.flavor_of_arc(ty))?;
        // An Arc that counts no reference is not one.
        let strong = self.memory.read_u64(arc).ok().filter(|n| (1..1 << 32).contains(n));
        strong?;
        let number = state.schedulers.len() as u32;
        let reflect = self.reflect();
        let workers = layout.as_ref().and_then(|l| l.workers(&reflect, arc));
        let closed = layout.as_ref().and_then(|l| l.is_closed(&reflect, arc));
        state.schedulers.push(FoundScheduler {
            address: arc,
            flavor,
            workers,
            layout: layout.clone(),
            closed,
        });
        let lists = layout.as_ref().map(|layout| layout.lists(&reflect, arc));
        let walked = lists.as_ref().is_some_and(|l| l.iter().all(|list| self.list(state, *list, number)));
        if lists.is_some() && !walked {
            state.issues.push(format!("a task list of the {} runtime at {arc} broke off", flavor.name()));
        }
        state.known.insert(arc, (number, walked));
        Some((number, walked))
    }

    fn flavor_of_arc(&self, scheduler: DieRef) -> Option<Flavor> {
        let path = self.program.path(&*self.program.ty(scheduler)?);
        Flavor::of(&path).filter(|_| path.starts_with("alloc::sync::Arc<"))
    }

    fn list(&self, state: &mut State, list: OwnedList, scheduler: u32) -> bool {
        let mut at = list.head;
        let mut steps = 0;
        while !at.is_null() {
            let Some(vtable) = self.task_vtable(state, at) else { return false };
            let Some(next) = vtable.site.typed.as_ref().map(|t| t.cell.next) else { return false };
            if state.tasks.insert(at, Found { header: at, vtable, scheduler: Some(scheduler) }).is_some() {
                return false;
            }
            steps += 1;
            if steps > MAX_TASKS {
                return false;
            }
            match self.memory.read_u64(at.offset(next)) {
                Ok(next) => at = Avma(next),
                Err(_) => return false,
            }
        }
        true
    }

    fn task_vtable(&self, state: &mut State, header: Avma) -> Option<Arc<TaskVtable>> {
        let address = Avma(self.memory.read_u64(header.offset(HEADER_VTABLE)).ok()?);
        if let Some(known) = state.vtables.get(&address) {
            return known.clone();
        }
        let read = self.sites.vtable_at(self.memory, self.scope.bias, address).map(Arc::new);
        state.vtables.insert(address, read.clone());
        read
    }

    /// Searches writable memory for task headers.
    fn in_memory(&self, state: &mut State) {
        let mut vtables = self.vtables(self.scope.data);
        if vtables.is_empty() {
            // Without relocations they are read-only data.
            vtables = self.vtables(self.scope.constants);
        }
        let Sites { names, vtable, .. } = self.sites;
        name_by_calls(&mut vtables, names, self.program.code(), vtable, self.memory, self.scope.bias);
        state.ids = vtables.values().filter_map(|v| Some((v.site.poll, v.id?))).collect();
        let vtables: foldhash::HashMap<Avma, Arc<TaskVtable>> = vtables.into_iter().collect();
        let (Some(low), Some(high)) = (vtables.keys().min().copied(), vtables.keys().max().copied()) else {
            return;
        };
        let mut complete = Vec::new();
        for region in self.scope.heap {
            for_each_word(self.memory, region, &mut |at, word| {
                if (low.0..=high.0).contains(&word)
                    && let Some(vtable) = vtables.get(&Avma(word))
                {
                    let header = Avma(at.0.wrapping_sub(HEADER_VTABLE));
                    if !state.tasks.contains_key(&header) {
                        self.candidate(state, header, vtable, &mut complete);
                    }
                }
            });
        }
        for found in complete {
            state.tasks.entry(found.header).or_insert(found);
        }
    }

    /// A word that may be a task's vtable pointer: its scheduler's own list decides.
    fn candidate(
        &self,
        state: &mut State,
        header: Avma,
        vtable: &Arc<TaskVtable>,
        complete: &mut Vec<Found>,
    ) {
        let word = self.memory.read_u64(header).map(TaskWord);
        let id = vtable.id.and_then(|id| self.memory.read_u64(header.offset(id)).ok());
        let Some(word) = word.ok().filter(|w| w.plausible() && id.is_some_and(|id| id != 0)) else { return };
        let mut found = Found { header, vtable: vtable.clone(), scheduler: None };
        if vtable.site.flavor == Some(Flavor::Blocking) {
            if !word.complete() {
                state.blocking.push(found);
            }
            return;
        }
        let Some(typed) = &vtable.site.typed else {
            // No list can be walked; a task that no scheduler owns is a blocking closure, or never was one.
            if self.memory.read_u64(header.offset(HEADER_OWNER)).is_ok_and(|owner| owner != 0) {
                state.tasks.insert(header, found);
            }
            return;
        };
        let arc = self.memory.read_u64(header.offset(typed.cell.scheduler)).ok().map(Avma);
        match arc.and_then(|arc| self.scheduler(state, typed.cell.scheduler_ty, arc)) {
            // The list is exact; only a finished task whose handle is still held has left it.
            Some((number, true)) if word.complete() => {
                found.scheduler = Some(number);
                complete.push(found);
            }
            Some((_, true)) => {}
            Some((number, false)) => {
                found.scheduler = Some(number);
                state.tasks.entry(header).or_insert(found);
            }
            None => {}
        }
    }

    fn vtables(&self, among: &[Region]) -> HashMap<Avma, Arc<TaskVtable>> {
        if self.sites.is_empty() { self.vtables_by_shape(among) } else { self.vtables_of_sites(among) }
    }

    /// Task vtables of a stripped program: seven code addresses, then three small offsets that rise from the scheduler's
    /// (right after the Header) over the id's to the trailer's.
    fn vtables_by_shape(&self, among: &[Region]) -> HashMap<Avma, Arc<TaskVtable>> {
        const SLOTS: usize = 10;
        let layout = &self.sites.vtable;
        let mut found = HashMap::new();
        let mut window = [0u64; SLOTS];
        for region in among {
            let mut last = Avma(0);
            for_each_word(self.memory, region, &mut |at, word| {
                if last.offset(8) != at {
                    window = [0; SLOTS];
                }
                last = at;
                window.rotate_left(1);
                window[SLOTS - 1] = word;
                let [code @ .., trailer, scheduler, id] = window;
                let in_text = |w: &u64| self.scope.text.iter().any(|r| r.contains(Avma(*w)));
                let small =
                    scheduler == 0x20 && (0x20..0x60).contains(&id) && (id + 8..1 << 24).contains(&trailer);
                if small && id % 8 == 0 && trailer % 8 == 0 && code.iter().all(in_text) {
                    let address = at.offset(8).offset((SLOTS as u64 * 8).wrapping_neg());
                    let poll = Avma(window[0]).to_svma(self.scope.bias);
                    let words = |offset: u64| window.get(offset as usize / 8).copied();
                    found.insert(address, Arc::new(super::sites::anonymous(address, poll, layout, &words)));
                }
            });
        }
        found
    }

    /// Task vtables among the image's data: words that lead to a known poll function, at the place of the poll slot.
    fn vtables_of_sites(&self, among: &[Region]) -> HashMap<Avma, Arc<TaskVtable>> {
        let polls: HashSet<u64> =
            self.sites.iter().map(|site| site.poll.to_avma(self.scope.bias).0).collect();
        let mut found = HashMap::new();
        for region in among {
            for_each_word(self.memory, region, &mut |at, word| {
                if polls.contains(&word) {
                    let address = Avma(at.0.wrapping_sub(self.sites.vtable.poll));
                    if let Some(vtable) = self.sites.vtable_at(self.memory, self.scope.bias, address) {
                        found.insert(address, Arc::new(vtable));
                    }
                }
            });
        }
        found
    }
}

/// Offset of the vtable pointer in the Header, which is `#[repr(C)]`: state, queue_next, vtable. The same in every
/// version since 1.13 (<https://github.com/tokio-rs/tokio/blob/tokio-1.54.1/tokio/src/runtime/task/core.rs>); a build
/// where DWARF says otherwise is found by [`super::sites`] not to match.
pub(super) const HEADER_VTABLE: u64 = 0x10;

const HEADER_OWNER: u64 = 0x18;

const BLOCK: usize = 1 << 20;

/// Calls `visit` with each aligned word of a region. Blocks that cannot be read are retried by page, then skipped:
/// a mapping may shrink while it is searched.
pub(super) fn for_each_word<M: Memory + ?Sized>(
    memory: &M,
    region: &Region,
    visit: &mut dyn FnMut(Avma, u64),
) {
    const PAGE: usize = 4096;
    let mut buffer = vec![0; BLOCK];
    let mut at = region.start;
    while at < region.end {
        let length = BLOCK.min((region.end.0 - at.0) as usize);
        let block = &mut buffer[..length];
        if memory.read(at, block).is_ok() {
            words(at, block, visit);
        } else {
            for (i, page) in block.chunks_mut(PAGE).enumerate() {
                let at = at.offset((i * PAGE) as u64);
                if memory.read(at, page).is_ok() {
                    words(at, page, visit);
                }
            }
        }
        at = at.offset(length as u64);
    }
}

fn words(at: Avma, block: &[u8], visit: &mut dyn FnMut(Avma, u64)) {
    for (i, word) in block.chunks_exact(8).enumerate() {
        let value = u64::from_le_bytes(word.try_into().expect("eight bytes"));
        if value != 0 {
            visit(at.offset(i as u64 * 8), value);
        }
    }
}
