//! What the leaf of an await tree waits for: which lock, which socket, until when.

use super::doing::{doing, own_name, ready_for};
use super::drop_glue::Verdict;
use super::holds::RawHold;
use super::kinds::{kind_of, waits_for_something};
use super::walk::{Above, Walker};
use super::{Certainty, FrameId, Hold, HoldRole, ResourceKind, Wait, place_of};
use crate::dwarf::{DieRef, Type};
use crate::runtime::{Look, Part, Readiness, Route, Seen, Shared, Through, part};
use crate::target::{Avma, Doing, Memory};
use std::sync::Arc;

/// Leaves of one tree that are told one by one.
pub(super) const MAX_WAITS: usize = 64;

/// A leaf's wait before the locks and the other tasks have been asked.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RawWait {
    pub wait: Wait,
    /// The lock, and this future's place in its line.
    pub lock: Option<Box<LockWait>>,
    /// `wait.address` is the header of a task whose end it waits for.
    pub joins: bool,
    /// A sender waits until nobody receives any more.
    pub for_close: bool,
    /// What it wants of its descriptor.
    pub doing: Option<Doing>,
}

impl RawWait {
    pub(super) fn new(wait: Wait) -> RawWait {
        RawWait { wait, lock: None, joins: false, for_close: false, doing: None }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct LockWait {
    /// What all waiters of it know: tokio's semaphore, else the lock itself.
    pub lock: Avma,
    pub ty: DieRef,
    /// The lock as its owner sees it, where that is known: it tells more of its layout.
    pub object: Option<Shared>,
    pub entry: Option<Avma>,
    pub wants: u64,
}

/// What names tell of the leaf of one chain of futures.
#[derive(Clone, Copy, Debug)]
pub(super) struct Named {
    kind: ResourceKind,
    named: FrameId,
    for_close: bool,
    /// [`Wait::at`]
    at: Option<FrameId>,
}

/// What is to be read of a leaf of one type.
#[derive(Clone, Debug)]
pub(super) enum LeafKind {
    /// Offset of the seconds; nanoseconds follow.
    Timer {
        seconds: u64,
        nanoseconds: u64,
    },
    Acquire(Arc<Acquire>),
    /// The way to what notifies it.
    Notified(Option<Arc<Route>>),
    /// Offset of the interest of a future that waits for a descriptor to be ready.
    Readiness {
        interest: u64,
    },
    Join {
        header: u64,
    },
    Other {
        ty: DieRef,
        looks: bool,
    },
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Acquire {
    semaphore: u64,
    ty: DieRef,
    node: u64,
    needs: u64,
    wants: u64,
    queued: u64,
}

impl<M: Memory + ?Sized> Walker<'_, '_, '_, M> {
    /// The innermost future of `above` awaits no other: what it waits for.
    pub(super) fn leaf(&mut self) {
        let Some(leaf) = self.above.last().copied() else { return };
        let Some(Named { kind, named, for_close, at }) = self.named() else { return };
        if self.waits.len() >= MAX_WAITS {
            return;
        }
        let what = self.leaf_kind(leaf);
        let granted = matches!(&what, LeafKind::Acquire(a) if self.is_granted(leaf.at, a));
        if granted {
            self.hold_granted(leaf, kind, &what);
        }
        if self.in_held > 0 {
            return;
        }
        let mut raw = RawWait::new(Wait { at, ..Wait::of_kind(kind, named) });
        let notified = matches!(what, LeafKind::Notified(_));
        match what {
            LeafKind::Timer { seconds, nanoseconds } => {
                raw.wait.deadline_ns = self.deadline(leaf.at, seconds, nanoseconds);
            }
            LeafKind::Acquire(acquire) => self.acquires(leaf.at, &acquire, granted, &mut raw),
            LeafKind::Notified(notify) => {
                let shared = notify.and_then(|route| route.follow(self.reflect().memory, leaf.at));
                raw.wait.address = shared.map(|shared| shared.address);
            }
            LeafKind::Readiness { interest } => {
                let interest = self.number(leaf.at.offset(interest), 8).unwrap_or(0);
                raw.doing = ready_for(interest);
            }
            LeafKind::Join { header } => {
                raw.wait.address = self.pointer(leaf.at.offset(header));
                raw.joins = true;
            }
            LeafKind::Other { ty, looks } => {
                if looks && self.things(leaf.at, ty, &mut raw) {
                    return;
                }
            }
        }
        self.shared_around(notified, &mut raw);
        if kind == ResourceKind::Io && notified {
            self.awaits_signal(&mut raw.wait);
        }
        raw.for_close = for_close;
        self.waits.push(raw);
    }

    fn pointer(&mut self, at: Avma) -> Option<Avma> {
        self.number(at, 8).filter(|p| *p != 0).map(Avma)
    }

    /// What the names along the chain tell of its leaf. None where it waits for nothing.
    fn named(&mut self) -> Option<Named> {
        self.chain.clear();
        self.chain.extend(self.above.iter().map(|above| above.frame));
        if let Some(known) = self.names.get(self.chain.as_slice()) {
            return *known;
        }
        let frames = &self.recipes().frames;
        let (last, rest) = self.chain.split_last()?;
        let leaf = frames.get(*last);
        let above: Vec<_> = rest.iter().map(|id| (*id, frames.get(*id))).collect();
        let named = *rest.last().filter(|_| super::kinds::is_bare(&leaf)).unwrap_or(last);
        let known = waits_for_something(&leaf).then(|| Named {
            kind: kind_of(&leaf, &above),
            named,
            for_close: self.waits_for_close(),
            at: place_of(&self.chain, frames),
        });
        self.names.insert(self.chain.as_slice().into(), known);
        known
    }

    fn leaf_kind(&mut self, leaf: Above) -> LeafKind {
        if let Some(known) = self.leaves.get(&leaf.recipe) {
            return known.clone();
        }
        let program = self.recipes().program;
        let known = (self.recipes().subject(leaf.recipe))
            .and_then(|die| {
                self.known_leaf(die).or_else(|| {
                    let looks = self.recipes().leads.to_things(program, die, Through::References);
                    Some(LeafKind::Other { ty: die, looks })
                })
            })
            .expect("a recipe that was walked has a subject");
        self.leaves.insert(leaf.recipe, known.clone());
        known
    }

    fn known_leaf(&self, die: DieRef) -> Option<LeafKind> {
        let program = self.recipes().program;
        let path = program.path(&*program.ty(die)?);
        let find = |ty, wanted: &str| part(program, ty, &|name, _| name == wanted);
        let nested = |outer: &str, inner: &str| {
            let outer = find(die, outer)?;
            let inner = find(outer.ty.die, inner)?;
            outer.offset.checked_add(inner.offset)
        };
        if path.starts_with("tokio::time::sleep::Sleep") || path.starts_with("async_io::Timer") {
            let deadline = if path.starts_with("tokio") { "deadline" } else { "when" };
            let (seconds, nanoseconds) = (nested(deadline, "tv_sec")?, nested(deadline, "tv_nsec")?);
            return Some(LeafKind::Timer { seconds, nanoseconds });
        }
        if path.starts_with("tokio::sync::batch_semaphore::Acquire") {
            let semaphore = find(die, "semaphore")?;
            let crate::dwarf::TypeKind::Pointer(Some(ty)) = semaphore.ty.kind else { return None };
            let (node, wants, queued) = (find(die, "node")?, find(die, "num_permits")?, find(die, "queued")?);
            let needs = node.offset.checked_add(find(node.ty.die, "state")?.offset)?;
            return Some(LeafKind::Acquire(Arc::new(Acquire {
                semaphore: semaphore.offset,
                ty,
                node: node.offset,
                needs,
                wants: wants.offset,
                queued: queued.offset,
            })));
        }
        if path.starts_with("tokio::sync::notify::Notified")
            || path.starts_with("tokio::sync::notify::OwnedNotified")
        {
            return Some(LeafKind::Notified(Route::new(program, die, &["notify"]).map(Arc::new)));
        }
        if path.ends_with("::scheduled_io::Readiness") {
            return Some(LeafKind::Readiness { interest: find(die, "interest")?.offset });
        }
        if path.starts_with("tokio::runtime::task::join::JoinHandle<")
            || path.starts_with("async_task::task::")
        {
            let is_pointer = |name: &str, ty: &Type| {
                name == "ptr" || matches!(ty.kind, crate::dwarf::TypeKind::Pointer(_))
            };
            return Some(LeafKind::Join { header: part(program, die, &is_pointer)?.offset });
        }
        None
    }

    fn deadline(&mut self, at: Avma, seconds: u64, nanoseconds: u64) -> Option<u64> {
        let seconds = self.number(at.offset(seconds), 8)?;
        let nanoseconds = self.number(at.offset(nanoseconds), 4)?;
        // What is no time of a clock that began at boot is no deadline: Option's None, or far from any use.
        seconds.checked_mul(1_000_000_000)?.checked_add(nanoseconds).filter(|_| nanoseconds < 1_000_000_000)
    }

    fn is_granted(&mut self, at: Avma, acquire: &Acquire) -> bool {
        self.number(at.offset(acquire.queued), 1) == Some(1)
            && self.number(at.offset(acquire.needs), 8) == Some(0)
    }

    fn acquires(&mut self, at: Avma, acquire: &Acquire, granted: bool, raw: &mut RawWait) {
        let Some(semaphore) = self.pointer(at.offset(acquire.semaphore)) else { return };
        let wants = self.number(at.offset(acquire.wants), 8).unwrap_or(0);
        let queued = self.number(at.offset(acquire.queued), 1) == Some(1);
        raw.wait.address = Some(semaphore);
        if granted {
            raw.wait.detail = Some("granted, and not polled since".into());
            return;
        }
        let entry = queued.then_some(at.offset(acquire.node));
        let lock = LockWait { lock: semaphore, ty: acquire.ty, object: None, entry, wants };
        raw.lock = Some(Box::new(lock));
    }

    /// Permits that were assigned to a future are its own, polled or not (Oxide RFD 609).
    fn hold_granted(&mut self, leaf: Above, kind: ResourceKind, what: &LeafKind) {
        let LeafKind::Acquire(acquire) = what else { return };
        let Some(semaphore) = self.pointer(leaf.at.offset(acquire.semaphore)) else { return };
        let wants = self.number(leaf.at.offset(acquire.wants), 8).unwrap_or(1);
        let role = match kind {
            ResourceKind::Semaphore | ResourceKind::Mpsc => {
                HoldRole::Permits(u32::try_from(wants).unwrap_or(u32::MAX))
            }
            ResourceKind::RwLock if wants == 1 => HoldRole::Shared,
            _ => HoldRole::Exclusive,
        };
        let hold = Hold {
            kind,
            role,
            address: semaphore,
            certainty: Certainty::Proven,
            local: "(granted, and not polled since)".into(),
            frame: leaf.frame,
            acquired_at: None,
            unpolled: (self.in_held > 0).then_some(leaf.at),
            blocks_threads: false,
            backlog: None,
            word: None,
        };
        let slot = leaf.at.offset(acquire.semaphore);
        self.holds.push(RawHold {
            hold,
            ty: Some(acquire.ty),
            permits: wants,
            slot,
            word: semaphore.0,
            size: 8,
            state: None,
            owned: true,
            verdict: Verdict::Unknown,
            owner: None,
            suspend_point: None,
            guard: None,
            gone: false,
            guessed: false,
            certain: false,
            still_there: false,
        });
    }

    /// What a leaf of no known type leads to. True where that gave waits of its own.
    fn things(&mut self, at: Avma, ty: DieRef, raw: &mut RawWait) -> bool {
        let reflect = self.reflect();
        let look = Look::new(&self.recipes().leads, &reflect, self.bias(), Through::References);
        // A list that is empty may have kept the waker from when it was not.
        let seen = look.except(&self.told).see(at, ty, "");
        let registered = self.registered(&seen, raw.wait.leaf);
        if !registered.is_empty() {
            let before = self.waits.len();
            let (count, at) = (registered.len(), raw.wait.at);
            self.waits.extend(registered);
            self.waits[before..].iter_mut().for_each(|raw| raw.wait.at = at);
            self.alternatives(before, count);
            return true;
        }
        let mut descriptors = seen.iter().filter(|seen| seen.thing.part == Part::Descriptor);
        if raw.wait.kind == ResourceKind::Io
            && let Some((first, _)) = descriptors.find_map(|seen| self.descriptor(seen, raw.wait.leaf))
        {
            let at = raw.wait.at;
            *raw = first;
            raw.wait.at = at;
            return false;
        }
        let same = |seen: &&Seen| seen.thing.kind == raw.wait.kind || raw.wait.kind == ResourceKind::Unknown;
        let ends = seen.iter().filter(|seen| matches!(seen.thing.part, Part::Receiver | Part::Sender));
        let mut fitting = ends.filter(same);
        if let (Some(one), None) = (fitting.next(), fitting.next()) {
            raw.wait.kind = one.thing.kind;
            raw.wait.address = one.shared(reflect.memory).map(|shared| shared.address);
        }
        false
    }

    /// A descriptor that a future has: the wait, and whether this task's waker is registered there.
    pub(super) fn descriptor(&self, seen: &Seen, leaf: FrameId) -> Option<(RawWait, bool)> {
        let reflect = self.reflect();
        let is_fd = |_: &str, ty: &Type| &*ty.name == "OwnedFd" || &*ty.name == "RawFd";
        let fd = part(reflect.program, seen.ty.die, &is_fd)?;
        let fd = i32::try_from(reflect.number(seen.at.offset(fd.offset), 4)?).ok()?;
        let shared = seen.shared(reflect.memory);
        let readiness =
            shared.and_then(|s| Some(Readiness::read(&reflect, s.address, s.ty?))).unwrap_or_default();
        let ours = |waker: Option<Avma>| waker.is_some() && waker == self.task;
        let doing = match (self.doing(), ours(readiness.reader), ours(readiness.writer)) {
            // Both wait for the readiness to read or to write.
            (named @ (Doing::Connects | Doing::Accepts), ..) => named,
            (_, true, true) => Doing::ReadsOrWrites,
            (_, true, false) => Doing::Reads,
            (_, false, true) => Doing::Writes,
            (named, false, false) => named,
        };
        let registered = ours(readiness.reader) || ours(readiness.writer);
        let wait = Wait { fd: Some(fd), ..Wait::of_kind(ResourceKind::Io, leaf) };
        Some((RawWait { doing: Some(doing), ..RawWait::new(wait) }, registered))
    }

    /// What is done with a descriptor, as far as the names of the futures tell: the outermost one that is not the user's.
    fn doing(&self) -> Doing {
        let frames = &self.recipes().frames;
        let around =
            self.above.iter().rev().map(|above| frames.get(above.frame)).take_while(|frame| !frame.own_code);
        let told = around.filter_map(|frame| doing(&frame.function)).last();
        told.unwrap_or(Doing::WaitsFor)
    }

    fn waits_for_close(&self) -> bool {
        let frames = &self.recipes().frames;
        let mut around =
            self.above.iter().rev().map(|above| frames.get(above.frame)).take_while(|f| !f.own_code);
        around
            .any(|frame| frame.function.starts_with("tokio::sync::") && own_name(&frame.function) == "closed")
    }

    /// What the futures around a leaf refer to: the lock, channel or socket that the leaf is a part of.
    fn shared_around(&mut self, notified: bool, raw: &mut RawWait) {
        let kind = raw.wait.kind;
        let fits = |seen: &Seen| match seen.thing.part {
            Part::Object | Part::Sender | Part::Receiver => seen.thing.kind == kind,
            Part::Descriptor => kind == ResourceKind::Io,
            Part::Guard(_) | Part::Waker => false,
        };
        let known = match kind {
            ResourceKind::Io => raw.wait.fd.is_some(),
            ResourceKind::Mpsc | ResourceKind::Broadcast if notified => false,
            ResourceKind::Semaphore => raw.lock.is_some(),
            ResourceKind::Mutex | ResourceKind::RwLock | ResourceKind::Mpsc => {
                raw.lock.is_none() && raw.wait.address.is_some()
            }
            ResourceKind::Watch | ResourceKind::Barrier | ResourceKind::OnceCell => false,
            _ => true,
        };
        if known {
            return;
        }
        let reflect = self.reflect();
        for nth in (0..self.above.len()).rev().take(8) {
            let above = self.above[nth];
            if self.recipes().frames.get(above.frame).own_code {
                break;
            }
            let Some(seen) = self.capture(above, &fits) else { continue };
            if seen.thing.part == Part::Descriptor {
                if let Some((found, _)) = self.descriptor(&seen, raw.wait.leaf) {
                    let named = matches!(found.doing, Some(Doing::Accepts | Doing::Connects));
                    let doing = raw.doing.filter(|_| !named).or(found.doing);
                    let at = raw.wait.at;
                    *raw = RawWait { doing, ..found };
                    raw.wait.at = at;
                    return;
                }
                continue;
            }
            let Some(shared) = seen.shared(reflect.memory) else { continue };
            raw.wait.address = Some(shared.address);
            match (&mut raw.lock, shared.ty) {
                (Some(lock), _) => lock.object = Some(shared),
                (None, Some(ty)) if is_lock(kind) => {
                    let object = Some(shared);
                    let lock = LockWait { lock: shared.address, ty, object, entry: None, wants: 1 };
                    raw.lock = Some(Box::new(lock));
                }
                (None, _) => {}
            }
            return;
        }
    }

    /// The first known thing that the arguments of a future lead to and that fits. Arguments stand where they stood at its
    /// first poll; what is a reference still is one.
    fn capture(&self, above: Above, fits: &dyn Fn(&Seen) -> bool) -> Option<Seen> {
        let program = self.recipes().program;
        let ty = program.ty(self.recipes().subject(above.recipe)?)?;
        let reflect = self.reflect();
        let look = |at, die, name: &str| {
            let look = Look::new(&self.recipes().leads, &reflect, self.bias(), Through::References);
            look.see(at, die, name).into_iter().find(fits)
        };
        let Some(variants) = ty.variants().filter(|_| ty.coroutine().is_some()) else {
            return look(above.at, ty.die, "");
        };
        let unresumed = variants.list.first()?;
        let payload = program.ty(unresumed.payload.ty)?;
        let at = above.at.offset(unresumed.payload.offset);
        payload.members.iter().find_map(|m| look(at.offset(m.offset), m.ty, &m.name))
    }
}

fn is_lock(kind: ResourceKind) -> bool {
    matches!(kind, ResourceKind::Mutex | ResourceKind::RwLock | ResourceKind::Semaphore)
}
