//! The kernel's records of wakes and spawns, and the sums of delays between wakes and polls → events.

use super::held::Reading;
use super::translate::Translator;
use super::{Doer, TraceEvent};
use crate::decode::{RuntimeKind, TaskId};
use async_inspect_ebpf::{CAUSE_BY_TASK, CAUSE_SPAWN, CAUSE_WAKE, Cause};
use std::collections::HashMap;

/// Delays of an account's task that were told.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    task: u64,
    count: u32,
    sum_ns: u64,
}

/// By the header's address.
#[derive(Debug, Default)]
pub(super) struct Delays(HashMap<u64, Told>);

impl Delays {
    pub fn forget(&mut self, header: u64) {
        self.0.remove(&header);
    }

    /// What the account has more than was told, if anything: how many, and their sum in ns.
    fn gain(&mut self, reading: &Reading) -> Option<(u64, u64)> {
        let account = &reading.account;
        let known = self.0.contains_key(&reading.header);
        if account.delays == 0 && !known {
            return None;
        }
        let told = self.0.entry(reading.header).or_default();
        // The sums begin anew with each task.
        if told.task != account.task {
            *told = Told { task: account.task, ..Told::default() };
        }
        let count = account.delays.saturating_sub(told.count);
        if count == 0 {
            return None;
        }
        let sum_ns = account.delay_ns.saturating_sub(told.sum_ns);
        (told.count, told.sum_ns) = (account.delays, account.delay_ns);
        Some((count.into(), sum_ns))
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
            _ => {}
        }
    }

    /// Adds what an account says of delays that it did not say before.
    pub fn delayed(&mut self, reading: &Reading, out: &mut Vec<TraceEvent>) {
        let account = &reading.account;
        if !self.tells_apart(account.site) {
            return;
        }
        if let Some((count, sum_ns)) = self.delays.gain(reading) {
            let (t_ns, task, max_ns) = (account.last_end_ns, tokio(account.task), account.delay_max_ns);
            out.push(TraceEvent::Delays { t_ns, task, count, sum_ns, max_ns });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_inspect_ebpf::Account;

    #[test]
    fn delays_are_told_once_and_begin_anew_with_another_task() {
        let mut delays = Delays::default();
        let mut gain = |task, count, sum_ns| {
            let account = Account { task, delays: count, delay_ns: sum_ns, ..Account::default() };
            delays.gain(&Reading { t_ns: 0, header: 0x1000, account })
        };
        assert_eq!(gain(1, 0, 0), None);
        assert_eq!(gain(1, 2, 30), Some((2, 30)));
        assert_eq!(gain(1, 2, 30), None);
        assert_eq!(gain(1, 5, 70), Some((3, 40)));
        assert_eq!(gain(2, 1, 9), Some((1, 9)), "the sums are another task's");
        assert_eq!(gain(2, 1, 9), None);
    }
}
