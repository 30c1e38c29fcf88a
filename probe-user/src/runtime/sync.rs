//! The state of locks and sources of readiness: who is let in, who is in line, whose waker is registered.

use super::reflect::{Reflect, part};
use crate::dwarf::{DieRef, Program, Type};
use crate::target::{Avma, Memory};

/// Longest line of waiters that is read.
const MAX_WAITERS: usize = 100_000;
/// tokio's default for an RwLock (`MAX_READS`, <https://github.com/tokio-rs/tokio/blob/tokio-1.54.1/tokio/src/sync/rwlock.rs>).
const MAX_READS: u64 = (u32::MAX >> 3) as u64;

/// How the holders of a lock are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Count {
    /// tokio's batch semaphore: permits left << 1 | closed.
    PermitsLeft,
    /// Permits left, as they are.
    Left,
    /// The lowest bit says that it is locked.
    LowestBit,
    /// Any number but 0 says that it is locked.
    NotZero,
    /// std's RwLock: readers in the low 30 bits, all of them set for a writer.
    StdReaders,
    /// parking_lot's: readers << 4, writer 8.
    ParkingReaders,
    /// async-lock's: readers << 1, writer 1.
    HalfReaders,
}

/// Where a lock keeps what tells how it is held. Found by shape in whatever all parties share.
#[derive(Clone, Copy, Debug)]
pub struct LockLayout {
    count: Count,
    /// Of the number, from the lock's address.
    number: u64,
    width: u8,
    /// Of tokio's semaphore, from the lock's address.
    semaphore: Option<(u64, DieRef)>,
    /// Permits when nobody holds any.
    capacity: Capacity,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Capacity {
    One,
    /// Said at this offset, a u32.
    At(u64),
    Reads,
    /// Nobody keeps the number.
    Unknown,
}

impl LockLayout {
    /// Of the type that a guard's or a waiter's pointer leads to. None where it is no lock that is known.
    pub fn of(program: &Program<'_>, ty: DieRef) -> Option<LockLayout> {
        let lock = program.ty(ty)?;
        let path = program.path(&lock);
        let is_semaphore = |_: &str, ty: &Type| {
            ty.name.as_ref() == "Semaphore" && program.path(ty).ends_with("batch_semaphore::Semaphore")
        };
        let itself = path.ends_with("batch_semaphore::Semaphore");
        let inside = if itself {
            Some((0, ty))
        } else {
            part(program, ty, &is_semaphore).map(|p| (p.offset, p.ty.die))
        };
        if let Some((offset, semaphore)) = inside {
            let permits = part(program, semaphore, &|name, _| name == "permits")?;
            let capacity = match () {
                () if path.contains("::mutex::Mutex<") || path.contains("::once_cell::OnceCell<") => {
                    Capacity::One
                }
                () if path.contains("::rwlock::RwLock<") => {
                    lock.member("mr").map_or(Capacity::Reads, |m| Capacity::At(m.offset))
                }
                () => Capacity::Unknown,
            };
            let number = offset.checked_add(permits.offset)?;
            let semaphore = Some((offset, semaphore));
            return Some(LockLayout { count: Count::PermitsLeft, number, width: 8, semaphore, capacity });
        }
        let (names, count): (&[&str], Count) = match () {
            () if path.starts_with("async_lock::mutex::Mutex<") => (&["state"], Count::LowestBit),
            () if path.starts_with("async_lock::semaphore::Semaphore") => (&["count"], Count::Left),
            () if path.starts_with("async_lock::rwlock::") => (&["state"], Count::HalfReaders),
            () if path.starts_with("futures_util::lock::mutex::Mutex<") => (&["state"], Count::LowestBit),
            () if path.starts_with("std::sync::poison::mutex::Mutex<") => (&["futex"], Count::NotZero),
            () if path.starts_with("std::sync::poison::rwlock::RwLock<") => (&["state"], Count::StdReaders),
            () if path.starts_with("std::sys::sync::rwlock::futex::RwLock") => {
                (&["state"], Count::StdReaders)
            }
            () if path.starts_with("lock_api::mutex::Mutex<parking_lot::") => (&["state"], Count::LowestBit),
            () if path.starts_with("lock_api::rwlock::RwLock<parking_lot::") => {
                (&["state"], Count::ParkingReaders)
            }
            () => return None,
        };
        let number = names.iter().find_map(|wanted| part(program, ty, &|name, _| name == *wanted))?;
        let width = u8::try_from(number.ty.size).ok().filter(|w| matches!(w, 1 | 2 | 4 | 8))?;
        let capacity = if count == Count::Left { Capacity::Unknown } else { Capacity::One };
        Some(LockLayout { count, number: number.offset, width, semaphore: None, capacity })
    }

