//! The queues that tokio's schedulers take tasks from, found by member name
//! (<https://github.com/tokio-rs/tokio/blob/tokio-1.54.1/tokio/src/runtime/scheduler/multi_thread/queue.rs>, `worker.rs` beside it,
//! `inject/synced.rs` and `current_thread/mod.rs` above it).
//!
//! They change while they are read. What tells a queue's ends is read again after its elements, and a queue that moved
//! meanwhile is read again; one that never rests is as good as unknown.

use super::reflect::{Reflect, part, places};
use super::tokio::SchedulerLayout;
use super::worker::scheduler_contexts;
use crate::dwarf::{DieRef, Program, Type, TypeKind};
use crate::target::{Avma, Memory};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum QueueKind {
    /// Of a worker: what it polls next.
    LifoSlot,
    /// A worker's own, or that of a scheduler with one thread.
    Local,
    /// For tasks that were woken or spawned outside of the scheduler's threads, and for what does not fit into a local one.
    Injection,
}

/// One queue as it was at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskQueue {
    pub kind: QueueKind,
    pub worker: Option<u32>,
    /// Words that should be addresses of task headers; what is taken first comes first.
    pub tasks: Vec<Avma>,
}

/// Queues that a thread keeps at hand while it is inside of a scheduler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadQueue {
    /// The scheduler's `Arc`.
    pub scheduler: Avma,
    pub queue: TaskQueue,
}

/// Reads of a queue that changes, before it is given up.
const ATTEMPTS: usize = 3;
/// Longest `VecDeque` that is read.
const LONGEST: u64 = 1 << 20;
/// Longest local queue: tokio's has 256 places.
const RING: u64 = 1 << 12;
/// Elements of an injection queue that are no task of the snapshot: pushed since, or aborted and already gone from it.
const STRANGERS: usize = 256;

impl SchedulerLayout {
    /// The local queues of all workers: what other workers may steal.
    pub fn local_queues<M: Memory + ?Sized>(
        &self,
        reflect: &Reflect<'_, '_, M>,
        arc: Avma,
    ) -> Vec<TaskQueue> {
        self.stealable(reflect, arc).unwrap_or_default()
    }

    fn stealable<M: Memory + ?Sized>(
        &self,
        reflect: &Reflect<'_, '_, M>,
        arc: Avma,
    ) -> Option<Vec<TaskQueue>> {
        let program = reflect.program;
        let workers = self.workers(reflect, arc)?;
        let (offset, ty) = self.remotes?;
        let data = program.ty(ty)?.member("data_ptr")?.clone();
        let TypeKind::Pointer(Some(remote)) = program.ty(data.ty)?.kind else { return None };
        let stride = program.ty(remote)?.size;
        let base = Avma(reflect.number(self.data_of(arc).offset(offset).offset(data.offset), 8)?);
        let mut queues = Vec::new();
        for worker in 0..workers {
            let at = base.offset(u64::from(worker).wrapping_mul(stride));
            let Some(inner) = reflect.shared(at, remote, &["steal"]) else { continue };
            let Some(ty) = inner.ty else { continue };
            let queue = |kind, tasks| TaskQueue { kind, worker: Some(worker), tasks };
            queues.extend(ring(reflect, inner.address, ty).map(|tasks| queue(QueueKind::Local, tasks)));
            // tokio 1.51 and the first of 1.52 let others steal from the slot as well.
            let slot = slot(reflect, inner.address, ty, "lifo");
            queues.extend(slot.map(|task| queue(QueueKind::LifoSlot, vec![task])));
        }
        Some(queues)
    }

    /// The queue for what comes from outside. `tasks`: headers that are likely in it; their links are read together.
    pub fn injection<M: Memory + ?Sized>(
        &self,
        reflect: &Reflect<'_, '_, M>,
        arc: Avma,
        tasks: &[Avma],
    ) -> Option<TaskQueue> {
        let names = [
            &["shared", "inject"][..],
            &["shared", "synced"],
            &["inject"],
            &["synced"],
            // Of current_thread until 1.2x.
            &["shared", "queue"],
            &["queue"],
        ];
        let found = names.iter().find_map(|names| {
            let place = places(reflect.program, self.handle_ty, names)?;
            linked_or_ring(reflect, self.data_of(arc).offset(place.offset), place.ty.die)
        })?;
        let tasks = match found {
            (at, Way::Linked(ends)) => ends.walk(reflect.memory, at, tasks)?,
            (at, Way::Deque(ty)) => deque(reflect, at, ty.die)?,
        };
        Some(TaskQueue { kind: QueueKind::Injection, worker: None, tasks })
    }

