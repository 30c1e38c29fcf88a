//! How many tasks wait for each lock, over time, as snapshots show it.

use crate::decode::{ResourceKind, Snapshot, SourceLine, Task, TaskId, TaskState, Wait};
use crate::target::Avma;
use std::collections::HashMap;
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
    /// As of the latest snapshot that told one.
    pub holder: Option<TaskId>,
    pub acquired_at: Option<SourceLine>,
    /// Of the first who waited, in the order of snapshots.
    pub name: Arc<str>,
    pub wanted_at: Option<SourceLine>,
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
            for wait in task.waits.iter().filter(|wait| is_lock(wait.kind)) {
                let Some(address) = wait.address else { continue };
                now.entry((address, wait.kind)).or_insert((0, task, wait)).0 += 1;
            }
        }
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
                acquired_at: None,
                name: task.name.clone(),
                wanted_at: None,
            };
            let lock = self.known.entry(key).or_insert_with(fresh);
            if lock.snapshots == 0 {
                lock.since_ns = t_ns;
                lock.name = task.name.clone();
                lock.wanted_at = task.location(&snapshot.frames);
            }
            lock.snapshots += 1;
            if let Some(holder) = wait.holders.first() {
                lock.handed_on += u32::from(lock.holder.is_some_and(|before| before != *holder));
                lock.holder = Some(*holder);
                lock.acquired_at = wait.acquired_at.clone().or(lock.acquired_at.take());
            }
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &LockWaits> {
        self.known.values()
    }
}

fn is_lock(kind: ResourceKind) -> bool {
    matches!(
        kind,
        ResourceKind::Mutex | ResourceKind::RwLock | ResourceKind::Semaphore | ResourceKind::OnceCell
    )
}
