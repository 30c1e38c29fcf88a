//! Finds async-task's tasks: memory is searched for words that are task vtables, and the executor's own list of
//! active tasks, where there is one, decides.

use super::discover::{Scope, for_each_word};
use super::executors::{ExecutorTask, FoundExecutors, MAX_TASKS, Owners, Status};
use super::sites::future_name;
use super::{RecipeId, Recipes, RuntimeInfo, RuntimeKind, TaskId};
use crate::dwarf::{DieRef, PollSymbol, Program};
use crate::runtime::{AsyncTaskWord, ExecutorPointer, RawTaskLayout, Registration, Role, places, role};
use crate::target::{Avma, Memory, Region, Svma};
use std::collections::HashMap;
use std::sync::Arc;

/// One type of task: a future and a schedule function.
#[derive(Debug)]
struct Kind {
    name: Arc<str>,
    layout: RawTaskLayout,
    /// None without types.
    root: Option<RecipeId>,
    /// The crate whose executor it is.
    executor: Arc<str>,
}

/// All types of task, by their run function.
#[derive(Debug, Default)]
pub struct AsyncTaskKinds {
    by_run: HashMap<Svma, Vec<Arc<Kind>>>,
    /// `4.7.1`, from the path of the crate's sources.
    pub version: Option<String>,
    issues: Vec<String>,
}

/// Most entries of an executor's list that are believed.
const MAX_ENTRIES: u64 = 1 << 32;
/// Most wrappers around a spawned future.
const MAX_WRAPPERS: usize = 4;
/// Longest entry of such a list, in bytes.
const MAX_STRIDE: u64 = 64;

impl AsyncTaskKinds {
    pub fn new(recipes: &Recipes<'_, '_>) -> Self {
        let program = recipes.program;
        let mut kinds = AsyncTaskKinds::default();
        for site in program.run_sites() {
            let layout = match RawTaskLayout::of(program, site.raw_task) {
                Ok(layout) => layout,
                Err(issue) => {
                    kinds.issues.push(issue.to_string());
                    continue;
                }
            };
            let known = kinds.by_run.entry(site.address()).or_default();
            let kind = Kind {
                name: layout
                    .future_ty
                    .and_then(|ty| future_name(program, unwrapped(program, ty)))
                    .unwrap_or_else(|| format!("?{}", site.address()).into()),
                root: layout.future_ty.map(|ty| recipes.future(ty)),
                executor: layout.schedule.split("::").next().unwrap_or_default().into(),
                layout,
            };
            // Each unit that mentions the type describes it.
            if !known
                .iter()
                .any(|other| other.name == kind.name && other.layout.schedule == kind.layout.schedule)
            {
                known.push(Arc::new(kind));
            }
        }
        kinds.version = program.run_sites().iter().find_map(|s| program.version_of_method(s, "async-task-"));
        kinds
    }

    /// Kinds of task that only the symbol table knows.
    pub fn add_symbols(&mut self, symbols: Vec<PollSymbol>) {
        if !symbols.is_empty() {
            self.issues
                .push("async-task's tasks are told by their vtables' shape: there are no types".into());
        }
        for symbol in symbols {
            let name = symbol.future.unwrap_or_else(|| format!("?{}", symbol.address)).into();
            let kind = Kind { name, layout: RawTaskLayout::untyped(), root: None, executor: "".into() };
            self.by_run.entry(symbol.address).or_insert_with(|| vec![Arc::new(kind)]);
        }
    }

    pub fn typed(&self) -> usize {
        self.by_run.values().flatten().filter(|kind| kind.root.is_some()).count()
    }

    pub fn is_empty(&self) -> bool {
        self.by_run.is_empty() && self.issues.is_empty()
    }

    pub(super) fn find<M: Memory + ?Sized>(&self, memory: &M, scope: &Scope<'_>, found: &mut FoundExecutors) {
        found.issues.extend(self.issues.iter().cloned());
        if self.by_run.is_empty() {
            return;
        }
        let mut vtables = self.vtables(memory, scope, scope.data);
        if vtables.is_empty() {
            // Without relocations they are read-only data.
            vtables = self.vtables(memory, scope, scope.constants);
        }
        let (Some(low), Some(high)) = (vtables.keys().min().copied(), vtables.keys().max().copied()) else {
            return;
        };
        // Tasks that have left their executor's list, and the executor that they claim.
        let mut unlisted: Vec<(usize, Avma)> = Vec::new();
        for region in scope.heap {
            for_each_word(memory, region, &mut |at, word| {
                if (low.0..=high.0).contains(&word)
                    && found.tasks.len() < MAX_TASKS
                    && let Some(kind) = vtables.get(&Avma(word))
                {
                    let header = at.offset(kind.layout.vtable.wrapping_neg());
                    if let Some((task, claimed)) =
                        self.task(memory, header, Avma(word), kind, &mut found.owners)
                    {
                        unlisted.extend(claimed.map(|executor| (found.tasks.len(), executor)));
                        found.tasks.push(task);
                    }
                }
            });
        }
        for (task, executor) in unlisted {
            found.tasks[task].owner = found.owners.known(RuntimeKind::AsyncTask, executor);
        }
    }

