//! The kernel's records of wakes, spawns and drops, and the sums of delays between wakes and polls → events.

use super::held::Reading;
use super::translate::Translator;
use super::{Doer, TraceEvent};
use crate::decode::{RuntimeKind, TaskId};
use async_inspect_ebpf::{Account, CAUSE_BY_TASK, CAUSE_DROP, CAUSE_SPAWN, CAUSE_WAKE, Cause, PollEvent};
use std::collections::HashMap;

/// As [`Account`] and [`PollEvent`] have them. All but the maxima only ever grow, whichever task stands at the address; the
/// longest is of the task alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    count: u64,
    sum_ns: u64,
    max_ns: u64,
    idle_ns: u64,
    poll_max_ns: u64,
    /// Of `count`, those of the tasks that stood at the address before.
    before: u64,
}

impl From<&Account> for Sums {
    fn from(account: &Account) -> Sums {
        Sums {
            count: account.delays,
            sum_ns: account.delay_ns,
            max_ns: account.delay_max_ns,
            idle_ns: account.idle_ns,
            poll_max_ns: account.busy_max_ns,
            before: account.delays_before,
        }
    }
}

impl From<&PollEvent> for Sums {
    fn from(event: &PollEvent) -> Sums {
        Sums {
            count: event.delays,
            sum_ns: event.delay_ns,
            max_ns: event.delay_max_ns,
            idle_ns: event.idle_ns,
            poll_max_ns: event.busy_max_ns,
            before: event.delays_before,
        }
    }
}

/// An account's delays.
#[derive(Clone, Copy, Debug, Default)]
struct Owed {
    task: u64,
    known: Sums,
    /// `known` when this was told.
    told: Sums,
}

impl Owed {
    /// What was not told yet.
    fn take(&mut self) -> Option<Sums> {
        let count = self.known.count.saturating_sub(self.told.count);
        let sum_ns = self.known.sum_ns.saturating_sub(self.told.sum_ns);
        let idle_ns = self.known.idle_ns.saturating_sub(self.told.idle_ns);
        self.told = self.known;
        (count > 0 || idle_ns > 0).then_some(Sums { count, sum_ns, idle_ns, before: 0, ..self.known })
    }
}

/// By the header's address.
#[derive(Debug, Default)]
pub(super) struct Delays(HashMap<u64, Owed>);

impl Delays {
    pub fn forget(&mut self, header: u64) {
        self.0.remove(&header);
    }

    /// The account at `header` says this. If it was another task's before: that one, and what of its delays was not told.
    /// `is_first`: the task had no poll before that could have followed a wake.
    fn note(&mut self, header: u64, task: u64, sums: Sums, is_first: bool) -> Option<(u64, Sums)> {
        if (sums.count, sums.idle_ns) == (0, 0) {
            return None;
        }
        let owed = self.0.entry(header).or_default();
        let before = owed.known;
        let known = Sums {
            count: before.count.max(sums.count),
            sum_ns: before.sum_ns.max(sums.sum_ns),
            idle_ns: before.idle_ns.max(sums.idle_ns),
            ..sums
        };
        let mut left = None;
        if owed.task != task {
            // How long the longest of the other was, if there was another, nobody said since. Where this one has no delay of its
            // own yet, all up to now was the other's.
            if owed.task != 0 && known.count <= sums.before {
                let idle_ns = if is_first { known.idle_ns } else { before.idle_ns };
                let (max_ns, poll_max_ns) = (before.max_ns, before.poll_max_ns);
                owed.known = Sums { idle_ns, max_ns, poll_max_ns, ..known };
            } else if owed.task != 0 {
                owed.known.count = before.count.max(sums.before);
            }
            left = owed.take().map(|left| (owed.task, left));
            owed.task = task;
        }
        owed.known = known;
        left
    }

    fn take(&mut self, header: u64) -> Option<Sums> {
        self.0.get_mut(&header)?.take()
    }
}

fn tokio(id: u64) -> TaskId {
    TaskId { runtime: RuntimeKind::Tokio, id }
}