    /// Whether the queue for what comes from outside is closed, which is what a shutdown begins with.
    pub fn is_closed<M: Memory + ?Sized>(&self, reflect: &Reflect<'_, '_, M>, arc: Avma) -> Option<bool> {
        let names = [&["shared", "inject"][..], &["shared", "synced"], &["inject"], &["synced"]];
        names.iter().find_map(|names| {
            let place = places(reflect.program, self.handle_ty, names)?;
            let mut closed = None;
            reflect.visit(self.data_of(arc).offset(place.offset), place.ty.die, &mut |at, ty: &Arc<Type>| {
                let flag = ty.member("is_closed").and_then(|flag| reflect.number(at.offset(flag.offset), 1));
                closed = closed.or(flag.map(|flag| flag != 0));
                flag.is_some()
            });
            closed
        })
    }

    fn data_of(&self, arc: Avma) -> Avma {
        arc.offset(self.data)
    }
}

enum Way {
    Linked(Ends),
    Deque(Arc<Type>),
}

/// What of a value is a queue: the ends of a list that goes through the tasks' headers, or a `VecDeque`.
fn linked_or_ring<M: Memory + ?Sized>(
    reflect: &Reflect<'_, '_, M>,
    at: Avma,
    ty: DieRef,
) -> Option<(Avma, Way)> {
    let mut found = None;
    reflect.visit(at, ty, &mut |at, ty: &Arc<Type>| {
        if found.is_none() {
            if let Some(ends) = Ends::of(reflect.program, ty) {
                found = Some((at, Way::Linked(ends)));
            } else if ty.name.starts_with("VecDeque<") {
                found = Some((at, Way::Deque(ty.clone())));
            }
        }
        found.is_some()
    });
    found
}

/// Both ends of a list of tasks, which are linked by `Header::queue_next`.
#[derive(Clone, Copy, Debug)]
struct Ends {
    head: u64,
    tail: u64,
    /// In the Header.
    next: u64,
}

impl Ends {
    fn of(program: &Program<'_>, ty: &Type) -> Option<Ends> {
        ty.member("is_closed")?;
        let (head, tail) = (ty.member("head")?, ty.member("tail")?);
        let pointer = part(program, head.ty, &|_, ty| matches!(ty.kind, TypeKind::Pointer(_)))?;
        let TypeKind::Pointer(Some(header)) = pointer.ty.kind else { return None };
        let next = places(program, header, &["queue_next"])?.offset;
        Some(Ends { head: head.offset, tail: tail.offset, next })
    }

    fn walk<M: Memory + ?Sized>(self, memory: &M, at: Avma, tasks: &[Avma]) -> Option<Vec<Avma>> {
        (0..ATTEMPTS).find_map(|_| {
            let ends = self.read(memory, at)?;
            let list = self.between(memory, ends, &self.links(memory, tasks))?;
            (self.read(memory, at)? == ends).then_some(list)
        })
    }

    fn read<M: Memory + ?Sized>(self, memory: &M, at: Avma) -> Option<(Avma, Avma)> {
        let word = |offset: u64| memory.read_u64(at.offset(offset)).ok().map(Avma);
        Some((word(self.head)?, word(self.tail)?))
    }

    /// Which task follows each, read in few system calls.
    fn links<M: Memory + ?Sized>(self, memory: &M, tasks: &[Avma]) -> HashMap<Avma, Avma> {
        let mut words = vec![[0; 8]; tasks.len()];
        let mut requests: Vec<(Avma, &mut [u8])> = tasks
            .iter()
            .zip(&mut words)
            .map(|(task, word)| (task.offset(self.next), &mut word[..]))
            .collect();
        let failed = memory.read_many(&mut requests);
        let read = tasks.iter().zip(&words).enumerate().filter(|(i, _)| failed.binary_search(i).is_err());
        read.map(|(_, (task, word))| (*task, Avma(u64::from_le_bytes(*word)))).collect()
    }

    /// None where the list does not lead from one end to the other.
    fn between<M: Memory + ?Sized>(
        self,
        memory: &M,
        (head, tail): (Avma, Avma),
        links: &HashMap<Avma, Avma>,
    ) -> Option<Vec<Avma>> {
        let (mut list, mut strangers, mut at) = (Vec::new(), 0, head);
        while !at.is_null() {
            list.push(at);
            at = match links.get(&at) {
                Some(next) => *next,
                None => {
                    strangers += 1;
                    Avma(memory.read_u64(at.offset(self.next)).ok()?)
                }
            };
            if strangers > STRANGERS || list.len() > links.len() + STRANGERS {
                return None;
            }
        }
        (list.last().copied().unwrap_or_default() == tail).then_some(list)
    }
}

