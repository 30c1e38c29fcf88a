//! Who holds what others wait for: every claim compared with what the lock itself says, then read once more.

use super::acquired;
use super::channels::{Channels, MAX_HOLDERS, count_backlogs};
use super::discover::HEADER_VTABLE;
use super::drop_glue::{Asked, DropGlue, Verdict};
use super::holds::RawHold;
use super::recipe::Recipes;
use super::waits::{LockWait, RawWait};
use super::{
    Certainty, Hold, HoldRole, ResourceKind, RuntimeKind, SourceLine, Task, TaskId, TaskState, Wait,
};
use crate::dwarf::DieRef;
use crate::runtime::{LockLayout, LockState, Reflect};
use crate::target::{Avma, CachedMemory, Doing, Memory};
use foldhash::{HashMap, HashMapExt as _, HashSet};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Locks are read in the order of addresses, and most lines stand in that order, too.
const CACHE: usize = 4 << 20;
/// Tasks whose drop glue is run; claims of others are judged by their drop flags.
const MAX_RUNS: usize = 256;

/// A task with what it says of itself.
#[derive(Clone, Debug)]
pub(super) struct Claims {
    pub task: Task,
    pub waits: Box<[RawWait]>,
    pub holds: Box<[RawHold]>,
}

/// A descriptor for which a task waits.
pub(super) struct Described {
    pub words: String,
    /// [`Wait::outgoing`]
    pub outgoing: bool,
}

struct Lock {
    /// As its owner sees it, where anybody knows.
    address: Avma,
    layout: LockLayout,
    /// Whether the layout is the owner's.
    whole: bool,
    state: LockState,
    /// As its waiters call it: a guard of a once-cell is a semaphore's.
    kind: Option<ResourceKind>,
    /// As a guard calls it.
    claimed: Option<ResourceKind>,
    /// Task and number of its claim.
    claims: Vec<(usize, usize)>,
    /// Place in line by the waiter's own address.
    places: HashMap<Avma, usize>,
    holders: Holders,
}

/// What is told of a lock to each who waits for it.
#[derive(Default)]
struct Holders {
    /// In order, not more than [`MAX_HOLDERS`].
    tasks: Box<[TaskId]>,
    /// The weakest.
    certainty: Option<Certainty>,
    /// Of the only one.
    acquired_at: Option<SourceLine>,
}

/// The tasks with `waits` and `holds` filled in. `memory` is the target itself, not a cache;
/// `describe` says what a descriptor is.
pub(super) fn relate<M: Memory>(
    recipes: &Recipes<'_, '_>,
    memory: &M,
    glue: &DropGlue<'_>,
    mut all: Vec<Claims>,
    describe: &dyn Fn(i32, Doing) -> Described,
) -> Vec<Task> {
    fill_in(recipes, memory, glue, &mut all, describe);
    all.into_iter().map(|one| one.task).collect()
}

fn fill_in<M: Memory>(
    recipes: &Recipes<'_, '_>,
    memory: &M,
    glue: &DropGlue<'_>,
    all: &mut [Claims],
    describe: &dyn Fn(i32, Doing) -> Described,
) {
    let cache = CachedMemory::new(memory, CACHE);
    let reflect = Reflect { program: recipes.program, memory: &cache };
    let mut locks = Locks { layouts: HashMap::new(), known: HashMap::new() };
    let mut headers = HashSet::default();
    for (number, claims) in all.iter().enumerate() {
        locks.take(&reflect, number, claims);
        headers.extend(claims.waits.iter().filter(|raw| raw.joins).filter_map(|raw| raw.wait.address));
    }
    for (number, claims) in all.iter().enumerate() {
        locks.take_guesses(&reflect, number, claims);
    }
    // In the order of addresses: what waits for neighbours often lies side by side as well.
    let mut in_order: Vec<&mut Lock> = locks.known.values_mut().collect();
    in_order.sort_unstable_by_key(|lock| lock.address);
    for lock in in_order {
        lock.state = lock.layout.read(&reflect, lock.address).unwrap_or_default();
        lock.places = lock.state.queue.iter().enumerate().map(|(i, waiter)| (waiter.address, i)).collect();
    }
    locks.ask(&Reflect { program: recipes.program, memory }, glue, all);
    locks.judge(memory, all);
    acquired::fill_in(recipes, all);
    locks.settle(all);
    let joined = joined(all, &headers);
    let channels = Channels::of(&reflect, all);
    count_backlogs(&reflect, all);
    for claims in all.iter_mut() {
        let mut waits = std::mem::take(&mut claims.waits);
        for raw in &mut waits {
            if let Some(lock) = &raw.lock {
                locks.wait(lock, &mut raw.wait);
            }
            join(raw, &joined);
            channels.wait(raw, claims.task.id);
            if let Some(fd) = raw.wait.fd {
                let described = describe(fd, raw.doing.unwrap_or(Doing::WaitsFor));
                raw.wait.detail = Some(described.words.into());
                raw.wait.outgoing = described.outgoing;
            }
        }
        claims.task.waits = waits.into_iter().map(|raw| raw.wait).collect();
    }
    for claims in all {
        let held = std::mem::take(&mut claims.holds);
        let held = held.into_iter().filter(|raw| !raw.gone && !raw.is_mere_guess());
        claims.task.holds = held.map(|raw| Hold { word: locks.word(&raw), ..raw.hold }).collect();
    }
}

