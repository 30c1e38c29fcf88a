//! Where async-task keeps a task: header, schedule function, and a union of future and output, one after the other
//! (<https://github.com/smol-rs/async-task/blob/v4.7.1/src/raw.rs>). The executors on it (smol, async-executor,
//! async-global-executor, async-std, blocking) differ in the future they wrap and the schedule function they give.

use super::reflect::places;
use super::tokio::UnknownLayout;
use crate::dwarf::{DieRef, Program, Type, TypeKind};
use std::sync::Arc;

/// Offsets in one task allocation, from its start, which is what wakers and handles point to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawTaskLayout {
    pub size: u64,
    pub state: u64,
    pub vtable: u64,
    pub future: u64,
    /// None where no debug information with types tells it.
    pub future_ty: Option<DieRef>,
    pub slots: AsyncTaskSlots,
    /// Where the schedule function has its executor.
    pub executor: Option<ExecutorPointer>,
    /// Path of the schedule function's type: whose executor it is.
    pub schedule: Arc<str>,
    /// Entry of the task in its executor's list.
    pub registration: Option<Registration>,
    /// async-std's own id of the task.
    pub id: Option<u64>,
}

/// Slots of `TaskVTable`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AsyncTaskSlots {
    pub run: u64,
    /// The slot that points to a `TaskLayout`, and the offsets in that of the task's size and of its `offset_f`.
    pub layout: Option<(u64, u64, u64)>,
}

/// A pointer to an `async_executor::State`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExecutorPointer {
    /// Offset of the pointer in the task.
    pub at: u64,
    /// Offset of the State in what the pointer leads to: an `Arc` has its counts before it.
    pub data: u64,
}

/// Where `async_executor::State.active`, a slab of wakers, has the task: the future's wrapper knows its number there
/// (<https://github.com/smol-rs/async-executor/blob/v1.14.0/src/lib.rs>, `spawn_inner`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registration {
    pub executor: ExecutorPointer,
    /// Offset in the task of its number.
    pub index: u64,
    /// Offset in the State of the pointer to the slab's entries, and of their count.
    pub entries: u64,
    pub count: u64,
    /// Bytes of an entry.
    pub stride: u64,
}

impl RawTaskLayout {
    /// Without types: what rustc makes of 4.7 in every build so far, as far as finding a task needs it.
    pub fn untyped() -> Self {
        RawTaskLayout {
            size: 0,
            state: 8,
            vtable: 0,
            future: 0,
            future_ty: None,
            slots: AsyncTaskSlots { run: 5 * 8, layout: None },
            executor: None,
            schedule: "".into(),
            registration: None,
            id: None,
        }
    }

    /// Of a `RawTask<F, T, S, M>`, which is four pointers into the task.
    pub fn of(program: &Program<'_>, raw_task: DieRef) -> Result<Self, UnknownLayout> {
        let ty = program.ty(raw_task).ok_or(UnknownLayout { ty: "RawTask".into(), missing: "type" })?;
        let unknown = |missing| UnknownLayout { ty: program.path(&ty), missing };
        let pointee = |name: &'static str| pointee(program, &ty, name).ok_or(unknown(name));
        let (header, schedule) = (pointee("header")?, pointee("schedule")?);
        let (future, output) = (pointee("future")?, pointee("output")?);
        let find = |name: &'static str| places(program, header.die, &[name]).ok_or(unknown(name));
        let vtable = find("vtable")?;
        let TypeKind::Pointer(Some(table)) = vtable.ty.kind else { return Err(unknown("vtable")) };
        // As RawTask::eval_task_layout does.
        let aligned =
            |at: u64, align: u64| at.checked_next_multiple_of(align.max(1)).ok_or(unknown("layout"));
        let at_schedule = aligned(header.size, schedule.align)?;
        let union_align = future.align.max(output.align);
        let at_future = aligned(at_schedule.wrapping_add(schedule.size), union_align)?;
        let size = at_future.wrapping_add(future.size.max(output.size));
        let size = aligned(size, header.align.max(schedule.align).max(union_align))?;
        let executor = ExecutorPointer::of(program, schedule.die);
        Ok(RawTaskLayout {
            size,
            state: find("state")?.offset,
            vtable: vtable.offset,
            future: at_future,
            future_ty: Some(future.die),
            slots: AsyncTaskSlots::of(program, table).ok_or(unknown("run"))?,
            executor: executor.map(|(pointer, _)| pointer.within(at_schedule)),
            schedule: program.path(&schedule).into(),
            registration: Registration::of(program, future.die, at_future),
            id: async_std_id(program, future.die).map(|id| at_future.wrapping_add(id)),
        })
    }
}

