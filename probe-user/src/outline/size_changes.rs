//! What became larger between two builds of a program.

use super::layout::Role;
use super::sizes::{FutureSize, Sizes, TaskSize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Something of both builds; None where one has it not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change<T> {
    pub what: T,
    pub before: Option<u64>,
    pub after: Option<u64>,
}

impl<T> Change<T> {
    /// Bytes that were added.
    pub fn difference(&self) -> i64 {
        let bytes = |side: Option<u64>| side.unwrap_or(0) as i64;
        bytes(self.after).wrapping_sub(bytes(self.before))
    }
}

/// A local of a future, or what it awaits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PartKey {
    pub role: Role,
    /// Of the local; of what is awaited the function.
    pub name: Arc<str>,
}

/// A future whose size differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FutureChange {
    pub function: Change<Arc<str>>,
    /// Its parts that differ, those that differ most first.
    pub parts: Vec<Change<PartKey>>,
}

/// What differs most comes first, then by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SizeChanges {
    pub futures: Vec<FutureChange>,
    pub tasks: Vec<Change<Arc<str>>>,
    /// Futures of both builds, and those of them that are as large as before.
    pub in_both: usize,
    pub unchanged: usize,
}

impl SizeChanges {
    /// Joined by the function's name; several of one name by their order in the source.
    /// `deps`: also what is not the user's own.
    pub fn of(before: &Sizes, after: &Sizes, deps: bool) -> SizeChanges {
        let (before_by, after_by) = (wanted(before, deps), wanted(after, deps));
        let keys: BTreeSet<_> = before_by.keys().chain(after_by.keys()).collect();
        let mut changes = SizeChanges::default();
        for key in keys {
            let (one, other) = (before_by.get(key).copied(), after_by.get(key).copied());
            let size = |side: Option<&FutureSize>| side.map(|future| future.machine.size);
            let function = Change { what: key.0.clone(), before: size(one), after: size(other) };
            if one.is_some() && other.is_some() {
                changes.in_both += 1;
                if function.before == function.after {
                    changes.unchanged += 1;
                    continue;
                }
            }
            changes.futures.push(FutureChange { function, parts: parts_changed(one, other) });
        }
        changes.futures.sort_by_key(|change| std::cmp::Reverse(change.function.difference().unsigned_abs()));
        changes.tasks = tasks_changed(&before.tasks, &after.tasks);
        changes
    }
}

fn wanted(sizes: &Sizes, deps: bool) -> BTreeMap<(Arc<str>, usize), &FutureSize> {
    if deps { by_name(sizes.futures.iter()) } else { by_name(sizes.own()) }
}

/// Functions of one name are told apart by where they stand among them.
fn by_name<'s>(futures: impl Iterator<Item = &'s FutureSize>) -> BTreeMap<(Arc<str>, usize), &'s FutureSize> {
    let mut sorted: Vec<&FutureSize> = futures.collect();
    sorted.sort_by_key(|future| (&future.machine.function, &future.machine.place, future.machine.size));
    let mut found = BTreeMap::new();
    let mut nth: BTreeMap<&Arc<str>, usize> = BTreeMap::new();
    for future in sorted {
        let nth = nth.entry(&future.machine.function).or_default();
        found.insert((future.machine.function.clone(), *nth), future);
        *nth += 1;
    }
    found
}

fn parts_changed(before: Option<&FutureSize>, after: Option<&FutureSize>) -> Vec<Change<PartKey>> {
    let (Some(before), Some(after)) = (before, after) else { return Vec::new() };
    let (before, after) = (parts(before), parts(after));
    let keys: BTreeSet<&PartKey> = before.keys().chain(after.keys()).collect();
    let bytes = |of: &BTreeMap<PartKey, u64>, key: &PartKey| of.get(key).copied();
    let all = keys.into_iter().map(|key| Change {
        what: key.clone(),
        before: bytes(&before, key),
        after: bytes(&after, key),
    });
    let mut changed: Vec<Change<PartKey>> = all.filter(|change| change.difference() != 0).collect();
    changed.sort_by_key(|change| std::cmp::Reverse(change.difference().unsigned_abs()));
    changed
}

/// The most bytes that each has in any state.
fn parts(future: &FutureSize) -> BTreeMap<PartKey, u64> {
    let machine = &future.machine;
    let mut found: BTreeMap<PartKey, u64> = BTreeMap::new();
    let saved = machine.awaits().flat_map(|state| &state.saved);
    for part in machine.made_with.iter().chain(saved) {
        let Some(described) = &part.described else { continue };
        let inside = described.future.as_ref().map(|future| future.function.clone());
        let unnamed = || inside.unwrap_or_else(|| described.type_name.clone());
        let name = part.name.as_deref().map_or_else(unnamed, Arc::from);
        let bytes = found.entry(PartKey { role: part.role, name }).or_default();
        *bytes = described.bytes.max(*bytes);
    }
    found
}

fn tasks_changed(before: &[TaskSize], after: &[TaskSize]) -> Vec<Change<Arc<str>>> {
    let (before, after) = (tasks(before), tasks(after));
    let keys: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let all = keys.into_iter().map(|key| Change {
        what: key.0.clone(),
        before: before.get(key).copied(),
        after: after.get(key).copied(),
    });
    let mut changed: Vec<Change<Arc<str>>> = all.filter(|change| change.before != change.after).collect();
    // The same on several schedulers is told once.
    changed.dedup();
    changed.sort_by_key(|change| std::cmp::Reverse(change.difference().unsigned_abs()));
    changed
}

/// Both allocations of a task whose future is boxed. One future may be spawned in several ways.
fn tasks(tasks: &[TaskSize]) -> BTreeMap<(Arc<str>, Option<&'static str>), u64> {
    let mut found = BTreeMap::new();
    for task in tasks {
        let bytes = found.entry((task.future.clone(), task.flavor)).or_insert(0);
        *bytes = task.all_bytes().max(*bytes);
    }
    found
}