struct Locks {
    layouts: HashMap<DieRef, Option<LockLayout>>,
    known: HashMap<Avma, Lock>,
}

impl Lock {
    /// Permits that a claim takes out of it: a writer takes all.
    fn permits(&self, raw: &RawHold) -> u64 {
        let writer = raw.hold.role == HoldRole::Exclusive;
        let all = self.state.capacity.filter(|_| writer && self.state.left.is_some());
        all.unwrap_or(raw.permits)
    }

    fn words(&self, waited: &LockWait) -> String {
        let state = &self.state;
        let mut words = String::new();
        let mut say = |word: std::fmt::Arguments<'_>| {
            let comma = if words.is_empty() { "" } else { ", " };
            let _ = write!(words, "{comma}{word}");
        };
        if self.kind == Some(ResourceKind::Semaphore) {
            let permits = if waited.wants == 1 { "permit" } else { "permits" };
            say(format_args!("wants {} {permits}, {} left", waited.wants, state.left.unwrap_or(0)));
        } else if let Some(readers) = state.held.filter(|n| *n > 0 && Some(*n) != state.capacity) {
            say(format_args!("{readers} readers inside"));
        }
        if state.closed {
            say(format_args!("closed"));
        }
        match waited.entry.and_then(|entry| self.places.get(&entry)) {
            Some(place) => say(format_args!("number {} of {} in line", place + 1, state.queue.len())),
            None if self.layout.has_line() => say(format_args!("{} in line", state.queue.len())),
            None => {}
        }
        words
    }

    fn holders(&self, all: &[Claims]) -> Holders {
        let claims = self.claims.iter().map(|(task, i)| (all[*task].task.id, &all[*task].holds[*i]));
        let mut holders: Vec<_> =
            claims.filter(|(_, raw)| !raw.gone).map(|(id, raw)| (id, &raw.hold)).collect();
        holders.sort_by_key(|(id, hold)| (*id, hold.certainty));
        holders.dedup_by_key(|(id, _)| *id);
        let acquired_at = match holders.as_slice() {
            [(_, only)] => only.acquired_at.clone(),
            _ => None,
        };
        Holders {
            tasks: holders.iter().map(|(id, _)| *id).take(MAX_HOLDERS).collect(),
            certainty: holders.iter().map(|(_, hold)| hold.certainty).max(),
            acquired_at,
        }
    }
}

impl Locks {
    fn layout<M: Memory>(&mut self, reflect: &Reflect<'_, '_, M>, ty: DieRef) -> Option<LockLayout> {
        *self.layouts.entry(ty).or_insert_with(|| LockLayout::of(reflect.program, ty))
    }

    /// [`Hold::word`]
    fn word(&self, raw: &RawHold) -> Option<Avma> {
        let layout = self.layouts.get(&raw.ty?)?.as_ref()?;
        layout.threads_sleep_at(raw.hold.address)
    }

    fn take<M: Memory>(&mut self, reflect: &Reflect<'_, '_, M>, number: usize, claims: &Claims) {
        for raw in &claims.waits {
            let Some(waited) = &raw.lock else { continue };
            if let Some(lock) = self.meet(reflect, waited.lock, waited.ty, false) {
                lock.kind = Some(raw.wait.kind);
            }
            if let Some((object, ty)) = waited.object.and_then(|object| Some((object.address, object.ty?))) {
                self.meet(reflect, object, ty, true);
            }
        }
        let is_claim = |raw: &RawHold| raw.hold.role.is_guard() && !raw.guessed;
        for (i, raw) in claims.holds.iter().enumerate().filter(|(_, raw)| is_claim(raw)) {
            if let Some(lock) = raw.ty.and_then(|ty| self.meet(reflect, raw.hold.address, ty, true)) {
                lock.claims.push((number, i));
                lock.claimed = lock.claimed.or(Some(raw.hold.kind));
            }
        }
    }