/// Of `queue::Inner`: from where its owner takes to where it adds.
fn ring<M: Memory + ?Sized>(reflect: &Reflect<'_, '_, M>, at: Avma, ty: DieRef) -> Option<Vec<Avma>> {
    let program = reflect.program;
    let find = |name: &str| places(program, ty, &[name]);
    let (head, tail, buffer) = (find("head")?, find("tail")?, find("buffer")?);
    // Two numbers of the tail's width: where the owner takes is the lower one, where a thief began is the upper one.
    let width = u8::try_from(tail.ty.size).ok().filter(|width| matches!(width, 2 | 4))?;
    if head.ty.size != 2 * tail.ty.size {
        return None;
    }
    let number = |place: &super::Place| reflect.number(at.offset(place.offset), width);
    let array = reflect.pointee(at.offset(buffer.offset), &buffer.ty)?;
    let TypeKind::Array { element, count } = program.ty(array.ty?)?.kind else { return None };
    if program.ty(element)?.size != 8 || !count.is_power_of_two() || count > RING {
        return None;
    }
    (0..ATTEMPTS).find_map(|_| {
        let ends = (number(&head)?, number(&tail)?);
        let words = words(reflect.memory, array.address, count)?;
        if (number(&head)?, number(&tail)?) != ends {
            return None;
        }
        let length = ends.1.wrapping_sub(ends.0) & ((1 << (8 * width)) - 1);
        let places = (0..length).map(|i| words.get((ends.0.wrapping_add(i) & (count - 1)) as usize).copied());
        (length <= count).then(|| places.collect()).flatten()
    })
}

/// Of an `Option` of a task, or an atomic pointer to one.
fn slot<M: Memory + ?Sized>(reflect: &Reflect<'_, '_, M>, at: Avma, ty: DieRef, name: &str) -> Option<Avma> {
    let place = places(reflect.program, ty, &[name]).filter(|place| place.ty.size == 8)?;
    reflect.number(at.offset(place.offset), 8).filter(|task| *task != 0).map(Avma)
}

/// Of a `VecDeque` of tasks.
fn deque<M: Memory + ?Sized>(reflect: &Reflect<'_, '_, M>, at: Avma, ty: DieRef) -> Option<Vec<Avma>> {
    let offset = |names: &[&str]| places(reflect.program, ty, names).map(|place| place.offset);
    let fields = [offset(&["head"])?, offset(&["len"])?, offset(&["buf", "cap"])?, offset(&["buf", "ptr"])?];
    let read = || -> Option<[u64; 4]> {
        let mut values = [0; 4];
        for (value, field) in values.iter_mut().zip(fields) {
            *value = reflect.number(at.offset(field), 8)?;
        }
        Some(values)
    };
    (0..ATTEMPTS).find_map(|_| {
        let before = read()?;
        let [first, length, capacity, data] = before;
        if length > capacity || capacity > LONGEST || (first >= capacity && length > 0) {
            return None;
        }
        let until_end = length.min(capacity - first.min(capacity));
        let mut tasks = words(reflect.memory, Avma(data).offset(first.wrapping_mul(8)), until_end)?;
        tasks.extend(words(reflect.memory, Avma(data), length - until_end)?);
        (read()? == before).then_some(tasks)
    })
}

fn words<M: Memory + ?Sized>(memory: &M, at: Avma, count: u64) -> Option<Vec<Avma>> {
    let mut bytes = vec![0; usize::try_from(count).ok()?.checked_mul(8)?];
    if !bytes.is_empty() {
        memory.read_fresh(at, &mut bytes).ok()?;
    }
    let word = |bytes: &[u8]| Avma(u64::from_le_bytes(bytes.try_into().expect("eight bytes")));
    Some(bytes.chunks_exact(8).map(word).collect())
}

/// What the scheduler that a thread is inside of keeps in its `Core`. `context`: the thread's own static, of type `ty`.
pub fn thread_queues<M: Memory + ?Sized>(
    reflect: &Reflect<'_, '_, M>,
    context: Avma,
    ty: DieRef,
) -> Vec<ThreadQueue> {
    let mut found = Vec::new();
    scheduler_contexts(reflect, context, ty, &mut |at, ty| found.extend(in_context(reflect, at, ty)));
    found
}

/// Of `multi_thread::Context` or `current_thread::Context`.
fn in_context<M: Memory + ?Sized>(
    reflect: &Reflect<'_, '_, M>,
    at: Avma,
    ty: &Arc<Type>,
) -> Option<ThreadQueue> {
    let program = reflect.program;
    let arc = |at: Avma, ty: DieRef| {
        let place = places(program, ty, &["handle"])?;
        reflect.number(at.offset(place.offset), 8).map(Avma)
    };
    let kept = ty.member("core")?;
    let core = reflect.pointee(at.offset(kept.offset), &program.ty(kept.ty)?)?;
    if ty.member("worker").is_none() {
        let tasks = places(program, core.ty?, &["tasks"])?;
        let tasks = deque(reflect, core.address.offset(tasks.offset), tasks.ty.die)?;
        let queue = TaskQueue { kind: QueueKind::Local, worker: None, tasks };
        return Some(ThreadQueue { scheduler: arc(at, ty.die)?, queue });
    }
    let worker = reflect.shared(at, ty.die, &["worker"])?;
    let task = slot(reflect, core.address, core.ty?, "lifo_slot")?;
    let index = places(program, worker.ty?, &["index"])?;
    let index = reflect.number(worker.address.offset(index.offset), 8)?;
    let queue =
        TaskQueue { kind: QueueKind::LifoSlot, worker: Some(u32::try_from(index).ok()?), tasks: vec![task] };
    Some(ThreadQueue { scheduler: arc(worker.address, worker.ty?)?, queue })
}
