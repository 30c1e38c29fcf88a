//! Polls held back for a moment, until the next poll of the same task tells how they really left it.
//!
//! A return probe reads the task's path after the poll has let go of the task. By then another thread may have polled it
//! again, even to its end, and its record may even come first. But nothing changes a task between two polls: where the next
//! poll finds it is where this one left it. So records wait, are put in the order of their starts, and each takes its exit
//! from its successor's entry. The last poll of a task has no successor, and nobody to be disturbed by.

use super::translate::Record;
use async_inspect_ebpf::{
    EVENT_GONE, EVENT_MOVED, EVENT_START_ONLY, EVENT_UNREADABLE, PATH_BAD_TABLE, PATH_UNKNOWN_STATE,
    PATH_UNREADABLE, PollEvent,
};
use std::collections::HashMap;

/// Longer than a thread is preempted between the end of a poll and its return probe's read, as a rule; a record that comes
/// later still is told as it says of itself.
pub(super) const HOLD_NS: u64 = 100_000_000;

#[derive(Clone, Debug)]
struct Poll {
    event: PollEvent,
    exit: Arms,
    entry: Arms,
}

#[derive(Clone, Debug, PartialEq)]
struct Arms {
    arms: Box<[u32]>,
    flags: u16,
}

impl Arms {
    fn is_whole(&self) -> bool {
        u32::from(self.flags) & (PATH_UNREADABLE | PATH_UNKNOWN_STATE | PATH_BAD_TABLE) == 0
    }
}

/// What waits.
#[derive(Debug, Default)]
pub(super) struct Held {
    polls: Vec<Poll>,
}

impl Held {
    pub fn push(&mut self, record: &Record<'_>) {
        let event = record.event;
        let exit = Arms { arms: record.to.into(), flags: event.to_flags };
        // A path that is the same at both ends is recorded once.
        let entry = match event.flags & EVENT_MOVED {
            0 => exit.clone(),
            _ => Arms { arms: record.from.into(), flags: event.from_flags },
        };
        self.polls.push(Poll { event, exit, entry });
    }

    /// Hands out, in the order of their starts, all polls that ended before `horizon_ns`.
    pub fn release(&mut self, horizon_ns: u64, mut hand_out: impl FnMut(Record<'_>)) {
        self.polls.sort_by_key(|poll| poll.event.start_ns);
        self.settle();
        let mut kept = Vec::new();
        for poll in self.polls.drain(..) {
            if poll.event.end_ns.max(poll.event.start_ns) > horizon_ns {
                kept.push(poll);
            } else {
                hand_out(Record { event: poll.event, to: &poll.exit.arms, from: &poll.entry.arms });
            }
        }
        self.polls = kept;
    }

    /// Gives each poll its successor's entry as its exit.
    fn settle(&mut self) {
        let mut next: HashMap<u64, Arms> = HashMap::new();
        for poll in self.polls.iter_mut().rev() {
            if poll.event.flags & (EVENT_START_ONLY | EVENT_UNREADABLE) != 0 {
                continue;
            }
            if let Some(entry) = next.insert(poll.event.task, poll.entry.clone()).filter(Arms::is_whole) {
                poll.event.flags &= !(EVENT_GONE | EVENT_MOVED);
                if entry != poll.entry {
                    poll.event.flags |= EVENT_MOVED;
                }
                poll.event.to_flags = entry.flags;
                poll.event.from_flags = poll.entry.flags;
                poll.exit = entry;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll(task: u64, start_ns: u64, flags: u32) -> PollEvent {
        PollEvent { task, start_ns, end_ns: start_ns + 5, flags: flags as _, ..PollEvent::default() }
    }

    fn released(held: &mut Held, horizon: u64) -> Vec<(u64, bool, Vec<u32>, Vec<u32>)> {
        let mut out = Vec::new();
        held.release(horizon, |r| {
            let moved = r.event.flags & EVENT_MOVED != 0;
            out.push((r.event.start_ns, moved, r.from.to_vec(), r.to.to_vec()));
        });
        out
    }

    #[test]
    fn a_poll_ends_where_the_next_one_begins() {
        let mut held = Held::default();
        // The second poll came first, and had moved the task on when the first one was read: 1 → 2 → 3, read as 1 → 3.
        held.push(&Record { event: poll(7, 10, EVENT_MOVED as _), to: &[3], from: &[2] });
        held.push(&Record { event: poll(7, 1, EVENT_MOVED as _), to: &[3], from: &[1] });
        assert_eq!(released(&mut held, 100), [(1, true, vec![1], vec![2]), (10, true, vec![2], vec![3])]);
    }

    #[test]
    fn a_move_and_its_way_back_are_not_lost() {
        let mut held = Held::default();
        held.push(&Record { event: poll(7, 1, 0), to: &[1], from: &[] });
        held.push(&Record { event: poll(7, 10, EVENT_MOVED as _), to: &[1], from: &[2] });
        assert_eq!(released(&mut held, 100), [(1, true, vec![1], vec![2]), (10, true, vec![2], vec![1])]);
    }

    #[test]
    fn what_is_young_waits() {
        let mut held = Held::default();
        held.push(&Record { event: poll(7, 1, 0), to: &[1], from: &[] });
        assert!(released(&mut held, 5).is_empty());
        assert_eq!(released(&mut held, 6), [(1, false, vec![1], vec![1])]);
    }
}
