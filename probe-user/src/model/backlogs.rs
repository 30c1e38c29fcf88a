//! How many messages lie in channels without a bound, over time, as snapshots show it.

use crate::decode::{Snapshot, TaskId};
use crate::target::Avma;
use std::collections::HashMap;

/// Channels that are kept at once.
const KEPT: usize = 20_000;

/// Messages in one channel, since they last became fewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backlog {
    pub channel: Avma,
    /// Who receives.
    pub receiver: TaskId,
    /// CLOCK_MONOTONIC, ns, and how many there were then.
    pub first: (u64, u64),
    pub last: (u64, u64),
    /// Snapshots from the first to the last, in which they never became fewer.
    pub looks: u32,
    /// Of these, in how many there were more than in the one before.
    pub grew: u32,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Backlogs {
    known: HashMap<(Avma, TaskId), Backlog>,
}

impl Backlogs {
    pub fn take(&mut self, snapshot: &Snapshot) {
        let Some(t_ns) = snapshot.t_ns else { return };
        let holds = snapshot.tasks.iter().flat_map(|task| task.holds.iter().map(move |hold| (task.id, hold)));
        for (receiver, hold) in holds {
            let Some(messages) = hold.backlog else { continue };
            let (key, now) = ((hold.address, receiver), (t_ns, messages));
            if !self.known.contains_key(&key) && self.known.len() >= KEPT {
                continue;
            }
            let fresh = Backlog { channel: hold.address, receiver, first: now, last: now, looks: 0, grew: 0 };
            let backlog = self.known.entry(key).or_insert(fresh);
            if messages < backlog.last.1 {
                *backlog = fresh;
            }
            backlog.grew += u32::from(messages > backlog.last.1);
            backlog.last = now;
            backlog.looks += 1;
        }
        // A task that polls right now does not tell what it keeps; one that has gone never will again.
        if self.known.len() >= KEPT {
            self.known.retain(|_, backlog| backlog.last.0 == t_ns);
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Backlog> {
        self.known.values()
    }
}
