//! Types that hold as many futures as there happen to be: slices, vectors, rings, futures-util's list of futures,
//! tokio's set of tasks. How many there are only memory tells.

use super::bearing::MAX_SEARCH;
use super::recipe::{Arm, Child, Recipe, RecipeId, Recipes, Subject, switch_of};
use super::{FrameId, FrameKind};
use crate::dwarf::{DieRef, Type, TypeKind};
use crate::runtime::{FUTURES_UNORDERED, JOIN_SET, JoinSetLayout, Role, SHARED, places, role};

/// Elements side by side in memory.
pub(super) struct Row {
    data: u64,
    length: u64,
    ring: Option<Ring>,
    pub element: DieRef,
}

/// Of a `VecDeque`: where the index of its first element and its capacity are.
#[derive(Clone, Copy, Debug)]
pub struct Ring {
    pub first: u64,
    pub capacity: u64,
}

/// A `FuturesUnordered`: a doubly linked list of `Arc<Task<Fut>>`, newest first
/// (<https://github.com/rust-lang/futures-rs/blob/0.3.34/futures-util/src/stream/futures_unordered/task.rs>).
#[derive(Clone, Debug)]
pub struct List {
    pub frame: FrameId,
    /// Offset of the pointer to the first node, in the collection.
    pub head: u64,
    /// Offsets in a node, of which `length` counts the nodes from this one on where it is the first.
    pub next: u64,
    pub previous: u64,
    pub length: u64,
    /// Offset of the `Option<Fut>` in a node, what tells its variants apart, and which of them is `Some`.
    pub option: u64,
    pub variants: Box<Recipe>,
    pub some: usize,
    /// The future, from the node's start.
    pub future: Child,
}

/// A `JoinSet`: a leaf that waits for the end of any of its tasks.
#[derive(Clone, Debug)]
pub struct Tasks {
    pub frame: FrameId,
    pub layout: JoinSetLayout,
}

impl List {
    pub fn element(&self) -> RecipeId {
        self.future.recipe
    }
}

impl Recipes<'_, '_> {
    /// The recipe of a collection with a node of its own, or of a future that is polled through an `Arc`.
    pub(super) fn collection(&self, ty: &Type, path: &str) -> Option<Recipe> {
        if path.starts_with(FUTURES_UNORDERED) {
            return self.list(ty, path).map(Recipe::List);
        }
        if path.starts_with(JOIN_SET) {
            let layout = JoinSetLayout::of(self.program, ty.die).ok()?;
            let frame = self.frame(ty, path.to_owned(), FrameKind::Leaf);
            return Some(Recipe::Tasks(Tasks { frame, layout }));
        }
        if path.starts_with(SHARED) {
            let (offset, inner) = self.shared(ty)?;
            let recipe = self.id(Subject::awaited(inner));
            let child = Child { offset, deref: true, recipe, branch: None };
            let frame = self.frame(ty, path.to_owned(), FrameKind::Future);
            return Some(Recipe::Fixed(Arm::of(Some(frame), [child].into())));
        }
        None
    }

    /// Whether futures are reached in this type whatever its fields are.
    pub(super) fn is_collection(&self, ty: &Type, path: &str) -> bool {
        path.starts_with(FUTURES_UNORDERED)
            || path.starts_with(JOIN_SET)
            || (path.starts_with(SHARED) && self.shared(ty).is_some_and(|(_, inner)| self.bears(inner)))
    }

    fn list(&self, ty: &Type, path: &str) -> Option<List> {
        let head = ty.member("head_all")?;
        let node = self.pointee(head.ty)?;
        let at = |name| places(self.program, node, &[name]).map(|place| place.offset);
        let future = self.program.ty(ty.argument("Fut")?)?;
        let option = places(self.program, node, &["future"])?;
        let option_ty = self.inside(option.ty.die, |ty| ty.variants().is_some())?;
        let variants = option_ty.variants()?;
        let some = variants.list.iter().position(|v| &*v.payload.name == "Some")?;
        let payload = &variants.list[some].payload;
        let value = places(self.program, payload.ty, &["__0"])?;
        let offset = option.offset.checked_add(payload.offset)?.checked_add(value.offset)?;
        let recipe = self.id(Subject::awaited(future.die));
        Some(List {
            frame: self.frame(ty, path.to_owned(), FrameKind::Collection),
            head: head.offset,
            next: at("next_all")?,
            previous: at("prev_all")?,
            length: at("len_all")?,
            option: option.offset,
            variants: Box::new(switch_of(variants)),
            some,
            future: Child { offset, deref: false, recipe, branch: None },
        })
    }

