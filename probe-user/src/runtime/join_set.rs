//! Which tasks a tokio `JoinSet` waits for. It keeps their handles in two lists, of idle tasks and of those that have
//! ended (<https://github.com/tokio-rs/tokio/blob/tokio-1.54.1/tokio/src/util/idle_notified_set.rs>).

use super::reflect::{Reflect, places};
use super::tokio::UnknownLayout;
use crate::dwarf::{DieRef, Program, TypeKind};
use crate::target::{Avma, Memory};

/// Tasks of one set that are listed.
const MAX_JOINED: usize = 1024;
/// More tasks than any memory holds.
const MAX_LENGTH: u64 = 1 << 32;

/// Where the handles of a `JoinSet` are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinSetLayout {
    /// Offset of the pointer to the shared lists, in the set.
    lists: u64,
    length: u64,
    /// Offsets of the heads, from where that pointer points.
    heads: [u64; 2],
    /// Offsets in an entry.
    next: u64,
    header: u64,
}

/// The tasks of a set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Joined {
    /// Addresses of their Headers: first of those that have ended and are not taken yet, then of the others.
    pub headers: Vec<Avma>,
    /// How many there are; None where that could not be read or makes no sense.
    pub length: Option<u64>,
}

impl Joined {
    /// Every task of the set is listed.
    pub fn is_whole(&self) -> bool {
        self.length == Some(self.headers.len() as u64)
    }
}

impl JoinSetLayout {
    /// Of the type `tokio::task::join_set::JoinSet<T>`.
    ///
    /// # Errors
    /// Names the member that is missing.
    pub fn of(program: &Program<'_>, join_set: DieRef) -> Result<Self, UnknownLayout> {
        let path = program.ty(join_set).map(|ty| program.path(&ty)).unwrap_or_default();
        let unknown = |missing| UnknownLayout { ty: path.clone(), missing };
        let find = |from: DieRef, names: &[&'static str]| {
            places(program, from, names).ok_or(unknown(names.last().copied().unwrap_or("member")))
        };
        let to = |place: super::Place, missing| match place.ty.kind {
            TypeKind::Pointer(Some(to)) => Ok(to),
            _ => Err(unknown(missing)),
        };
        let lists = find(join_set, &["inner", "lists", "ptr", "pointer"])?;
        let (at, length) = (lists.offset, find(join_set, &["inner", "length"])?.offset);
        // The `Mutex` is std's or parking_lot's; both keep what they guard in `data`.
        let mutex = find(to(lists, "lists")?, &["data"])?;
        let guarded = find(mutex.ty.die, &["data"]).or_else(|_| find(mutex.ty.die, &["inner", "data"]))?;
        let base = mutex.offset.wrapping_add(guarded.offset);
        let head = |list: &'static str| {
            let list = find(guarded.ty.die, &[list])?;
            let head = find(list.ty.die, &["head"])?;
            Ok((base.wrapping_add(list.offset).wrapping_add(head.offset), head))
        };
        let ((notified, head_ty), (idle, _)) = (head("notified")?, head("idle")?);
        let entry = entry(program, &head_ty.ty).ok_or(unknown("head"))?;
        Ok(JoinSetLayout {
            lists: at,
            length,
            heads: [notified, idle],
            next: find(entry, &["pointers", "next"])?.offset,
            header: find(entry, &["value", "raw", "ptr"])?.offset,
        })
    }

    /// The tasks of the set at `at`, at most so many; a list that is changing may be cut short.
    pub fn joined<M: Memory + ?Sized>(&self, reflect: &Reflect<'_, '_, M>, at: Avma) -> Joined {
        let length = reflect.number(at.offset(self.length), 8).filter(|length| *length <= MAX_LENGTH);
        let mut joined = Joined { headers: Vec::new(), length };
        let Some(lists) = reflect.number(at.offset(self.lists), 8).filter(|p| *p != 0).map(Avma) else {
            return joined;
        };
        let most = length.map_or(0, |length| length.min(MAX_JOINED as u64) as usize);
        for head in self.heads {
            let mut entry = reflect.number(lists.offset(head), 8);
            // No more entries than the set has: a cycle ends as well.
            while let Some(at) = entry.filter(|p| *p != 0).map(Avma)
                && joined.headers.len() < most
            {
                let header = reflect.number(at.offset(self.header), 8).filter(|p| *p != 0);
                joined.headers.extend(header.map(Avma));
                entry = header.and_then(|_| reflect.number(at.offset(self.next), 8));
            }
        }
        joined
    }
}

/// `Option<NonNull<ListEntry<T>>>` → `ListEntry<T>`.
fn entry(program: &Program<'_>, option: &crate::dwarf::Type) -> Option<DieRef> {
    let some = option.variants()?.list.iter().find(|v| &*v.payload.name == "Some")?;
    let pointer = places(program, some.payload.ty, &["__0", "pointer"])?;
    match pointer.ty.kind {
        TypeKind::Pointer(to) => to,
        _ => None,
    }
}