    /// A guess that does not fit to what is known of a lock is wrong, and must not change that.
    fn take_guesses<M: Memory>(&mut self, reflect: &Reflect<'_, '_, M>, number: usize, claims: &Claims) {
        for (i, raw) in claims.holds.iter().enumerate().filter(|(_, raw)| raw.guessed && !raw.gone) {
            let Some(ty) = raw.ty else { continue };
            let Some(layout) = self.layout(reflect, ty) else { continue };
            let known = self.known.get(&layout.key(raw.hold.address)).map(|lock| lock.claimed.or(lock.kind));
            if known.is_none_or(|kind| kind == Some(raw.hold.kind))
                && let Some(lock) = self.meet(reflect, raw.hold.address, ty, true)
            {
                lock.claims.push((number, i));
                lock.claimed = Some(raw.hold.kind);
            }
        }
    }

    /// The lock at this address, known from now on. What is only tokio's semaphore may turn out to be part of a Mutex.
    fn meet<M: Memory>(
        &mut self,
        reflect: &Reflect<'_, '_, M>,
        address: Avma,
        ty: DieRef,
        object: bool,
    ) -> Option<&mut Lock> {
        let layout = self.layout(reflect, ty)?;
        let whole = object && layout.has_capacity();
        let key = layout.key(address);
        let fresh = || Lock {
            address,
            layout,
            whole,
            state: LockState::default(),
            kind: None,
            claimed: None,
            claims: Vec::new(),
            places: HashMap::new(),
            holders: Holders::default(),
        };
        let lock = self.known.entry(key).or_insert_with(fresh);
        if whole && !lock.whole || object && address != key && lock.address == key {
            (lock.address, lock.layout, lock.whole) = (address, layout, whole);
        }
        Some(lock)
    }

    /// Asks the drop glue of tasks about their claims, first of those on locks that somebody waits for.
    fn ask<M: Memory>(&self, reflect: &Reflect<'_, '_, M>, glue: &DropGlue<'_>, all: &mut [Claims]) {
        let mut asked = BTreeMap::<usize, (bool, Vec<(usize, &Lock)>)>::new();
        for lock in self.known.values().filter(|lock| lock.state.held != Some(0)) {
            let is_task = |task: usize| all[task].task.id.runtime == RuntimeKind::Tokio;
            for (task, i) in lock.claims.iter().filter(|(task, _)| is_task(*task)) {
                let (idle, claims) = asked.entry(*task).or_insert((true, Vec::new()));
                *idle &= lock.kind.is_none();
                claims.push((*i, lock));
            }
        }
        let mut asked: Vec<_> = asked.into_iter().collect();
        asked.sort_by_key(|(_, (idle, _))| *idle);
        asked.truncate(MAX_RUNS);
        let told = asked.into_par_iter().map(|(task, (_, claims))| {
            let ask = |(i, lock): &(usize, &Lock)| {
                let raw = &all[task].holds[*i];
                Asked { raw, layout: lock.layout, lock: lock.address, permits: lock.permits(raw) }
            };
            let asked: Vec<Asked<'_>> = claims.iter().map(ask).collect();
            let verdicts = glue.verdicts(reflect, all[task].task.address, HEADER_VTABLE, &asked);
            (task, claims.iter().map(|(i, _)| *i).zip(verdicts).collect::<Vec<_>>())
        });
        for (task, verdicts) in told.collect::<Vec<_>>() {
            for (i, verdict) in verdicts {
                all[task].holds[i].verdict = verdict;
            }
        }
    }

