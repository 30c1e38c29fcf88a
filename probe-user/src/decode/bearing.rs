//! Which types hold futures: found by looking through them, once per type.

use super::Recipes;
use crate::dwarf::{DieRef, Type, TypeKind};
use crate::runtime::{Role, is_closure, is_handle, role};

/// Deepest nesting by value that is searched for futures.
pub(super) const MAX_SEARCH: usize = 24;

impl Recipes<'_, '_> {
    /// `Box<dyn Future>`, `&mut dyn Future`: offsets of data pointer and vtable pointer.
    pub(super) fn trait_object(&self, ty: &Type) -> Option<(u64, u64)> {
        if !ty.name.contains("dyn ") || ty.size != 16 {
            return None;
        }
        let future = ty.name.contains("Future<") || ty.name.contains("Stream<");
        let data = ty.member("pointer").or_else(|| ty.member("data_ptr"))?;
        let vtable = ty.member("vtable")?;
        future.then_some((data.offset, vtable.offset))
    }

    /// A future by its own type (through pins and boxes), not a struct that merely has one somewhere.
    pub(super) fn is_future(&self, die: DieRef, depth: usize) -> bool {
        let Some(ty) = self.program.ty(die).filter(|_| depth > 0) else { return false };
        if ty.coroutine().is_some() || self.trait_object(&ty).is_some() {
            return true;
        }
        if let TypeKind::Pointer(to) = ty.kind {
            return owning_pointer(&ty.name) && to.is_some_and(|to| self.is_future(to, depth - 1));
        }
        let path = self.program.path(&ty);
        match role(&path) {
            Role::Leaf => !is_handle(&path),
            Role::Transparent if !is_closure(&path) => {
                let payloads = ty.variants().into_iter().flat_map(|v| v.list.iter().map(|v| v.payload.ty));
                let mut parts = ty.members.iter().map(|m| m.ty).chain(payloads);
                parts.any(|part| self.is_future(part, depth - 1))
            }
            _ => {
                let combinator = ty.name.starts_with("Timeout<") || path.starts_with("futures_util::");
                combinator && self.bears(die)
            }
        }
    }

    /// What is spawned is a future, also where nothing in its type says so.
    pub(super) fn is_spawned(&self, die: DieRef) {
        self.bears.write().expect("no panic while held").insert(die, true);
    }

    /// Whether a future can be reached in this type, by value or through a pointer that owns or borrows it.
    pub(super) fn bears(&self, die: DieRef) -> bool {
        self.bears_within(die, MAX_SEARCH)
    }

    fn bears_within(&self, die: DieRef, depth: usize) -> bool {
        if let Some(known) = self.bears.read().expect("no panic while held").get(&die) {
            return *known;
        }
        let Some(ty) = self.program.ty(die).filter(|_| depth > 0) else { return false };
        let answer = self.bears_fresh(&ty, depth);
        // An answer from the end of the search is not the type's own.
        if answer || depth == MAX_SEARCH {
            self.bears.write().expect("no panic while held").insert(die, answer);
        }
        answer
    }

    fn bears_fresh(&self, ty: &Type, depth: usize) -> bool {
        if ty.coroutine().is_some() || self.trait_object(ty).is_some() {
            return true;
        }
        if ty.size == 0 || matches!(ty.kind, TypeKind::Base) {
            return false;
        }
        if let TypeKind::Pointer(to) = ty.kind {
            return owning_pointer(&ty.name) && to.is_some_and(|to| self.bears_within(to, depth - 1));
        }
        let path = self.program.path(ty);
        if role(&path) == Role::Leaf || self.is_collection(ty, &path) {
            return true;
        }
        if let Some(row) = self.row(ty) {
            return self.bears_within(row.element, depth - 1);
        }
        let payloads = ty.variants().into_iter().flat_map(|v| v.list.iter().map(|v| v.payload.ty));
        ty.members.iter().map(|m| m.ty).chain(payloads).any(|part| self.bears_within(part, depth - 1))
    }
}

/// Raw pointers and shared references lead to things that others poll.
fn owning_pointer(name: &str) -> bool {
    name.starts_with("alloc::boxed::Box<") || name.starts_with("&mut ")
}
