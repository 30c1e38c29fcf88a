//! Tasks that wait for one task, and only then spawn the next and wait for that.
//!
//! A snapshot shows a task that waits for the end of another; the trace tells when that other was born, and when the one that waits
//! had come there. Born after the wait before was over, it was spawned only then.

use super::task::{Known, Since, Stop};
use super::{Model, TaskEntry};
use crate::decode::{FrameId, ResourceKind, Snapshot, TaskId, TaskState};
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

/// Pairs of places that are told apart, and tasks that are followed at once.
const PAIRS: usize = 1000;
const FOLLOWED: usize = 10_000;
/// A task is born when it is polled first, and its spawner arrives at the wait when its poll ends: either may be told first, ns.
const SAME_NS: u64 = 1_000_000;
/// The trace tells this much later, to put events in order; see `HOLD_NS` in trace/held.rs.
const SETTLED_NS: u64 = 150_000_000;

/// What tasks of one name did one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequence {
    pub name: Arc<str>,
    /// Where they waited for the first, and for the one that was spawned after that; may be the same await.
    pub first: FrameId,
    pub second: FrameId,
    /// How often snapshots met it, each time with another task that was waited for.
    pub seen: u64,
    /// The last that did so.
    pub last: TaskId,
}

/// A wait that a snapshot showed.
#[derive(Clone, Copy, Debug)]
struct Seen {
    t_ns: u64,
    task: TaskId,
    joined: TaskId,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Sequences {
    /// Places where tasks were seen to wait for others.
    joins: HashSet<FrameId>,
    /// Whom each was seen to wait for last.
    waited_for: HashMap<TaskId, TaskId>,
    /// Until the trace has told what came before.
    pending: VecDeque<Seen>,
    pairs: HashMap<(Arc<str>, FrameId, FrameId), Sequence>,
}

impl Model {
    pub(super) fn see_sequences(&mut self, snapshot: &Snapshot) {
        let Some(t_ns) = snapshot.t_ns.filter(|_| self.mode.counts_polls()) else { return };
        let waits = snapshot.tasks.iter().filter(|task| task.state == TaskState::Idle && !task.stale);
        for task in waits {
            let [wait] = &*task.waits else { continue };
            let Some(joined) = wait.task.filter(|_| wait.kind == ResourceKind::Join) else { continue };
            let known = self.sequences.waited_for.insert(task.id, joined) == Some(joined);
            if !known && self.sequences.pending.len() < FOLLOWED {
                self.sequences.pending.push_back(Seen { t_ns, task: task.id, joined });
            }
        }
        if self.sequences.waited_for.len() > FOLLOWED {
            self.sequences.waited_for.clear();
        }
    }

    /// Looks at the waits of which the trace has told all by now.
    pub(super) fn settle_sequences(&mut self) {
        let told_ns = self.now_ns.saturating_sub(SETTLED_NS);
        while let Some(seen) = self.sequences.pending.front().copied().filter(|seen| seen.t_ns < told_ns) {
            self.sequences.pending.pop_front();
            let Some(entry) = self.get(seen.task) else { continue };
            let (name, last) = (entry.name.clone(), entry.id);
            let (here, before) = stops_at(entry, seen.t_ns);
            let Some(here) = here else { continue };
            let pair = here.path.place.and_then(|place| {
                let born = self.get(seen.joined)?.born;
                let first = self.came_from(here, before, born)?;
                Some((first, place))
            });
            self.sequences.joins.extend(here.path.place);
            if let Some(pair) = pair {
                self.sequences.pair(name, pair, last);
            }
        }
    }

    /// Where a task waited for another before it spawned the one that it waits for now.
    fn came_from(&self, here: &Stop, before: Option<&Stop>, born: Since) -> Option<FrameId> {
        if born.known != Known::Exact {
            return None;
        }
        if born.t_ns > here.since.t_ns.saturating_add(SAME_NS) {
            // It has been here since before: it waited here for another one.
            return here.path.place;
        }
        let first = before?.path.place.filter(|place| self.sequences.joins.contains(place))?;
        let spawned_then = born.t_ns.saturating_add(SAME_NS) >= here.since.t_ns;
        (here.since.known == Known::Exact && spawned_then).then_some(first)
    }
}

/// Where a task stood at a time, and before that.
fn stops_at(entry: &TaskEntry, t_ns: u64) -> (Option<&Stop>, Option<&Stop>) {
    let mut stops = entry.history.iter().rev().skip_while(|stop| stop.since.t_ns > t_ns);
    (stops.next(), stops.next())
}

impl Sequences {
    fn pair(&mut self, name: Arc<str>, (first, second): (FrameId, FrameId), last: TaskId) {
        let key = (name.clone(), first, second);
        if !self.pairs.contains_key(&key) && self.pairs.len() >= PAIRS {
            return;
        }
        let pair = self.pairs.entry(key).or_insert_with(|| Sequence { name, first, second, seen: 0, last });
        pair.seen += 1;
        pair.last = last;
    }

    pub fn iter(&self) -> impl Iterator<Item = &Sequence> {
        self.pairs.values()
    }
}