impl Translator {
    /// Adds the event of one record. `tid` is the thread as the user knows it.
    pub fn caused(&mut self, cause: &Cause, tid: u32, out: &mut Vec<TraceEvent>) {
        if !self.tells_apart(cause.site) {
            self.anonymous += 1;
            return;
        }
        let (t_ns, task) = (cause.t_ns, tokio(cause.task));
        let by = match cause.flags & CAUSE_BY_TASK {
            0 => Doer::Thread(tid),
            _ => Doer::Task(tokio(cause.by)),
        };
        match cause.kind {
            CAUSE_WAKE => out.push(TraceEvent::Wake { t_ns, task, by }),
            CAUSE_SPAWN => self.first_sight(t_ns, task, cause.site, Some(by), out),
            CAUSE_DROP => {
                self.first_sight(t_ns, task, cause.site, None, out);
                self.dropped(t_ns, task, tid, out);
            }
            _ => {}
        }
    }

    /// Adds what an account says of delays that it did not say before.
    pub(super) fn delayed(&mut self, reading: &Reading, out: &mut Vec<TraceEvent>) {
        let account = &reading.account;
        if self.tells_apart(account.site) {
            self.note_delays(account.last_end_ns, reading.header, account.task, account.into(), false, out);
            self.tell_delays(account.last_end_ns, reading.header, account.task, out);
        }
    }

    /// Takes note of delays; they are told with the next reading, or when the task ends: not with each record.
    pub(super) fn note_delays(
        &mut self,
        t_ns: u64,
        header: u64,
        task: u64,
        sums: Sums,
        is_first: bool,
        out: &mut Vec<TraceEvent>,
    ) {
        if let Some((other, left)) = self.delays.note(header, task, sums, is_first) {
            out.push(self.told(t_ns, other, left));
        }
    }

    pub(super) fn tell_delays(&mut self, t_ns: u64, header: u64, task: u64, out: &mut Vec<TraceEvent>) {
        let sums = self.delays.take(header);
        out.extend(sums.map(|sums| self.told(t_ns, task, sums)));
    }
}

impl Translator {
    fn told(&self, t_ns: u64, task: u64, sums: Sums) -> TraceEvent {
        let Sums { count, sum_ns, max_ns, idle_ns, poll_max_ns, .. } = sums;
        let seen = |ns| (!self.entry_only).then_some(ns);
        let (idle_ns, poll_max_ns) = (seen(idle_ns), seen(poll_max_ns));
        TraceEvent::Delays { t_ns, task: tokio(task), count, sum_ns, max_ns, idle_ns, poll_max_ns }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: u64 = 0x1000;

    fn sums(count: u64, sum_ns: u64, max_ns: u64) -> Sums {
        Sums { count, sum_ns, max_ns, ..Sums::default() }
    }

    #[test]
    fn delays_are_told_once() {
        let mut delays = Delays::default();
        assert_eq!(delays.note(AT, 1, sums(2, 30, 20), false), None);
        assert_eq!(delays.take(AT), Some(sums(2, 30, 20)));
        assert_eq!(delays.take(AT), None);
        assert_eq!(delays.note(AT, 1, sums(5, 70, 20), false), None);
        // One that was overtaken.
        assert_eq!(delays.note(AT, 1, sums(4, 60, 20), false), None);
        assert_eq!(delays.take(AT), Some(sums(3, 40, 20)));
    }

    #[test]
    fn what_a_task_gained_before_another_took_its_place_is_its_own() {
        let mut delays = Delays::default();
        assert_eq!(delays.note(AT, 1, sums(5, 70, 30), false), None);
        assert_eq!(delays.take(AT), Some(sums(5, 70, 30)));
        // The first poll of the next task follows no wake: what came since was the first task's.
        let before = |before, sums| Sums { before, ..sums };
        assert_eq!(delays.note(AT, 2, before(7, sums(7, 90, 0)), true), Some((1, sums(2, 20, 30))));
        assert_eq!(delays.take(AT), None);
        assert_eq!(delays.note(AT, 2, before(7, sums(8, 99, 9)), false), None);
        assert_eq!(delays.take(AT), Some(sums(1, 9, 9)));
        // The end of a task's first poll is told after later polls, and an account is read in between.
        assert_eq!(delays.note(AT, 3, before(8, sums(11, 120, 8)), true), None);
        assert_eq!(delays.take(AT), Some(sums(3, 21, 8)));
        assert_eq!(delays.note(AT, 4, before(12, sums(14, 150, 8)), false), Some((3, sums(1, 0, 8))));
        assert_eq!(delays.take(AT), Some(sums(2, 30, 8)));
    }
}
