//! Where tokio keeps its tasks: the task Cell, the scheduler's list of owned tasks, the thread-local context.
//! Read by member name, so that one description serves 1.2x to 1.5x, whose offsets all differ
//! (<https://github.com/tokio-rs/tokio/blob/tokio-1.54.1/tokio/src/runtime/task/core.rs>).

use super::reflect::{Reflect, part, places};
use crate::dwarf::{DieRef, Program, Type, TypeKind};
use crate::target::{Avma, Memory};
use thiserror::Error;

#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error("unknown layout of {ty}: no `{missing}`")]
pub struct UnknownLayout {
    pub ty: String,
    pub missing: &'static str,
}

/// Offsets in one task allocation, from its start, which is the Header's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CellLayout {
    pub size: u64,
    pub align: u64,
    pub state: u64,
    pub vtable: u64,
    pub owner_id: Option<u64>,
    pub id: u64,
    pub scheduler: u64,
    pub scheduler_ty: DieRef,
    pub stage: u64,
    pub stage_ty: DieRef,
    /// The spawned future.
    pub future_ty: DieRef,
    pub trailer: u64,
    /// Next task in the scheduler's list.
    pub next: u64,
    /// Where the task was spawned; only builds with `tokio_unstable` keep it.
    pub spawned_at: Option<SpawnedAt>,
}

/// How to read a `&'static core::panic::Location`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpawnedAt {
    /// Of the reference, in the Cell.
    reference: u64,
    /// In the `Location`: the file's name, its length, the line.
    file: u64,
    length: u64,
    line: u64,
}

impl SpawnedAt {
    fn of(program: &Program<'_>, cell: DieRef) -> Option<Self> {
        let reference = places(program, cell, &["core", "spawned_at"])?;
        let location = part(program, reference.ty.die, &|_, ty| matches!(ty.kind, TypeKind::Pointer(_)));
        let pointer = location.map_or(reference.ty.clone(), |place| place.ty);
        let TypeKind::Pointer(Some(location)) = pointer.kind else { return None };
        let find =
            |wanted: &str| part(program, location, &|name, _| name == wanted).map(|place| place.offset);
        Some(SpawnedAt {
            reference: reference.offset,
            file: find("data_ptr")?,
            length: find("length")?,
            line: find("line")?,
        })
    }

    /// File and line; `task` is the Header's address.
    pub fn read<M: Memory + ?Sized>(&self, memory: &M, task: Avma) -> Option<(String, u32)> {
        /// No path is longer (PATH_MAX in linux/limits.h).
        const LONGEST: u64 = 4096;
        let location = Avma(memory.read_u64(task.offset(self.reference)).ok()?);
        let file = Avma(memory.read_u64(location.offset(self.file)).ok()?);
        let length =
            memory.read_u64(location.offset(self.length)).ok().filter(|n| (1..=LONGEST).contains(n))?;
        let mut name = vec![0; length as usize];
        memory.read(file, &mut name).ok()?;
        let mut line = [0; 4];
        memory.read(location.offset(self.line), &mut line).ok()?;
        Some((String::from_utf8(name).ok()?, u32::from_le_bytes(line)))
    }
}

/// The oldest tokio whose tasks are laid out in a way that [`CellLayout`] knows.
pub const OLDEST_TOKIO: (u32, u32) = (1, 21);

/// Whether a tokio of this version is older than that.
pub fn is_too_old(version: &str) -> bool {
    let mut numbers = version.split('.').map_while(|part| part.parse().ok());
    numbers.next().zip(numbers.next()).is_some_and(|version| version < OLDEST_TOKIO)
}

impl CellLayout {
    pub fn of(program: &Program<'_>, cell: DieRef) -> Result<Self, UnknownLayout> {
        let ty = program.ty(cell).ok_or(UnknownLayout { ty: "task Cell".into(), missing: "type" })?;
        let unknown = |missing| UnknownLayout { ty: program.path(&ty), missing };
        let find = |names: &[&'static str]| {
            places(program, cell, names).ok_or_else(|| unknown(names.last().copied().unwrap_or("member")))
        };
        let stage = find(&["core", "stage", "stage"]).or_else(|_| find(&["core", "stage"]))?;
        let stage = innermost_enum(program, stage).ok_or_else(|| unknown("stage"))?;
        let scheduler = find(&["core", "scheduler"])?;
        // tokio 1.2x linked tasks in the Header, later ones in the Trailer.
        let links = find(&["trailer", "owned"]).or_else(|_| find(&["header", "owned"]))?;
        let next = places(program, links.ty.die, &["next"]).ok_or_else(|| unknown("next"))?;
        Ok(CellLayout {
            size: ty.size,
            align: ty.align,
            state: find(&["header", "state"])?.offset,
            vtable: find(&["header", "vtable"])?.offset,
            owner_id: find(&["header", "owner_id"]).ok().map(|p| p.offset),
            id: find(&["core", "task_id"]).or_else(|_| find(&["header", "id"]))?.offset,
            scheduler: scheduler.offset,
            scheduler_ty: scheduler.ty.die,
            stage: stage.offset,
            stage_ty: stage.ty.die,
            future_ty: ty.argument("T").ok_or_else(|| unknown("T"))?,
            trailer: find(&["trailer"])?.offset,
            next: links.offset.wrapping_add(next.offset),
            spawned_at: SpawnedAt::of(program, cell),
        })
    }
}