    /// Whether the lock keeps a line of waiters that can be read.
    pub fn has_line(&self) -> bool {
        self.semaphore.is_some()
    }

    /// Whether it tells how many may be inside.
    pub fn has_capacity(&self) -> bool {
        self.capacity != Capacity::Unknown
    }

    /// What tells the lock apart from all others: the semaphore's address, which is all that a waiter of tokio knows.
    pub fn key(&self, lock: Avma) -> Avma {
        self.semaphore.map_or(lock, |(offset, _)| lock.offset(offset))
    }

    /// Reads how the lock at `lock` is held now.
    pub fn read<M: Memory + ?Sized>(&self, reflect: &Reflect<'_, '_, M>, lock: Avma) -> Option<LockState> {
        let queue =
            self.semaphore.map(|(offset, ty)| queue(reflect, lock.offset(offset), ty)).unwrap_or_default();
        Some(LockState { queue, ..self.count(reflect, lock)? })
    }

    /// Where the number lies that says how the lock at `lock` is held, and its bytes.
    pub fn number(&self, lock: Avma) -> (Avma, u8) {
        (lock.offset(self.number), self.width)
    }

    /// The word at which threads sleep that want the lock at `lock`: of std's Mutex, and of its RwLock those that want to read
    /// (<https://github.com/rust-lang/rust/blob/1.95.0/library/std/src/sys/sync/mutex/futex.rs>). parking_lot's sleep at a word of
    /// their own.
    pub fn threads_sleep_at(&self, lock: Avma) -> Option<Avma> {
        matches!(self.count, Count::NotZero | Count::StdReaders).then(|| lock.offset(self.number))
    }

    /// As [`read`](Self::read), without the line.
    pub fn count<M: Memory + ?Sized>(&self, reflect: &Reflect<'_, '_, M>, lock: Avma) -> Option<LockState> {
        let number = reflect.number(lock.offset(self.number), self.width)?;
        let capacity = match self.capacity {
            Capacity::One => Some(1),
            Capacity::At(offset) => reflect.number(lock.offset(offset), 4),
            Capacity::Reads => Some(MAX_READS),
            Capacity::Unknown => None,
        };
        let (held, left) = match self.count {
            Count::PermitsLeft => {
                let left = number >> 1;
                (capacity.map(|all| all.saturating_sub(left)), Some(left))
            }
            Count::Left => (None, Some(number)),
            Count::LowestBit => (Some(number & 1), None),
            Count::NotZero => (Some(u64::from(number != 0)), None),
            Count::StdReaders => {
                let readers = number & 0x3fff_ffff;
                (Some(if readers == 0x3fff_ffff { 1 } else { readers }), None)
            }
            Count::ParkingReaders => (Some(if number & 8 != 0 { 1 } else { number >> 4 }), None),
            Count::HalfReaders => (Some(if number & 1 != 0 { 1 } else { number >> 1 }), None),
        };
        let closed = self.count == Count::PermitsLeft && number & 1 != 0;
        Some(LockState { held, left, capacity, closed, queue: Vec::new() })
    }
}

/// How a lock is held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LockState {
    /// Permits that are out. None where the capacity is not known.
    pub held: Option<u64>,
    pub left: Option<u64>,
    pub capacity: Option<u64>,
    pub closed: bool,
    /// Who is in line, the next one first.
    pub queue: Vec<Waiter>,
}

impl LockState {
    /// Permits that were given back between this state and a later one.
    pub fn given_back(&self, later: &LockState) -> u64 {
        match (self.held.zip(later.held), self.left.zip(later.left)) {
            (Some((before, after)), _) => before.saturating_sub(after),
            (None, Some((before, after))) => after.saturating_sub(before),
            (None, None) => 0,
        }
    }
}

/// One place in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiter {
    /// Of the entry, which is part of the waiting future.
    pub address: Avma,
    /// Permits that it still needs.
    pub needs: u64,
    /// What its waker wakes: for tokio's own wakers the task's header.
    pub wakes: Option<Avma>,
}

