//! Which task a thread polls: tokio's thread-local CONTEXT says so while it does
//! (<https://github.com/tokio-rs/tokio/blob/tokio-1.54.1/tokio/src/runtime/context.rs>, `current_task_id`; set and taken back
//! by `TaskIdGuard` around each poll, in runtime/task/core.rs).

use super::reflect::{Place, Reflect, places};
use crate::dwarf::{DieRef, Program, Type};
use crate::target::{Avma, Memory};
use std::sync::Arc;

/// Where one thread's `Option<task::Id>` lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CurrentTask {
    /// Eight bytes: the id.
    pub id: Avma,
    /// Eight bytes that are 0 for `None`, where ids may be 0 themselves, as in older versions.
    pub tag: Option<Avma>,
}

impl CurrentTask {
    /// `context`: the thread's own static, of type `ty`. None where this tokio keeps no such id, or the static is not made yet.
    pub fn of<M: Memory + ?Sized>(
        reflect: &Reflect<'_, '_, M>,
        context: Avma,
        ty: DieRef,
    ) -> Option<CurrentTask> {
        const NAME: &str = "current_task_id";
        let mut found = None;
        reflect.visit(context, ty, &mut |at, ty: &Arc<Type>| {
            if found.is_none() && ty.member(NAME).is_some() {
                found = places(reflect.program, ty.die, &[NAME]).and_then(|cell| {
                    let option = option_in(reflect.program, cell)?;
                    Self::in_option(reflect.program, at, &option)
                });
            }
            found.is_some()
        });
        found
    }

    fn in_option(program: &Program<'_>, at: Avma, option: &Place) -> Option<CurrentTask> {
        const WORD: u64 = 8;
        let at = at.offset(option.offset);
        let variants = option.ty.variants()?;
        let some = variants.list.iter().find(|variant| {
            &*variant.payload.name == "Some"
                || program.ty(variant.payload.ty).is_some_and(|t| &*t.name == "Some")
        })?;
        let value = program.ty(some.payload.ty)?.members.first()?.offset;
        let id = at.offset(some.payload.offset.checked_add(value)?);
        let discriminant = variants.discriminant?;
        let tag = match option.ty.size {
            WORD => None,
            size if size == 2 * WORD && u64::from(discriminant.width) == WORD => {
                Some(at.offset(discriminant.offset))
            }
            _ => return None,
        };
        Some(CurrentTask { id, tag })
    }
}

/// `Cell<Option<Id>>` → `Option<Id>`.
fn option_in(program: &Program<'_>, mut at: Place) -> Option<Place> {
    for _ in 0..8 {
        if at.ty.variants().is_some() {
            return Some(at);
        }
        let inner = at.ty.members.first()?;
        at = Place { offset: at.offset.checked_add(inner.offset)?, ty: program.ty(inner.ty)? };
    }
    None
}