/// What a member that is a thin pointer leads to.
fn pointee(program: &Program<'_>, ty: &Type, name: &str) -> Option<Arc<Type>> {
    match program.ty(ty.member(name)?.ty)?.kind {
        TypeKind::Pointer(Some(to)) => program.ty(to),
        _ => None,
    }
}

impl AsyncTaskSlots {
    fn of(program: &Program<'_>, table: DieRef) -> Option<Self> {
        let table = program.ty(table)?;
        let layout = || {
            // Before 4.4 a function told the layout.
            let layout = pointee(program, &table, "layout_info")?;
            let size = places(program, layout.die, &["layout", "size"])?.offset;
            Some((table.member("layout_info")?.offset, size, layout.member("offset_f")?.offset))
        };
        Some(AsyncTaskSlots { run: table.member("run")?.offset, layout: layout() })
    }
}

impl ExecutorPointer {
    /// Of a closure that captures `state: Arc<State>`, or a reference to one; and the type of the State.
    fn of(program: &Program<'_>, closure: DieRef) -> Option<(Self, DieRef)> {
        let state = places(program, closure, &["state"])?;
        if let TypeKind::Pointer(Some(to)) = state.ty.kind {
            return Some((ExecutorPointer { at: state.offset, data: 0 }, to));
        }
        let pointer = places(program, state.ty.die, &["ptr", "pointer"])?;
        let TypeKind::Pointer(Some(inner)) = pointer.ty.kind else { return None };
        let data = places(program, inner, &["data"])?;
        let at = state.offset.wrapping_add(pointer.offset);
        Some((ExecutorPointer { at, data: data.offset }, data.ty.die))
    }

    fn within(self, offset: u64) -> Self {
        ExecutorPointer { at: self.at.wrapping_add(offset), ..self }
    }
}

impl Registration {
    /// `future` is an `AsyncCallOnDrop<F, C>` at `at` in the task, its clean-up a closure with `state` and `index`.
    fn of(program: &Program<'_>, future: DieRef, at: u64) -> Option<Self> {
        let cleanup = places(program, future, &["cleanup"])?;
        let index = places(program, cleanup.ty.die, &["index"])?;
        let (executor, state) = ExecutorPointer::of(program, cleanup.ty.die)?;
        let base = at.wrapping_add(cleanup.offset);
        let active = places(program, state, &["active", "data", "value", "entries"])?;
        let buffer = places(program, active.ty.die, &["buf", "inner", "ptr", "pointer"])?;
        let count = places(program, active.ty.die, &["len"])?;
        Some(Registration {
            executor: executor.within(base),
            index: base.wrapping_add(index.offset),
            entries: active.offset.wrapping_add(buffer.offset),
            count: active.offset.wrapping_add(count.offset),
            stride: program.ty(active.ty.argument("T")?)?.size,
        })
    }
}

/// async-std wraps what it spawns with the task's id and locals
/// (<https://github.com/async-rs/async-std/blob/v1.13.0/src/task/builder.rs>, `SupportTaskLocals`).
fn async_std_id(program: &Program<'_>, future: DieRef) -> Option<u64> {
    let id = |names: &[&str]| {
        places(program, future, names).filter(|id| &*id.ty.name == "TaskId").map(|id| id.offset)
    };
    id(&["future", "tag", "task", "id"]).or_else(|| id(&["tag", "task", "id"]))
}

/// The task's state word (<https://github.com/smol-rs/async-task/blob/v4.7.1/src/state.rs>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AsyncTaskWord(pub u64);

impl AsyncTaskWord {
    pub fn scheduled(self) -> bool {
        self.0 & 1 != 0
    }
    pub fn running(self) -> bool {
        self.0 & 2 != 0
    }
    pub fn completed(self) -> bool {
        self.0 & 4 != 0
    }
    /// Cancelled, or its output was taken.
    pub fn closed(self) -> bool {
        self.0 & 8 != 0
    }
    /// Its `Task` handle still exists.
    pub fn has_handle(self) -> bool {
        self.0 & 0x10 != 0
    }
    pub fn references(self) -> u64 {
        self.0 >> 8
    }
    /// What freed or foreign memory is not: something refers to it, and it does not run once it is complete.
    pub fn plausible(self) -> bool {
        self.references() < 1 << 24
            && (self.references() > 0 || self.has_handle())
            && !(self.completed() && (self.running() || self.scheduled()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_living_and_of_freed_memory() {
        let fresh = AsyncTaskWord(0x111);
        assert!(fresh.plausible() && fresh.scheduled() && fresh.has_handle() && fresh.references() == 1);
        // Complete, its output taken by a handle that is about to go.
        assert!(AsyncTaskWord(0x1c).plausible());
        for word in [0, 0x7f3a_1234_5670, 0x106, 0x105] {
            assert!(!AsyncTaskWord(word).plausible(), "{word:#x}");
        }
    }
}