/// The line of a batch semaphore: waiters are pushed at the head and served from the tail
/// (<https://github.com/tokio-rs/tokio/blob/tokio-1.54.1/tokio/src/sync/batch_semaphore.rs>).
fn queue<M: Memory + ?Sized>(reflect: &Reflect<'_, '_, M>, semaphore: Avma, ty: DieRef) -> Vec<Waiter> {
    let program = reflect.program;
    let layout = || {
        let list = part(program, ty, &|name, ty| name == "queue" && ty.name.starts_with("LinkedList<"))?;
        let tail = part(program, list.ty.die, &|name, _| name == "tail")?;
        let waiter = list.ty.argument("L").or(list.ty.argument("T"))?;
        let state = part(program, waiter, &|name, _| name == "state")?.offset;
        let pointers = part(program, waiter, &|name, _| name == "pointers")?;
        let previous = part(program, pointers.ty.die, &|name, _| name == "prev")?.offset;
        let waker = waker_data(program, waiter);
        Some((list.offset.checked_add(tail.offset)?, state, pointers.offset.checked_add(previous)?, waker))
    };
    let Some((tail, state, previous, waker)) = layout() else { return Vec::new() };
    let mut line = Vec::new();
    let mut at = reflect.number(semaphore.offset(tail), 8).map(Avma);
    // A line that comes back to itself was torn, or made to.
    let mut seen = foldhash::HashSet::default();
    while let Some(address) = at.filter(|at| !at.is_null() && line.len() < MAX_WAITERS && seen.insert(*at)) {
        let Some(needs) = reflect.number(address.offset(state), 8) else { break };
        let wakes = waker.and_then(|waker| wakes(reflect, address, waker));
        line.push(Waiter { address, needs, wakes });
        at = reflect.number(address.offset(previous), 8).map(Avma);
    }
    line
}

/// Offsets of the data and the vtable pointer of the first `Waker` in a type.
fn waker_data(program: &Program<'_>, ty: DieRef) -> Option<(u64, u64)> {
    let waker = part(program, ty, &|_, ty| &*ty.name == "RawWaker")?;
    let place = |wanted: &str| {
        let place = part(program, waker.ty.die, &|name, _| name == wanted)?;
        waker.offset.checked_add(place.offset)
    };
    Some((place("data")?, place("vtable")?))
}

/// What a waker wakes. None where there is none: an `Option<Waker>` is `None` while its vtable is null.
fn wakes<M: Memory + ?Sized>(reflect: &Reflect<'_, '_, M>, at: Avma, waker: (u64, u64)) -> Option<Avma> {
    let word = |offset| reflect.number(at.offset(offset), 8).filter(|p| *p != 0);
    word(waker.1)?;
    word(waker.0).map(Avma)
}

/// What the receiver of a tokio mpsc channel left there to be woken; `at` is the `Chan`
/// (<https://github.com/tokio-rs/tokio/blob/tokio-1.54.1/tokio/src/sync/mpsc/chan.rs>).
pub fn receiver_wakes<M: Memory + ?Sized>(
    reflect: &Reflect<'_, '_, M>,
    at: Avma,
    ty: DieRef,
) -> Option<Avma> {
    let waker = part(reflect.program, ty, &|member, _| member == "rx_waker")?;
    registered_waker(reflect, at.offset(waker.offset), waker.ty.die)
}

/// What the waker in the value at `at` wakes, an `AtomicWaker` say.
pub fn registered_waker<M: Memory + ?Sized>(
    reflect: &Reflect<'_, '_, M>,
    at: Avma,
    ty: DieRef,
) -> Option<Avma> {
    wakes(reflect, at, waker_data(reflect.program, ty)?)
}

/// What tokio's I/O driver knows of a descriptor
/// (<https://github.com/tokio-rs/tokio/blob/tokio-1.54.1/tokio/src/runtime/io/scheduled_io.rs>).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// What is woken when it can be read: for a task's own waker its header.
    pub reader: Option<Avma>,
    pub writer: Option<Avma>,
}

impl Readiness {
    /// Of the `ScheduledIo` at `at`.
    pub fn read<M: Memory + ?Sized>(reflect: &Reflect<'_, '_, M>, at: Avma, ty: DieRef) -> Readiness {
        let program = reflect.program;
        let woken = |name: &str| {
            let place = part(program, ty, &|member, ty| member == name && ty.name.starts_with("Option<"))?;
            wakes(reflect, at.offset(place.offset), waker_data(program, place.ty.die)?)
        };
        Readiness { reader: woken("reader"), writer: woken("writer") }
    }
}