    /// Of futures-util's `Shared`, whose clones all poll the one future in their `Arc`: where the pointer is, and what it
    /// points to (<https://github.com/rust-lang/futures-rs/blob/0.3.34/futures-util/src/future/future/shared.rs>).
    fn shared(&self, ty: &Type) -> Option<(u64, DieRef)> {
        let inner = ty.member("inner")?;
        let option = self.program.ty(inner.ty)?;
        let some = option.variants()?.list.iter().find(|v| &*v.payload.name == "Some")?;
        let arc = places(self.program, some.payload.ty, &["__0"])?;
        let offset = inner.offset.checked_add(some.payload.offset)?.checked_add(arc.offset)?;
        // A null pointer is the `None`, so the variant need not be looked at.
        (option.size == 8).then_some((offset, self.pointee(arc.ty.die)?))
    }

    /// What a pointer in any wrappers of its own size points to.
    fn pointee(&self, die: DieRef) -> Option<DieRef> {
        match self.inside(die, |ty| matches!(ty.kind, TypeKind::Pointer(_)))?.kind {
            TypeKind::Pointer(to) => to,
            _ => None,
        }
    }

    /// The first type that is `wanted`, looking through wrappers of one size.
    fn inside(&self, die: DieRef, wanted: impl Fn(&Type) -> bool) -> Option<std::sync::Arc<Type>> {
        let mut ty = self.program.ty(die)?;
        for _ in 0..MAX_SEARCH {
            if wanted(&ty) {
                return Some(ty);
            }
            let mut parts = ty.members.iter().filter_map(|m| self.program.ty(m.ty));
            ty = parts.find(|part| part.size == ty.size)?;
        }
        None
    }

    /// Boxed and borrowed slices, `Vec` and `VecDeque`.
    pub(super) fn row(&self, ty: &Type) -> Option<Row> {
        let is = |prefixes: &[&str]| prefixes.iter().any(|prefix| ty.name.starts_with(prefix));
        if is(&["Box<[", "alloc::boxed::Box<[", "&mut ["]) {
            let (data, length) = (ty.member("data_ptr")?, ty.member("length")?);
            let TypeKind::Pointer(Some(element)) = self.program.ty(data.ty)?.kind else { return None };
            return Some(Row { data: data.offset, length: length.offset, ring: None, element });
        }
        if !is(&["Vec<", "VecDeque<"]) || !self.program.path(ty).starts_with("alloc::") {
            return None;
        }
        let at = |names: &[&str]| places(self.program, ty.die, names).map(|place| place.offset);
        let ring = match ty.member("head") {
            Some(head) => Some(Ring { first: head.offset, capacity: at(&["buf", "cap"])? }),
            None => None,
        };
        let (data, length) = (at(&["buf", "ptr"])?, ty.member("len")?.offset);
        Some(Row { data, length, ring, element: ty.argument("T")? })
    }

    pub(super) fn row_recipe(&self, ty: &Type) -> Option<Recipe> {
        let Row { data, length, ring, element } = self.row(ty)?;
        let element = self.program.ty(element)?;
        let stride = element.size;
        let element = self.id(Subject::element(&element));
        Some(Recipe::Slice { data, length, ring, stride, element })
    }

    /// Whether futures in a row belong to this type: directly, or through what has no node of its own.
    pub(super) fn has_row(&self, die: DieRef, depth: usize) -> bool {
        let Some(ty) = self.program.ty(die).filter(|_| depth > 0) else { return false };
        if let Some(row) = self.row(&ty) {
            return self.bears(row.element);
        }
        if let TypeKind::Pointer(to) = ty.kind {
            return to.is_some_and(|to| self.bears(die) && self.has_row(to, depth - 1));
        }
        if let Some(variants) = ty.variants().filter(|_| ty.coroutine().is_none()) {
            let mut members = variants.list.iter().filter_map(|v| self.program.ty(v.payload.ty));
            return members.any(|payload| payload.members.iter().any(|m| self.has_row(m.ty, depth - 1)));
        }
        role(&self.program.path(&ty)) == Role::Transparent
            && ty.members.iter().any(|m| self.has_row(m.ty, depth - 1))
    }
}
