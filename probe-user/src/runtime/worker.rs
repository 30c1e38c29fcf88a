//! Which worker of which scheduler a thread is, by member name of what its CONTEXT leads to
//! (<https://github.com/tokio-rs/tokio/blob/tokio-1.54.1/tokio/src/runtime/scheduler/multi_thread/worker.rs>, `Context` and `Core`;
//! `current_thread/mod.rs` beside it).

use super::reflect::{Reflect, places};
use crate::dwarf::{DieRef, Type};
use crate::target::{Avma, Memory};
use std::sync::Arc;

/// A thread that is inside of a scheduler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadWorker {
    /// The scheduler's `Arc`.
    pub scheduler: Avma,
    /// None of a scheduler with one thread.
    pub worker: Option<u32>,
    /// How often it has gone for its next task, in the `Core`; it wraps. None where the thread has none: it has given it to
    /// another one (`block_in_place`), or is parked.
    pub tick: Option<u32>,
}

/// `context`: the thread's own static, of type `ty`. None where it is inside of no scheduler.
pub fn thread_worker<M: Memory + ?Sized>(
    reflect: &Reflect<'_, '_, M>,
    context: Avma,
    ty: DieRef,
) -> Option<ThreadWorker> {
    let mut found = None;
    scheduler_contexts(reflect, context, ty, &mut |at, ty| {
        if found.is_none() {
            found = in_context(reflect, at, ty);
        }
    });
    found
}

/// The `multi_thread::Context` or `current_thread::Context` of the scheduler that a thread is inside of, with its type. `context`:
/// the thread's own static, of type `ty`.
pub(super) fn scheduler_contexts<M: Memory + ?Sized>(
    reflect: &Reflect<'_, '_, M>,
    context: Avma,
    ty: DieRef,
    each: &mut dyn FnMut(Avma, &Arc<Type>),
) {
    reflect.visit(context, ty, &mut |at, ty: &Arc<Type>| {
        if !ty.name.starts_with("Scoped<tokio::runtime::scheduler::Context") {
            return false;
        }
        if let Some(shared) = reflect.pointee(at, ty)
            && let Some(context) = shared.ty
        {
            reflect.visit(shared.address, context, &mut |at, ty: &Arc<Type>| {
                let is_one = ty.member("core").is_some();
                if is_one {
                    each(at, ty);
                }
                is_one
            });
        }
        true
    });
}

/// Of `multi_thread::Context` or `current_thread::Context`.
fn in_context<M: Memory + ?Sized>(
    reflect: &Reflect<'_, '_, M>,
    at: Avma,
    ty: &Arc<Type>,
) -> Option<ThreadWorker> {
    let program = reflect.program;
    let number = |at: Avma, ty: DieRef, name: &str| {
        let place = places(program, ty, &[name])?;
        let width = u8::try_from(place.ty.size).ok().filter(|width| matches!(width, 4 | 8))?;
        reflect.number(at.offset(place.offset), width)
    };
    // An `Option<Box<Core>>`: null for None.
    let kept = ty.member("core")?;
    let core = reflect.pointee(at.offset(kept.offset), &program.ty(kept.ty)?);
    let core = core.filter(|core| !core.address.is_null());
    let tick = core.and_then(|core| number(core.address, core.ty?, "tick")).map(|tick| tick as u32);
    let scheduler = |at: Avma, ty: DieRef| {
        let place = places(program, ty, &["handle"])?;
        reflect.number(at.offset(place.offset), 8).map(Avma)
    };
    if ty.member("worker").is_none() {
        return Some(ThreadWorker { scheduler: scheduler(at, ty.die)?, worker: None, tick });
    }
    let worker = reflect.shared(at, ty.die, &["worker"])?;
    let index = number(worker.address, worker.ty?, "index")?;
    let scheduler = scheduler(worker.address, worker.ty?)?;
    Some(ThreadWorker { scheduler, worker: Some(u32::try_from(index).ok()?), tick })
}
