//! How many tasks wait for each lock, over time, as snapshots show it.

use crate::decode::{FrameId, ResourceKind, Snapshot, SourceLine, Task, TaskId, TaskState, Wait};
use crate::target::Avma;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Locks that are kept at once.
const KEPT: usize = 20_000;
/// After a longer gap between two snapshots nothing is said of it, ns.
const GAP_NS: u64 = 60_000_000_000;

/// Tasks that wait for one lock.
#[derive(Clone, Debug, PartialEq)]
pub struct LockWaits {
    pub kind: ResourceKind,
    pub address: Avma,
    /// As of the latest snapshot.
    pub waiters: u64,
    /// The most in any snapshot.
    pub most: u64,
    /// Sum of the time that tasks waited: waiters times the time between snapshots, ns.
    pub waited_ns: u64,
    /// Snapshots in a row, up to the latest, in which somebody waited, and since when that is, CLOCK_MONOTONIC ns.
    pub snapshots: u32,
    pub since_ns: u64,
    /// Waiting since then, of `waited_ns`.
    pub in_a_row_ns: u64,
    /// How many of those had another holder than the one before.
    pub handed_on: u32,
    /// As of the latest snapshot that told one; of several the first.
    pub holder: Option<TaskId>,
    /// The most in any snapshot; at most as many as a wait lists.
    pub holders: u32,
    /// As of the latest snapshot that told it: where the only holder took it, and the future that keeps it.
    pub acquired_at: Option<SourceLine>,
    pub acquired_in: Option<FrameId>,
    /// Of the first who waited, in the order of snapshots.
    pub name: Arc<str>,
    /// The await that waits for it: [`Wait::at`].
    pub wanted: Option<FrameId>,
}

/// By address. A lock that is freed may become another at the same address; it is told from it by nobody waiting in between.
#[derive(Clone, Debug, Default)]
pub(super) struct Locks {
    known: HashMap<(Avma, ResourceKind), LockWaits>,
    last_ns: Option<u64>,
}

impl Locks {
    pub fn take(&mut self, snapshot: &Snapshot) {
        let Some(t_ns) = snapshot.t_ns else { return };
        let passed = t_ns.saturating_sub(self.last_ns.replace(t_ns).unwrap_or(t_ns));
        let mut now: HashMap<(Avma, ResourceKind), (u64, &Task, &Wait)> = HashMap::new();
        for task in snapshot.tasks.iter().filter(|task| task.state == TaskState::Idle) {
            for (nth, wait) in task.waits.iter().enumerate().filter(|(_, wait)| is_lock(wait.kind)) {
                let Some(address) = wait.address else { continue };
                // A task that wants it in several branches is one who waits.
                let same = |other: &Wait| (other.address, other.kind) == (wait.address, wait.kind);
                if !task.waits[..nth].iter().any(same) {
                    now.entry((address, wait.kind)).or_insert((0, task, wait)).0 += 1;
                }
            }
        }
        let keepers = keepers(snapshot, now.values().map(|(.., wait)| *wait));
        for (key, lock) in &mut self.known {
            let waiters = now.get(key).map_or(0, |(waiters, ..)| *waiters);
            // As many on average as at its ends, and no more than that is known of a long gap.
            let mean_ns = if passed <= GAP_NS { passed * (lock.waiters + waiters) / 2 } else { 0 };
            lock.waited_ns = lock.waited_ns.saturating_add(mean_ns);
            lock.in_a_row_ns = lock.in_a_row_ns.saturating_add(mean_ns);
            lock.waiters = waiters;
            lock.most = lock.most.max(waiters);
            if waiters == 0 {
                (lock.snapshots, lock.handed_on, lock.in_a_row_ns) = (0, 0, 0);
            }
        }
        for (key, (waiters, task, wait)) in now {
            if !self.known.contains_key(&key) && self.known.len() >= KEPT {
                self.known.retain(|_, lock| lock.waiters > 0);
                if self.known.len() >= KEPT {
                    continue;
                }
            }
            let fresh = || LockWaits {
                kind: key.1,
                address: key.0,
                waiters,
                most: waiters,
                waited_ns: 0,
                snapshots: 0,
                since_ns: t_ns,
                in_a_row_ns: 0,
                handed_on: 0,
                holder: None,
                holders: 0,
                acquired_at: None,
                acquired_in: None,
                name: task.name.clone(),
                wanted: None,
            };
            let lock = self.known.entry(key).or_insert_with(fresh);
            if lock.snapshots == 0 {
                lock.since_ns = t_ns;
                lock.name = task.name.clone();
                lock.wanted = wait.at.or_else(|| task.place(&snapshot.frames));
            }
            lock.snapshots += 1;
            lock.holders = lock.holders.max(wait.holders.len() as u32);
            if let Some(holder) = wait.holders.first() {
                lock.handed_on += u32::from(lock.holder.is_some_and(|before| before != *holder));
                lock.holder = Some(*holder);
                if wait.acquired_at.is_some() {
                    lock.acquired_at.clone_from(&wait.acquired_at);
                    let held = keepers.get(holder).and_then(|task| task.hold_of(key.0));
                    lock.acquired_in = held.map(|hold| hold.frame);
                }
            }
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &LockWaits> {
        self.known.values()
    }
}

/// Tasks that hold one of these.
fn keepers<'a, 'w>(
    snapshot: &'a Snapshot,
    waits: impl Iterator<Item = &'w Wait>,
) -> HashMap<TaskId, &'a Task> {
    let ids: HashSet<TaskId> = waits.filter_map(|wait| wait.holders.first().copied()).collect();
    let held = snapshot.tasks.iter().filter(|task| !ids.is_empty() && ids.contains(&task.id));
    held.map(|task| (task.id, task)).collect()
}

impl LockWaits {
    /// The same time up to `now_ns`: since the latest snapshot, of `taken_ns`, as many wait as in that.
    pub fn waited_until(&self, now_ns: u64, taken_ns: u64) -> u64 {
        let passed = now_ns.saturating_sub(taken_ns).min(GAP_NS);
        self.waited_ns.saturating_add(passed.saturating_mul(self.waiters))
    }
}

fn is_lock(kind: ResourceKind) -> bool {
    matches!(
        kind,
        ResourceKind::Mutex | ResourceKind::RwLock | ResourceKind::Semaphore | ResourceKind::OnceCell
    )
}
