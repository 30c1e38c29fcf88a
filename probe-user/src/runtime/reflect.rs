//! Values of the target seen through their DWARF types.

use crate::dwarf::{DieRef, Program, Type, TypeKind};
use crate::target::{Avma, Memory};
use std::sync::Arc;

/// Longest slice that is walked; a longer length is a torn read or a hostile target.
const MAX_SLICE: u64 = 1 << 16;
/// Deepest nesting of values by value.
const MAX_NESTING: usize = 24;

/// A part of a type: its offset and its own type.
#[derive(Clone, Debug)]
pub struct Place {
    pub offset: u64,
    pub ty: Arc<Type>,
}

/// Follows member names from `ty`; a name may be missing at a level that is only a wrapper
/// (`UnsafeCell`, loom's or std's cells, newtypes): wrappers of one member are looked through.
pub fn places(program: &Program<'_>, ty: DieRef, names: &[&str]) -> Option<Place> {
    let mut at = Place { offset: 0, ty: program.ty(ty)? };
    for name in names {
        let mut steps = 0;
        loop {
            if let Some(member) = at.ty.member(name) {
                at = Place { offset: at.offset.checked_add(member.offset)?, ty: program.ty(member.ty)? };
                break;
            }
            steps += 1;
            let inner = at.ty.members.iter().find(|m| program.ty(m.ty).is_some_and(|t| t.size > 0))?;
            if steps > MAX_NESTING || program.ty(inner.ty)?.size != at.ty.size {
                return None;
            }
            at = Place { offset: at.offset.checked_add(inner.offset)?, ty: program.ty(inner.ty)? };
        }
    }
    Some(at)
}

/// Reads a live value by its type.
pub struct Reflect<'r, 'a, M: Memory + ?Sized> {
    pub program: &'r Program<'a>,
    pub memory: &'r M,
}

impl<M: Memory + ?Sized> Reflect<'_, '_, M> {
    /// An unsigned number of 1, 2, 4 or 8 bytes.
    pub fn number(&self, at: Avma, width: u8) -> Option<u64> {
        let mut bytes = [0; 8];
        let width = usize::from(width).min(8);
        self.memory.read(at, &mut bytes[..width]).ok()?;
        Some(u64::from_le_bytes(bytes))
    }

    /// Visits every value inside the one at `at`, by value and through boxed slices, taking of an enum only its
    /// active variant. `visit` returns true to stop descending there.
    pub fn visit(&self, at: Avma, ty: DieRef, visit: &mut dyn FnMut(Avma, &Arc<Type>) -> bool) {
        self.visit_within(at, ty, visit, MAX_NESTING);
    }

    fn visit_within(
        &self,
        at: Avma,
        ty: DieRef,
        visit: &mut dyn FnMut(Avma, &Arc<Type>) -> bool,
        depth: usize,
    ) {
        let Some(ty) = self.program.ty(ty).filter(|ty| ty.size > 0 && depth > 0) else { return };
        if visit(at, &ty) {
            return;
        }
        if ty.name.starts_with("alloc::boxed::Box<[") {
            self.visit_slice(at, &ty, visit, depth - 1);
            return;
        }
        if let TypeKind::Enum(variants) = &ty.kind {
            let value = match variants.discriminant {
                Some(d) => self.number(at.offset(d.offset), d.width),
                None => Some(0),
            };
            if let Some(active) = value.and_then(|v| variants.select(v)).map(|i| &variants.list[i].payload) {
                self.visit_within(at.offset(active.offset), active.ty, visit, depth - 1);
            }
        }
        for member in &ty.members {
            self.visit_within(at.offset(member.offset), member.ty, visit, depth - 1);
        }
    }

    fn visit_slice(
        &self,
        at: Avma,
        ty: &Type,
        visit: &mut dyn FnMut(Avma, &Arc<Type>) -> bool,
        depth: usize,
    ) {
        let read = || {
            let data = ty.member("data_ptr")?;
            let TypeKind::Pointer(Some(element)) = self.program.ty(data.ty)?.kind else { return None };
            let base = Avma(self.number(at.offset(data.offset), 8)?);
            let length = self.number(at.offset(ty.member("length")?.offset), 8)?;
            Some((base, element, length, self.program.ty(element)?.size))
        };
        let Some((base, element, length, size)) = read().filter(|(_, _, length, _)| *length <= MAX_SLICE)
        else {
            return;
        };
        for i in 0..length {
            self.visit_within(base.offset(i.wrapping_mul(size)), element, visit, depth);
        }
    }
}
