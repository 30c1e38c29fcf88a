//! How large futures are, and what makes them so.

use super::layout::{Described, Part, Role};
use super::machine::{Machine, StateKind};
use super::{Bounds, Coroutines, Origin};
use crate::decode::{Recipes, Sites, SourceLine};
use crate::dwarf::{DieRef, Type, TypeKind};
use rayon::prelude::*;
use std::collections::HashSet;
use std::sync::Arc;

/// A future that another has in it, by value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub function: Arc<str>,
    /// Of the local; None of what is awaited where it is made.
    pub name: Option<Box<str>>,
    pub role: Role,
    /// Bytes that it takes.
    pub bytes: u64,
    /// The first state that has it, and where that is.
    pub state: StateKind,
    pub place: Option<SourceLine>,
}

/// An argument that has a place of its own beside the one it is moved to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Twice {
    pub name: Box<str>,
    pub type_name: Arc<str>,
    pub bytes: u64,
    /// Where it has its second place: a local of its name and type, or what is awaited and of its type, which may be
    /// another future.
    pub again: Role,
    pub place: Option<SourceLine>,
}

#[derive(Clone, Debug)]
pub struct FutureSize {
    pub machine: Machine,
    /// Largest first.
    pub held: Vec<Held>,
    /// Largest first.
    pub twice: Vec<Twice>,
}

/// What a runtime allocates for one spawned future.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskSize {
    /// The task's name; of a boxed future the function's.
    pub future: Arc<str>,
    /// Bytes of the allocation: tokio's `Cell`, with its header, the scheduler's handle, the future or its output.
    pub bytes: u64,
    pub align: u64,
    /// Of the future in it; of a boxed one the box.
    pub future_bytes: u64,
    /// Of a boxed future: bytes of the second allocation.
    pub boxed_bytes: Option<u64>,
    /// `multi_thread`, `current_thread`, `blocking`, …
    pub flavor: Option<&'static str>,
}

impl TaskSize {
    /// Of both allocations, where there are two.
    pub fn all_bytes(&self) -> u64 {
        self.bytes.saturating_add(self.boxed_bytes.unwrap_or(0))
    }
}

/// Largest first, then by name.
#[derive(Clone, Debug, Default)]
pub struct Sizes {
    pub futures: Vec<FutureSize>,
    pub tasks: Vec<TaskSize>,
    /// What was cut.
    pub bounds: Bounds,
}

impl Sizes {
    /// Of every coroutine, and of every kind of task.
    pub fn of(recipes: &Recipes<'_, '_>, sites: &Sites, coroutines: &Coroutines) -> Sizes {
        let machines = coroutines.list.par_iter().filter_map(|one| Machine::of(recipes, one));
        let mut futures: Vec<FutureSize> = machines.map(FutureSize::of).collect();
        let key = |future: &FutureSize| {
            let machine = &future.machine;
            (std::cmp::Reverse(machine.size), machine.function.clone(), machine.place.clone())
        };
        futures.sort_by_cached_key(key);
        Sizes { futures, tasks: tasks(recipes, sites), bounds: coroutines.bounds.clone() }
    }

    /// Those of the user's own code.
    pub fn own(&self) -> impl Iterator<Item = &FutureSize> {
        self.futures.iter().filter(|future| future.machine.origin == Origin::Own)
    }
}

impl FutureSize {
    pub(super) fn of(machine: Machine) -> FutureSize {
        FutureSize { held: held(&machine), twice: twice(&machine), machine }
    }
}

fn held(machine: &Machine) -> Vec<Held> {
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    let start = machine.states.iter().filter(|state| state.kind == StateKind::Start);
    let start = start.map(|state| (state, &machine.made_with));
    for (state, parts) in start.chain(machine.awaits().map(|state| (state, &state.saved))) {
        for part in parts {
            let Some(described) = &part.described else { continue };
            let Some(future) = described.future.as_ref().filter(|future| future.by_value) else { continue };
            if seen.insert((described.offset, described.type_name.clone(), part.name.clone())) {
                found.push(Held {
                    function: future.function.clone(),
                    name: part.name.clone(),
                    role: part.role,
                    bytes: described.bytes,
                    state: state.kind,
                    place: state.place.clone(),
                });
            }
        }
    }
    found.sort_by_key(|held| std::cmp::Reverse(held.bytes));
    found
}

/// `async fn f(x: T)` begins with `let x = x;`: both have a place in the future.
fn twice(machine: &Machine) -> Vec<Twice> {
    let mut found = Vec::new();
    for argument in &machine.made_with {
        let (Some(name), Some(first)) = (&argument.name, &argument.described) else { continue };
        if first.bytes == 0 {
            continue;
        }
        let is_again = |part: &Part| {
            let same_name = part.role == Role::Local && part.name.as_ref() == Some(name);
            let is_future = part.role == Role::Awaited && first.future.is_some();
            let elsewhere = |d: &Described| {
                d.type_name == first.type_name && d.bytes == first.bytes && d.offset != first.offset
            };
            (same_name || is_future) && part.described.as_ref().is_some_and(elsewhere)
        };
        let again =
            machine.awaits().find_map(|state| Some((state, state.saved.iter().find(|p| is_again(p))?)));
        if let Some((state, part)) = again {
            found.push(Twice {
                name: name.clone(),
                type_name: first.type_name.clone(),
                bytes: first.bytes,
                again: part.role,
                place: state.place.clone(),
            });
        }
    }
    found.sort_by_key(|twice| std::cmp::Reverse(twice.bytes));
    found
}

fn tasks(recipes: &Recipes<'_, '_>, sites: &Sites) -> Vec<TaskSize> {
    let program = recipes.program;
    let known = sites.iter().filter_map(|site| {
        let typed = site.typed.as_ref()?;
        let future = program.ty(typed.cell.future_ty)?;
        let boxed = boxed(recipes, typed.cell.future_ty);
        let inner = boxed.as_ref().and_then(|ty| Some(program.function(ty, ty.coroutine()?).into()));
        Some(TaskSize {
            future: inner.unwrap_or_else(|| site.name.clone()),
            bytes: typed.cell.size,
            align: typed.cell.align,
            future_bytes: future.size,
            boxed_bytes: boxed.map(|ty| recipes.bytes(&ty)),
            flavor: site.flavor.map(|flavor| flavor.name()),
        })
    });
    let mut tasks: Vec<TaskSize> = known.collect();
    tasks.sort_by(|a, b| b.all_bytes().cmp(&a.all_bytes()).then_with(|| a.cmp(b)));
    tasks.dedup();
    tasks
}

/// `Pin<Box<T>>`: the T. None of what is no box, and of a box of a trait object.
fn boxed(recipes: &Recipes<'_, '_>, future: DieRef) -> Option<Arc<Type>> {
    let ty = recipes.program.ty(future)?;
    let pointer = match ty.name.starts_with("Pin<") {
        true => recipes.program.ty(ty.members.first()?.ty)?,
        false => ty,
    };
    let TypeKind::Pointer(Some(to)) = pointer.kind else { return None };
    recipes.program.ty(to)
}
