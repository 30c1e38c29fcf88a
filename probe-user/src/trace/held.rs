//! What the kernel told, put in order: held back for a moment, because a thread may be preempted between the end of a poll and
//! its record, and the task's next poll, on another thread, then be told first.

use super::translate::Record;
use async_inspect_ebpf::{Account, Cause, PollEvent};
use std::collections::HashSet;

/// Longer than a thread is preempted there, as a rule. A record that comes later still costs no count, only a place of the
/// task's history.
pub(super) const HOLD_NS: u64 = 100_000_000;

/// An account as it was read at a moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Reading {
    pub t_ns: u64,
    pub header: u64,
    pub account: Account,
}

#[derive(Clone, Debug)]
enum Waiting {
    // In a box, as what waits is sorted and moved several times.
    Poll(Box<Poll>),
    Reading(Reading),
    Cause(Cause),
    Removed { t_ns: u64, header: u64 },
}

#[derive(Clone, Debug)]
struct Poll {
    event: PollEvent,
    to: Box<[u32]>,
    from: Box<[u32]>,
}

/// What comes out.
pub(super) enum Told<'a> {
    Poll(Record<'a>),
    Reading(Reading),
    Cause(Cause),
    /// The account at this address is no more.
    Removed(u64),
}

/// What waits.
#[derive(Debug, Default)]
pub(super) struct Held {
    waiting: Vec<Waiting>,
}

impl Waiting {
    /// Polls of one task begin in the order in which they are polled, whenever they are told.
    fn order(&self) -> u64 {
        match self {
            Waiting::Poll(poll) => poll.event.start_ns,
            Waiting::Reading(reading) => reading.t_ns,
            Waiting::Cause(cause) => cause.t_ns,
            Waiting::Removed { t_ns, .. } => *t_ns,
        }
    }

    /// Address of the task's header.
    fn header(&self) -> u64 {
        match self {
            Waiting::Poll(poll) => poll.event.header,
            Waiting::Reading(Reading { header, .. }) | Waiting::Removed { header, .. } => *header,
            Waiting::Cause(cause) => cause.header,
        }
    }

    fn ready_at(&self) -> u64 {
        match self {
            Waiting::Poll(poll) => poll.event.end_ns.max(poll.event.start_ns),
            Waiting::Reading(reading) => reading.t_ns,
            Waiting::Cause(cause) => cause.t_ns,
            Waiting::Removed { t_ns, .. } => *t_ns,
        }
    }
}

impl Held {
    pub fn push(&mut self, record: &Record<'_>) {
        let Record { event, to, from } = *record;
        self.waiting.push(Waiting::Poll(Box::new(Poll { event, to: to.into(), from: from.into() })));
    }

    pub fn push_reading(&mut self, reading: Reading) {
        self.waiting.push(Waiting::Reading(reading));
    }

    pub fn push_cause(&mut self, cause: Cause) {
        self.waiting.push(Waiting::Cause(cause));
    }

    pub fn push_removed(&mut self, t_ns: u64, header: u64) {
        self.waiting.push(Waiting::Removed { t_ns, header });
    }

    /// Hands out all that was over before `horizon_ns`, polls in the order of their starts. What comes after a poll that has to
    /// wait, at the same address, waits for it: where a poll's end is told late, later polls are over before it.
    pub fn release(&mut self, horizon_ns: u64, mut hand_out: impl FnMut(Told<'_>)) {
        self.waiting.sort_by_key(Waiting::order);
        let (mut kept, mut held_up) = (Vec::new(), HashSet::new());
        for waiting in std::mem::take(&mut self.waiting) {
            // As is all that follows: no need to note what would wait for it.
            if waiting.order() > horizon_ns {
                kept.push(waiting);
                continue;
            }
            let header = waiting.header();
            if waiting.ready_at() > horizon_ns || held_up.contains(&header) {
                held_up.insert(header);
                kept.push(waiting);
                continue;
            }
            hand_out(match &waiting {
                Waiting::Poll(poll) => {
                    Told::Poll(Record { event: poll.event, to: &poll.to, from: &poll.from })
                }
                Waiting::Reading(reading) => Told::Reading(*reading),
                Waiting::Cause(cause) => Told::Cause(*cause),
                Waiting::Removed { header, .. } => Told::Removed(*header),
            });
        }
        self.waiting = kept;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll(start_ns: u64, end_ns: u64) -> PollEvent {
        PollEvent { start_ns, end_ns, ..PollEvent::default() }
    }

    fn released(held: &mut Held, horizon: u64) -> Vec<u64> {
        let mut out = Vec::new();
        held.release(horizon, |told| {
            out.push(match told {
                Told::Poll(record) => record.event.start_ns,
                Told::Reading(reading) => reading.t_ns,
                Told::Cause(cause) => cause.t_ns,
                Told::Removed(header) => header,
            });
        });
        out
    }

    #[test]
    fn in_the_order_of_starts_and_what_is_young_waits() {
        let mut held = Held::default();
        let told = |event| Record { event, to: &[], from: &[] };
        let other = PollEvent { header: 7, ..poll(1, 30) };
        held.push(&told(poll(10, 15)));
        held.push_reading(Reading { t_ns: 12, header: 0, account: Account::default() });
        held.push(&told(other));
        held.push(&told(poll(40, 0)));
        held.push_removed(13, 99);
        held.push_cause(Cause { t_ns: 11, ..Cause::default() });
        assert_eq!(released(&mut held, 29), [10, 11, 12, 99]);
        assert_eq!(released(&mut held, 39), [1]);
        assert_eq!(released(&mut held, u64::MAX), [40]);
    }

    #[test]
    fn what_follows_a_poll_that_waits_waits_for_it() {
        let mut held = Held::default();
        let told = |event| Record { event, to: &[], from: &[] };
        held.push(&told(poll(1, 30)));
        held.push(&told(poll(2, 4)));
        held.push(&told(PollEvent { header: 7, ..poll(3, 5) }));
        held.push_reading(Reading { t_ns: 6, header: 0, account: Account::default() });
        assert_eq!(released(&mut held, 20), [3]);
        assert_eq!(released(&mut held, 30), [1, 2, 6]);
    }
}
