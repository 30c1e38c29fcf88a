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

/// The first part of `ty`, by value and breadth first, that `is` accepts by its member name and type. Enters `Some` of an
/// Option as well: whether there is one, the value tells.
pub fn part(program: &Program<'_>, ty: DieRef, is: &dyn Fn(&str, &Type) -> bool) -> Option<Place> {
    const PARTS: usize = 256;
    let mut queue = std::collections::VecDeque::from([(Place { offset: 0, ty: program.ty(ty)? }, 0)]);
    let mut seen = 0;
    while let Some((at, depth)) = queue.pop_front() {
        let some = at
            .ty
            .variants()
            .and_then(|v| v.list.iter().find(|v| &*v.payload.name == "Some" || v.payload.name.len() == 1));
        let payload = some.map(|variant| &variant.payload);
        for member in at.ty.members.iter().chain(payload) {
            let Some(ty) = program.ty(member.ty).filter(|ty| ty.size > 0) else { continue };
            let place = Place { offset: at.offset.checked_add(member.offset)?, ty };
            if is(&member.name, &place.ty) {
                return Some(place);
            }
            seen += 1;
            if seen > PARTS {
                return None;
            }
            if depth < MAX_NESTING {
                queue.push_back((place, depth + 1));
            }
        }
    }
    None
}

/// What a reference or an `Arc` leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shared {
    pub address: Avma,
    /// None behind a fat pointer.
    pub ty: Option<DieRef>,
}

/// A pointer on the way to what is shared.
#[derive(Clone, Copy, Debug)]
struct Hop {
    /// Of the pointer, from the value.
    offset: u64,
    /// From where it points to; behind an `Arc`'s counts.
    behind: u64,
}

impl Hop {
    /// Through the first pointer in a value of this type, which lies `at` bytes from where it is counted; and what it leads to.
    fn of(program: &Program<'_>, at: u64, ty: &Arc<Type>) -> Option<(Hop, Option<DieRef>)> {
        let pointer = match ty.kind {
            TypeKind::Pointer(_) => Place { offset: 0, ty: ty.clone() },
            _ => part(program, ty.die, &|_, ty| matches!(ty.kind, TypeKind::Pointer(_)))?,
        };
        let TypeKind::Pointer(to) = pointer.ty.kind else { return None };
        let offset = at.checked_add(pointer.offset)?;
        let to_type = to.and_then(|to| program.ty(to));
        let counted = |ty: &Arc<Type>| ty.name.starts_with("ArcInner<") || ty.name.starts_with("RcInner<");
        if let Some(inner) = to_type.filter(counted) {
            let data = inner.member("data").or_else(|| inner.member("value"))?;
            return Some((Hop { offset, behind: data.offset }, Some(data.ty)));
        }
        Some((Hop { offset, behind: 0 }, to))
    }

    fn take<M: Memory + ?Sized>(self, memory: &M, at: Avma) -> Option<Avma> {
        let address = Avma(memory.read_u64(at.offset(self.offset)).ok()?);
        (!address.is_null()).then(|| address.offset(self.behind))
    }
}

/// The way from values of one type to what they share with others.
#[derive(Clone, Debug)]
pub struct Route {
    hops: Box<[Hop]>,
    /// Of what it leads to.
    ty: Option<DieRef>,
}

impl Route {
    /// Follows member names (through wrappers and the `Some` of Options; `*` follows a pointer), then the pointer found
    /// there. Without names, the value itself is what is meant.
    pub fn new(program: &Program<'_>, ty: DieRef, names: &[&str]) -> Option<Route> {
        let mut place = Place { offset: 0, ty: program.ty(ty)? };
        if names.is_empty() {
            return Some(Route { hops: Box::default(), ty: Some(ty) });
        }
        let mut hops = Vec::new();
        for name in names {
            if *name == "*" {
                let (hop, to) = Hop::of(program, place.offset, &place.ty)?;
                hops.push(hop);
                place = Place { offset: 0, ty: program.ty(to?)? };
                continue;
            }
            let next = part(program, place.ty.die, &|member, _| member == *name)?;
            place = Place { offset: place.offset.checked_add(next.offset)?, ty: next.ty };
        }
        let (hop, ty) = Hop::of(program, place.offset, &place.ty)?;
        hops.push(hop);
        Some(Route { hops: hops.into(), ty })
    }

    /// From the value at `at`. None where a pointer is null or cannot be read.
    pub fn follow<M: Memory + ?Sized>(&self, memory: &M, at: Avma) -> Option<Shared> {
        let address = self.hops.iter().try_fold(at, |at, hop| hop.take(memory, at))?;
        Some(Shared { address, ty: self.ty })
    }
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

    /// Follows member names from a value, as [`Route::new`] does. Where many values of one type are asked, a route is
    /// made once.
    pub fn shared(&self, at: Avma, ty: DieRef, names: &[&str]) -> Option<Shared> {
        Route::new(self.program, ty, names)?.follow(self.memory, at)
    }

    /// Behind `&T`, `Box<T>`, `Arc<T>`, `Rc<T>`, or an Option of them.
    pub fn pointee(&self, at: Avma, ty: &Arc<Type>) -> Option<Shared> {
        let (hop, ty) = Hop::of(self.program, 0, ty)?;
        Some(Shared { address: hop.take(self.memory, at)?, ty })
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
