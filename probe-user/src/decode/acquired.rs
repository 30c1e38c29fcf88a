//! Where a guard was taken: where its local is declared, as long as nothing else can have put it there.

use super::SourceLine;
use super::holds::RawHold;
use super::recipe::Recipes;
use super::relations::Claims;
use crate::dwarf::{DieRef, LocalVariable, Type};
use std::collections::HashMap;

/// One local in one state of one coroutine.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Local {
    owner: DieRef,
    name: Box<str>,
    /// The guard is a part of it: it may have been taken elsewhere, and moved there.
    inside: bool,
    guard: DieRef,
    suspend_point: u32,
}

pub(super) fn fill_in(recipes: &Recipes<'_, '_>, all: &mut [Claims]) {
    let mut known: HashMap<Local, Option<SourceLine>> = HashMap::new();
    for raw in all.iter_mut().flat_map(|claims| &mut claims.holds) {
        if let Some(local) = local(raw) {
            let place = known.entry(local).or_insert_with_key(|local| place(recipes, local));
            raw.hold.acquired_at.clone_from(place);
        }
    }
}

fn local(raw: &RawHold) -> Option<Local> {
    let (name, inside) =
        raw.hold.local.split_once('.').map_or((&*raw.hold.local, false), |(name, _)| (name, true));
    let named = !name.starts_with("__");
    let wanted = named && !raw.gone && raw.hold.role.is_guard();
    let (owner, guard, suspend_point) = (raw.owner?, raw.guard?, raw.suspend_point?);
    wanted.then(|| Local { owner, name: name.into(), inside, guard, suspend_point })
}

fn place(recipes: &Recipes<'_, '_>, local: &Local) -> Option<SourceLine> {
    let program = recipes.program;
    let ty = program.ty(local.owner).filter(|ty| ty.coroutine().is_some())?;
    let guard = program.ty(local.guard)?;
    let locals = program.locals(&ty);
    let fits = |one: &&LocalVariable| local.inside || head(&one.ty) == head(&guard.name);
    let mut of_name = locals.iter().filter(|one| *one.name == *local.name).filter(fits);
    let found = of_name.next()?;
    if of_name.any(|other| other.line != found.line) {
        return None;
    }
    // A lock that was awaited later, on a line that declares nothing, may have been put into the same local.
    let declared = |line: u32| locals.iter().any(|one| one.line == line && !one.name.starts_with("__"));
    let awaited = awaited_locks(recipes, &ty, local.suspend_point);
    if local.inside && !awaited.contains(&found.line) {
        return None;
    }
    let again = awaited.into_iter().any(|line| line > found.line && !declared(line));
    (!again).then(|| SourceLine { file: found.file.clone(), line: found.line })
}

/// A type's name without its arguments.
fn head(name: &str) -> &str {
    name.split('<').next().unwrap_or(name)
}

/// Lines of the awaits before this one whose futures are those of a lock.
fn awaited_locks(recipes: &Recipes<'_, '_>, ty: &Type, before: u32) -> Vec<u32> {
    let program = recipes.program;
    let Some(variants) = ty.variants() else { return Vec::new() };
    let line = |variant: &crate::dwarf::Variant| {
        let payload = program.ty(variant.payload.ty)?;
        let number: u32 = payload.name.strip_prefix("Suspend")?.parse().ok()?;
        let awaitee = program.path(&*program.ty(payload.member("__awaitee")?.ty)?);
        let lock = ["mutex::", "rwlock::", "semaphore::"].iter().any(|part| awaitee.contains(part));
        program.place(variant.payload.decl?).map(|(_, line)| line).filter(|_| lock && number < before)
    };
    variants.list.iter().filter_map(line).collect()
}