    /// Decides of each claim whether it stands: the lock arbitrates.
    fn judge<M: Memory>(&self, memory: &M, all: &mut [Claims]) {
        read_again(memory, all);
        for lock in self.known.values() {
            let held = lock.state.held;
            let permits = |all: &[Claims], counts: &dyn Fn(&RawHold) -> bool| -> u64 {
                let raws = lock.claims.iter().map(|(task, i)| &all[*task].holds[*i]);
                raws.filter(|raw| counts(raw)).map(|raw| lock.permits(raw)).fold(0, u64::saturating_add)
            };
            let kept = permits(all, &|raw| raw.verdict == Verdict::Keeps);
            for (task, i) in &lock.claims {
                all[*task].holds[*i].take_verdict(held == Some(kept));
            }
            let sure = permits(all, &|raw| !raw.gone && raw.hold.certainty == Certainty::Proven);
            for (task, i) in &lock.claims {
                let steady = !all[*task].task.stale && all[*task].task.state != TaskState::Running;
                let raw = &mut all[*task].holds[*i];
                if lock.kind != Some(ResourceKind::Mpsc) {
                    raw.hold.address = lock.address;
                }
                raw.hold.kind = lock.kind.unwrap_or(raw.hold.kind);
                if raw.hold.kind == ResourceKind::OnceCell {
                    raw.hold.role = HoldRole::Exclusive;
                }
                let certain = raw.hold.certainty == Certainty::Proven;
                // What nobody holds has no guard, and what is accounted for has no other: what was read are the bytes of
                // guards that are gone.
                raw.gone |= held == Some(0) || (!certain && held == Some(sure));
                if !(steady && held.is_none_or(|held| sure <= held) && raw.still_there) {
                    raw.hold.certainty = Certainty::Possible;
                }
            }
        }
        for claims in all {
            once_each(&mut claims.holds);
        }
    }

    /// Who holds each lock, found once for all who wait for it.
    fn settle(&mut self, all: &[Claims]) {
        for lock in self.known.values_mut() {
            lock.holders = lock.holders(all);
        }
    }

    fn wait(&self, waited: &LockWait, wait: &mut Wait) {
        let Some(lock) = self.known.get(&waited.lock) else { return };
        if wait.kind != ResourceKind::Mpsc {
            wait.address = Some(lock.address);
        }
        wait.certainty = lock.holders.certainty;
        wait.acquired_at.clone_from(&lock.holders.acquired_at);
        wait.holders.clone_from(&lock.holders.tasks);
        wait.detail = Some(lock.words(waited)).filter(|words| !words.is_empty()).map(Into::into);
    }
}

/// A guard that was moved from one local to another of the same future may be read in both.
fn once_each(holds: &mut [RawHold]) {
    let named = |raw: &RawHold| raw.owner.is_some() && !raw.hold.local.starts_with("__");
    for i in 0..holds.len() {
        let twin = |other: &RawHold| {
            let hold = &holds[i].hold;
            let same = (other.hold.address, other.hold.role) == (hold.address, hold.role);
            same && hold.role == HoldRole::Exclusive && !other.gone
        };
        let better = |(j, other): (usize, &RawHold)| {
            let rank = |at: usize, raw: &RawHold| (raw.hold.certainty == Certainty::Proven, named(raw), at);
            j != i && twin(other) && rank(j, other) > rank(i, &holds[i])
        };
        holds[i].gone |= holds.iter().enumerate().any(better);
    }
}

/// Whether the slot of each guard or channel's end says the same in a second read, past every cache.
fn read_again<M: Memory>(memory: &M, all: &mut [Claims]) {
    let mut guards: Vec<&mut RawHold> = all.iter_mut().flat_map(|claims| &mut claims.holds).collect();
    let mut words = vec![[0; 8]; guards.len()];
    let mut requests: Vec<(Avma, &mut [u8])> =
        guards.iter().zip(&mut words).map(|(raw, word)| (raw.slot, &mut word[..])).collect();
    let failed = memory.read_many(&mut requests);
    for (i, (raw, word)) in guards.iter_mut().zip(&words).enumerate() {
        raw.still_there = u64::from_le_bytes(*word) == raw.word && failed.binary_search(&i).is_err();
    }
}

/// The tasks with these headers.
fn joined(all: &[Claims], headers: &HashSet<Avma>) -> HashMap<Avma, TaskId> {
    let tasks = all.iter().map(|claims| &claims.task).filter(|task| headers.contains(&task.address));
    tasks.map(|task| (task.address, task.id)).collect()
}

/// A join waits for its task, and for nobody else.
fn join(raw: &mut RawWait, tasks: &HashMap<Avma, TaskId>) {
    let Some(header) = raw.wait.address.filter(|_| raw.joins) else { return };
    if let Some(id) = tasks.get(&header) {
        raw.wait.task = Some(*id);
        raw.wait.holders = Box::from([*id]);
        raw.wait.certainty = Some(Certainty::Proven);
    }
}