    /// Task vtables among the image's data: words that are a known run function, at the place of that slot.
    fn vtables<M: Memory + ?Sized>(
        &self,
        memory: &M,
        scope: &Scope<'_>,
        data: &[Region],
    ) -> HashMap<Avma, Arc<Kind>> {
        let mut found = HashMap::new();
        for region in data {
            for_each_word(memory, region, &mut |at, word| {
                let run = Avma(word).to_svma(scope.bias);
                let Some(kinds) = self.by_run.get(&run) else { return };
                for kind in kinds {
                    let address = at.offset(kind.layout.slots.run.wrapping_neg());
                    if layout_agrees(memory, address, &kind.layout) != Some(false) {
                        found.entry(address).or_insert_with(|| kind.clone());
                    }
                }
            });
        }
        found
    }

    /// The task, and the executor that it claims without being listed there.
    fn task<M: Memory + ?Sized>(
        &self,
        memory: &M,
        header: Avma,
        vtable: Avma,
        kind: &Kind,
        owners: &mut Owners,
    ) -> Option<(ExecutorTask, Option<Avma>)> {
        let layout = &kind.layout;
        let word = |offset: u64| memory.read_u64(header.offset(offset)).ok();
        let state = AsyncTaskWord(word(layout.state)?);
        if !state.plausible() {
            return None;
        }
        let listed = layout.registration.as_ref().map(|r| is_listed(memory, header, r));
        // A complete or cancelled task has left the list, or is about to.
        if listed == Some(Some(false)) && !state.completed() && !state.closed() {
            return None;
        }
        let at = |e: ExecutorPointer| Some(Avma(word(e.at)?).offset(e.data));
        // What its list agrees with is its executor; what a task without one claims may be a leftover.
        let (executor, claimed) = match (&layout.registration, listed) {
            (Some(registration), Some(Some(true))) => (at(registration.executor), None),
            (Some(_), _) => (None, layout.executor.and_then(at)),
            (None, _) => (layout.executor.and_then(at), None),
        };
        let owner = executor.map(|address| {
            owners.number(RuntimeInfo {
                kind: RuntimeKind::AsyncTask,
                version: self.version.clone(),
                flavor: Some(kind.executor.to_string()),
                workers: None,
                tasks: 0,
                address,
                closed: None,
            })
        });
        let id = layout.id.and_then(word).unwrap_or(header.0);
        let task = ExecutorTask {
            id: TaskId { runtime: RuntimeKind::AsyncTask, id },
            address: header,
            name: kind.name.clone(),
            owner,
            future: header.offset(layout.future),
            root: kind.root,
            identity: (header.offset(layout.vtable), vtable.0),
            status: Status::Word(header.offset(layout.state)),
        };
        Some((task, claimed))
    }
}

/// The future that an executor's own wrappers hold.
fn unwrapped(program: &Program<'_>, mut future: DieRef) -> DieRef {
    for _ in 0..MAX_WRAPPERS {
        let inner = program.ty(future).filter(|ty| role(&program.path(ty)) == Role::Transparent);
        let Some(inner) = inner.and_then(|ty| places(program, ty.die, &["future"])) else { break };
        future = inner.ty.die;
    }
    future
}

/// Whether the vtable's own word of the task's size agrees: where functions were folded, several types have the same
/// run function. None where it tells no layout.
fn layout_agrees<M: Memory + ?Sized>(memory: &M, vtable: Avma, layout: &RawTaskLayout) -> Option<bool> {
    let (slot, size, offset_f) = layout.slots.layout?;
    let told = Avma(memory.read_u64(vtable.offset(slot)).ok()?);
    let told = |offset: u64| memory.read_u64(told.offset(offset));
    Some(told(size).ok()? == layout.size && told(offset_f).ok()? == layout.future)
}

/// Whether the executor's list has the task at the number that the task claims. None where that cannot be read.
fn is_listed<M: Memory + ?Sized>(memory: &M, header: Avma, r: &Registration) -> Option<bool> {
    let word = |at: Avma| memory.read_u64(at).ok();
    let executor = Avma(word(header.offset(r.executor.at))?).offset(r.executor.data);
    let index = word(header.offset(r.index))?;
    let count = word(executor.offset(r.count))?;
    if index >= count || count > MAX_ENTRIES || r.stride > MAX_STRIDE {
        return Some(false);
    }
    let entry = Avma(word(executor.offset(r.entries))?).offset(index.checked_mul(r.stride)?);
    let mut words = (0..r.stride / 8).map(|i| word(entry.offset(i * 8)));
    Some(words.any(|word| word == Some(header.0)))
}
