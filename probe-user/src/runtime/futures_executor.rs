//! Where the executors of the futures crates keep their tasks: boxed trait objects of a type of their own, `FutureObj`.
//!
//! A ThreadPool's task lies in its `WakeHandle` while it is idle, in the pool's queue while it is scheduled, and on a
//! thread's stack while it is polled
//! (<https://github.com/rust-lang/futures-rs/blob/0.3.31/futures-executor/src/thread_pool.rs>). A LocalPool has its
//! tasks in a `FuturesUnordered`
//! (<https://github.com/rust-lang/futures-rs/blob/0.3.31/futures-util/src/stream/futures_unordered/task.rs>).

use super::reflect::places;
use crate::dwarf::{DieRef, PoolType, Program, TypeKind};

/// `FutureObj` and `LocalFutureObj`: a fat pointer, and what drops it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FutureObjLayout {
    pub ty: DieRef,
    pub data: u64,
    pub vtable: u64,
}

impl FutureObjLayout {
    fn of(program: &Program<'_>, ty: DieRef) -> Option<Self> {
        let pointer = places(program, ty, &["future"])?;
        let part = |name: &str| pointer.ty.member(name).map(|m| pointer.offset.wrapping_add(m.offset));
        let data = part("pointer").or_else(|| part("data_ptr"))?;
        Some(FutureObjLayout { ty, data, vtable: part("vtable")? })
    }
}

/// An `Arc`'s pointer inside a value: where it is, and where its value lies in what it points to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArcPlace {
    pub at: u64,
    pub data: u64,
    pub target: DieRef,
}

impl ArcPlace {
    fn of(program: &Program<'_>, ty: DieRef, names: &[&str]) -> Option<Self> {
        let arc = places(program, ty, names)?;
        let pointer = places(program, arc.ty.die, &["ptr", "pointer"])?;
        let TypeKind::Pointer(Some(inner)) = pointer.ty.kind else { return None };
        let data = places(program, inner, &["data"])?;
        Some(ArcPlace { at: arc.offset.wrapping_add(pointer.offset), data: data.offset, target: data.ty.die })
    }
}

/// Where an `Option` says that it is `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vacant {
    pub at: u64,
    /// Bytes of the discriminant.
    pub width: u8,
    pub value: u64,
}

impl Vacant {
    fn of(program: &Program<'_>, option: DieRef, at: u64) -> Option<Self> {
        let option = program.ty(option)?;
        let variants = option.variants()?;
        let discriminant = variants.discriminant?;
        let none = variants.list.iter().find(|v| &*v.payload.name == "None")?;
        let (value, _) = none.values.first()?;
        Some(Vacant { at: at.wrapping_add(discriminant.offset), width: discriminant.width, value: *value })
    }
}

/// Offsets in a `WakeHandle`, and in the `Task` that it keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadPoolLayout {
    /// State of the handle's `UnparkMutex`.
    pub status: u64,
    /// The kept Task.
    pub task: u64,
    /// What says that it keeps none: before its first poll, and while it is polled.
    pub vacant: Vacant,
    /// Its pool, as the handle has it.
    pub pool: ArcPlace,
    /// Offset of the number of threads in the pool's state.
    pub threads: Option<u64>,
    pub future: u64,
    pub obj: FutureObjLayout,
    /// In the Task: its own handle, and its pool.
    pub handle: ArcPlace,
    pub task_pool: ArcPlace,
}

impl ThreadPoolLayout {
    pub fn of(program: &Program<'_>) -> Option<Self> {
        let handle = program.pool_type(PoolType::WakeHandle)?;
        let mutex = places(program, handle, &["mutex"])?;
        let inner = places(program, mutex.ty.die, &["inner", "value"])?;
        let task = payload(program, inner.ty.die, "Task")?;
        let future = places(program, task.1, &["future"])?;
        let obj = FutureObjLayout::of(program, future.ty.die)
            .or_else(|| FutureObjLayout::of(program, places(program, future.ty.die, &["__0"])?.ty.die))?;
        let pool = ArcPlace::of(program, handle, &["exec", "state"])?;
        let kept = mutex.offset.wrapping_add(inner.offset);
        Some(ThreadPoolLayout {
            status: mutex.offset.wrapping_add(places(program, mutex.ty.die, &["status"])?.offset),
            task: kept.wrapping_add(task.0),
            vacant: Vacant::of(program, inner.ty.die, kept)?,
            pool,
            threads: places(program, pool.target, &["size"]).map(|p| p.offset),
            future: future.offset,
            obj,
            handle: ArcPlace::of(program, task.1, &["wake_handle"])?,
            task_pool: ArcPlace::of(program, task.1, &["exec", "state"])?,
        })
    }
}

/// Offsets in a LocalPool's `Task<LocalFutureObj>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalPoolLayout {
    pub future: u64,
    pub obj: FutureObjLayout,
    pub next: u64,
    pub previous: u64,
    /// Woken, and in the queue of those to be polled.
    pub queued: u64,
    pub queue: ArcPlace,
    /// In the queue: its stub, which stands for "being inserted or polled" in `next`.
    pub stub: ArcPlace,
}

impl LocalPoolLayout {
    pub fn of(program: &Program<'_>) -> Option<Self> {
        let task = program.pool_type(PoolType::LocalTask)?;
        let find = |names: &[&str]| places(program, task, names);
        let slot = find(&["future", "value"])?;
        let future = payload(program, slot.ty.die, "LocalFutureObj<")?;
        let queue = ArcPlace::of(program, task, &["ready_to_run_queue"])?;
        Some(LocalPoolLayout {
            future: slot.offset.wrapping_add(future.0),
            obj: FutureObjLayout::of(program, future.1)?,
            next: find(&["next_all"])?.offset,
            previous: find(&["prev_all"])?.offset,
            queued: find(&["queued"])?.offset,
            queue,
            stub: ArcPlace::of(program, queue.target, &["stub"])?,
        })
    }
}

/// Offset and type of what `Option<T>` holds, where that type's name begins so.
fn payload(program: &Program<'_>, option: DieRef, name: &str) -> Option<(u64, DieRef)> {
    let option = program.ty(option)?;
    let some = option.variants()?.list.iter().find(|v| &*v.payload.name == "Some")?;
    let value = places(program, some.payload.ty, &["__0"])?;
    let offset = some.payload.offset.wrapping_add(value.offset);
    value.ty.name.starts_with(name).then_some((offset, value.ty.die))
}

/// States of an `UnparkMutex`
/// (<https://github.com/rust-lang/futures-rs/blob/0.3.31/futures-executor/src/unpark_mutex.rs>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnparkStatus {
    /// The task lies in its handle.
    Waiting,
    /// Scheduled, or being polled.
    Polling,
    /// Being polled, and woken meanwhile.
    Repoll,
    Complete,
}

impl UnparkStatus {
    pub fn of(word: u64) -> Option<Self> {
        let all =
            [UnparkStatus::Waiting, UnparkStatus::Polling, UnparkStatus::Repoll, UnparkStatus::Complete];
        all.get(usize::try_from(word).ok()?).copied()
    }
}