/// Slots of the task's vtable. rustc orders the fields of this struct as it likes, so they are found by name; without
/// debug information the declared order is tried, which is what every build so far has
/// (<https://github.com/tokio-rs/tokio/blob/tokio-1.54.1/tokio/src/runtime/task/raw.rs>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VtableLayout {
    pub size: u64,
    pub poll: u64,
    pub dealloc: u64,
    /// Offsets of parts of the Cell, which newer versions keep in the vtable.
    pub trailer_offset: Option<u64>,
    pub scheduler_offset: Option<u64>,
    pub id_offset: Option<u64>,
}

impl Default for VtableLayout {
    fn default() -> Self {
        let word = |i: u64| i * 8;
        VtableLayout {
            size: word(10),
            poll: 0,
            dealloc: word(2),
            trailer_offset: Some(word(7)),
            scheduler_offset: Some(word(8)),
            id_offset: Some(word(9)),
        }
    }
}

impl VtableLayout {
    /// Of the `&'static Vtable` in a Cell's Header.
    pub fn of(program: &Program<'_>, cell: DieRef) -> Option<Self> {
        let pointer = places(program, cell, &["header", "vtable"])?;
        let TypeKind::Pointer(Some(vtable)) = pointer.ty.kind else { return None };
        let ty = program.ty(vtable)?;
        let slot = |name: &str| ty.member(name).map(|m| m.offset);
        Some(VtableLayout {
            size: ty.size,
            poll: slot("poll")?,
            dealloc: slot("dealloc")?,
            trailer_offset: slot("trailer_offset"),
            scheduler_offset: slot("scheduler_offset"),
            id_offset: slot("id_offset"),
        })
    }
}

/// `UnsafeCell<Stage<T>>` → `Stage<T>`.
fn innermost_enum(program: &Program<'_>, mut at: super::Place) -> Option<super::Place> {
    for _ in 0..8 {
        if at.ty.variants().is_some() {
            return Some(at);
        }
        let inner = at.ty.members.first()?;
        at = super::Place { offset: at.offset.checked_add(inner.offset)?, ty: program.ty(inner.ty)? };
    }
    None
}

/// The task's state word
/// (<https://github.com/tokio-rs/tokio/blob/tokio-1.54.1/tokio/src/runtime/task/state.rs>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskWord(pub u64);

impl TaskWord {
    pub const RUNNING: u64 = 1;
    pub const COMPLETE: u64 = 2;
    pub const NOTIFIED: u64 = 4;

    pub fn running(self) -> bool {
        self.0 & Self::RUNNING != 0
    }
    pub fn complete(self) -> bool {
        self.0 & Self::COMPLETE != 0
    }
    pub fn notified(self) -> bool {
        self.0 & Self::NOTIFIED != 0
    }
    pub fn cancelled(self) -> bool {
        self.0 & 0x20 != 0
    }
    pub fn references(self) -> u64 {
        self.0 >> 6
    }
    /// References to a task at rest that are neither its owner's, which lists it, nor its JoinHandle's. None of a task that
    /// runs, is in a queue or has ended: a notification counts as one, too.
    pub fn wakers(self) -> Option<u32> {
        let at_rest = self.0 & (Self::RUNNING | Self::COMPLETE | Self::NOTIFIED | 0x20) == 0;
        let joins = u64::from(self.0 & 8 != 0);
        let rest = self.references().checked_sub(1 + joins).filter(|_| at_rest)?;
        u32::try_from(rest).ok()
    }
    /// What freed or foreign memory is not: a plausible number of references, and not running and complete at once.
    pub fn plausible(self) -> bool {
        (1..1 << 24).contains(&self.references()) && !(self.running() && self.complete())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flavor {
    MultiThread,
    CurrentThread,
    LocalSet,
    /// `spawn_blocking`: no scheduler owns it.
    Blocking,
}

impl Flavor {
    /// From the path of a task's scheduler type, `S`.
    pub fn of(path: &str) -> Option<Flavor> {
        let known = [
            ("::scheduler::multi_thread", Flavor::MultiThread),
            ("::thread_pool", Flavor::MultiThread),
            ("::scheduler::current_thread", Flavor::CurrentThread),
            ("::basic_scheduler", Flavor::CurrentThread),
            ("tokio::task::local::Shared", Flavor::LocalSet),
            ("BlockingSchedule", Flavor::Blocking),
            ("NoopSchedule", Flavor::Blocking),
        ];
        known.iter().find(|(part, _)| path.contains(part)).map(|(_, flavor)| *flavor)
    }

    pub fn name(self) -> &'static str {
        match self {
            Flavor::MultiThread => "multi_thread",
            Flavor::CurrentThread => "current_thread",
            Flavor::LocalSet => "local_set",
            Flavor::Blocking => "blocking",
        }
    }
}

/// How to get from an `Arc<Handle>` to the lists of tasks it owns.
#[derive(Clone, Debug)]
pub struct SchedulerLayout {
    pub flavor: Flavor,
    /// Offset of the `Handle` in its `ArcInner`.
    pub(super) data: u64,
    pub(super) handle_ty: DieRef,
    owned: u64,
    owned_ty: DieRef,
    /// Offset, in the Handle, of the boxed slice with one entry per worker.
    pub(super) remotes: Option<(u64, DieRef)>,
}

/// One intrusive list of tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnedList {
    pub head: Avma,
}

impl SchedulerLayout {
    /// `scheduler` is the type `S` of a task, or what the thread-local context holds: an `Arc` of a scheduler's handle.
    pub fn of(program: &Program<'_>, scheduler: DieRef) -> Result<Self, UnknownLayout> {
        let arc = program.ty(scheduler).ok_or(UnknownLayout { ty: "scheduler".into(), missing: "type" })?;
        let path = program.path(&arc);
        let unknown = |missing| UnknownLayout { ty: path.clone(), missing };
        let flavor =
            Flavor::of(&path).filter(|_| path.starts_with("alloc::sync::Arc<")).ok_or(unknown("Arc"))?;
        let pointer = places(program, scheduler, &["ptr", "pointer"]).ok_or(unknown("ptr"))?;
        let TypeKind::Pointer(Some(inner)) = pointer.ty.kind else { return Err(unknown("pointer")) };
        let data = places(program, inner, &["data"]).ok_or(unknown("data"))?;
        let handle_ty = data.ty.die;
        let owned = [&["shared", "owned"][..], &["local_state", "owned"], &["owned"]]
            .iter()
            .find_map(|names| places(program, handle_ty, names))
            .ok_or(unknown("owned"))?;
        let remotes = places(program, handle_ty, &["shared", "remotes"])
            .or_else(|| places(program, handle_ty, &["remotes"]))
            .map(|p| (p.offset, p.ty.die));
        Ok(SchedulerLayout {
            flavor,
            data: data.offset,
            handle_ty,
            owned: owned.offset,
            owned_ty: owned.ty.die,
            remotes,
        })
    }

    /// Type of the handle itself, for messages.
    pub fn handle(&self, program: &Program<'_>) -> String {
        program.ty(self.handle_ty).map(|ty| program.path(&ty)).unwrap_or_default()
    }

    /// Heads of every list of owned tasks of the handle that `arc` points to; one per shard.
    pub fn lists<M: Memory + ?Sized>(&self, reflect: &Reflect<'_, '_, M>, arc: Avma) -> Vec<OwnedList> {
        let mut lists = Vec::new();
        let owned = arc.offset(self.data).offset(self.owned);
        reflect.visit(owned, self.owned_ty, &mut |at, ty: &std::sync::Arc<Type>| {
            if !ty.name.starts_with("LinkedList<") {
                return false;
            }
            let head = ty.member("head").and_then(|head| reflect.number(at.offset(head.offset), 8));
            lists.extend(head.filter(|h| *h != 0).map(|h| OwnedList { head: Avma(h) }));
            true
        });
        lists
    }

    /// Worker threads of a multi-thread scheduler.
    pub fn workers<M: Memory + ?Sized>(&self, reflect: &Reflect<'_, '_, M>, arc: Avma) -> Option<u32> {
        let (offset, ty) = self.remotes?;
        let length = reflect.program.ty(ty)?.member("length")?.offset;
        let count = reflect.number(arc.offset(self.data).offset(offset).offset(length), 8)?;
        u32::try_from(count).ok().filter(|n| (1..=1 << 16).contains(n))
    }
}

#[cfg(test)]
mod tests {
    use super::TaskWord;

    #[test]
    fn what_refers_to_a_task_at_rest_is_its_list_its_handle_or_a_waker() {
        const REFERENCE: u64 = 64;
        const JOIN_INTEREST: u64 = 8;
        let wakers = |references: u64, flags: u64| TaskWord((references * REFERENCE) | flags).wakers();
        assert_eq!(wakers(1, 0), Some(0), "detached");
        assert_eq!(wakers(2, JOIN_INTEREST), Some(0));
        assert_eq!(wakers(2, JOIN_INTEREST | 0x10), Some(0), "somebody joins it");
        assert_eq!(wakers(2, 0), Some(1));
        assert_eq!(wakers(5, JOIN_INTEREST), Some(3));
        assert_eq!(wakers(1, JOIN_INTEREST), None, "it makes no sense");
        for at_work in [1, 2, TaskWord::NOTIFIED, 0x20] {
            assert_eq!(wakers(3, at_work), None);
        }
    }
}
