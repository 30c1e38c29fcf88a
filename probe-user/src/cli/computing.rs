//! What threads compute in polls that take long, gathered by poll until it is told.

use crate::decode::{Blockers, TaskId};
use crate::trace::{CpuSample, CpuSamples, Doing, LongPoll, OffCpu, TraceEvent};
use std::collections::HashMap;
use std::sync::Arc;

/// Threads whose last poll is remembered.
const THREADS: usize = 1 << 12;

#[derive(Debug, Default)]
pub(super) struct Computing {
    /// By thread and by when the poll began.
    polls: HashMap<(u32, u64), Sampled>,
    /// By thread, when the poll began that was asked for last, and its last sample when it was over.
    asked: HashMap<u32, (u64, u64)>,
}

#[derive(Debug)]
struct Sampled {
    task: TaskId,
    name: Arc<str>,
    /// Of the last sample.
    t_ns: u64,
    off_cpu: Option<OffCpu>,
    nth: u64,
    /// What was not told yet.
    cpu: CpuSamples,
}

impl Computing {
    /// Adds what was found. Follows at most so many stacks; answers how many it did.
    pub fn gather(&mut self, found: Vec<CpuSample>, blockers: &mut Blockers, most_stacks: u32) -> u32 {
        let mut stacks = 0;
        for sample in found {
            let follows = stacks < most_stacks;
            let poll = self.poll(&sample);
            match sample.stack.as_ref().filter(|_| follows) {
                Some(stack) => {
                    stacks += 1;
                    poll.cpu.add(blockers.computing(sample.registers, stack, sample.sp));
                }
                None => poll.cpu.add_unknown(1),
            }
        }
        stacks
    }

    fn poll(&mut self, sample: &CpuSample) -> &mut Sampled {
        let &CpuSample { t_ns, tid, task, since_ns, off_cpu, nth, .. } = sample;
        let before = self.asked.get(&tid).filter(|(asked_ns, _)| *asked_ns == since_ns).map(|(_, nth)| *nth);
        let poll = self.polls.entry((tid, since_ns)).or_insert_with(|| Sampled {
            task,
            name: sample.name.clone(),
            t_ns,
            off_cpu,
            nth: before.unwrap_or(0),
            cpu: CpuSamples::default(),
        });
        // Those between had no room in the ring.
        poll.cpu.add_unknown(nth.saturating_sub(poll.nth.saturating_add(1)));
        (poll.t_ns, poll.off_cpu, poll.nth) = (t_ns, off_cpu, nth);
        poll
    }

    /// Whether there is something to be told of a poll.
    pub fn knows(&self, tid: u32, since_ns: u64) -> bool {
        self.polls.get(&(tid, since_ns)).is_some_and(|poll| !poll.cpu.is_empty())
    }

    /// What was found since this was last asked.
    pub fn take(&mut self, tid: u32, since_ns: u64) -> CpuSamples {
        if self.asked.len() >= THREADS {
            self.asked.clear();
        }
        let poll = self.polls.get_mut(&(tid, since_ns));
        let known = self.asked.entry(tid).or_default();
        if known.0 != since_ns {
            *known = (since_ns, 0);
        }
        poll.map(|poll| std::mem::take(&mut poll.cpu)).unwrap_or_default()
    }

    /// Forgets polls that no longer last, and answers what is left to be told of them. A poll that was never asked for began and ended
    /// between two looks: at most so many of these are told, and how many were comes first. The last samples of one that was are
    /// read only when it is over.
    pub fn ended(&mut self, most: u32, lasts: impl Fn(u32, u64) -> bool) -> (u32, Vec<TraceEvent>) {
        let (mut told, mut events) = (0, Vec::new());
        let ended = self.polls.extract_if(|(tid, since_ns), _| !lasts(*tid, *since_ns));
        for ((tid, since_ns), poll) in ended {
            if let Some((_, nth)) = self.asked.get_mut(&tid).filter(|(asked_ns, _)| *asked_ns == since_ns) {
                *nth = poll.nth;
                let late = (!poll.cpu.is_empty()).then(|| over(tid, since_ns, poll.cpu.clone(), &poll));
                events.extend(late);
            } else if told < most {
                told += 1;
                // More of it may come.
                if self.asked.len() < THREADS {
                    self.asked.insert(tid, (since_ns, poll.nth));
                }
                events.extend(between_looks(tid, since_ns, poll));
            }
        }
        (told, events)
    }
}

fn over(tid: u32, since_ns: u64, cpu: CpuSamples, poll: &Sampled) -> TraceEvent {
    let &Sampled { task, t_ns, off_cpu, .. } = poll;
    TraceEvent::LongPollLasts { t_ns, task, tid, since_ns, off_cpu, over: true, cpu }
}

fn between_looks(tid: u32, since_ns: u64, poll: Sampled) -> [TraceEvent; 2] {
    let over = over(tid, since_ns, CpuSamples::default(), &poll);
    let Sampled { task, name, t_ns, off_cpu, cpu, .. } = poll;
    let long =
        LongPoll { since_ns, doing: Doing::Running, off_cpu, system_call: None, stack: Box::default(), cpu };
    [TraceEvent::LongPoll { t_ns, task, tid, name, poll: Arc::new(long) }, over]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::RuntimeKind;
    use crate::dwarf::Registers;
    use crate::target::Avma;

    fn sample(since_ns: u64, nth: u64) -> CpuSample {
        CpuSample {
            t_ns: since_ns + 20_000_000 * nth,
            tid: 7,
            task: TaskId { runtime: RuntimeKind::Tokio, id: 3 },
            name: "shop::api::list".into(),
            since_ns,
            sp: Avma(0x7000),
            off_cpu: None,
            nth,
            registers: Registers::default(),
            stack: None,
        }
    }

    #[test]
    fn what_was_lost_on_the_way_is_counted() {
        let mut computing = Computing::default();
        for nth in [1, 2, 5] {
            computing.poll(&sample(5, nth)).cpu.add_unknown(1);
        }
        assert!(computing.knows(7, 5) && !computing.knows(7, 6));
        let cpu = computing.take(7, 5);
        assert_eq!((cpu.count, cpu.unknown), (5, 5));
        assert!(!computing.knows(7, 5));
        computing.poll(&sample(5, 6)).cpu.add_unknown(1);
        assert_eq!(computing.take(7, 5).count, 1);
        assert!(computing.ended(9, |_, _| false).1.is_empty(), "all was told");
        // It comes when its poll is over.
        computing.poll(&sample(5, 7)).cpu.add_unknown(1);
        let (told, late) = computing.ended(9, |_, _| false);
        let [TraceEvent::LongPollLasts { cpu, .. }] = &late[..] else { panic!("{late:?}") };
        assert_eq!((told, cpu.count, cpu.unknown), (0, 1, 1));
    }

    #[test]
    fn a_poll_between_two_looks_is_told_once() {
        let mut computing = Computing::default();
        computing.poll(&sample(5, 1)).cpu.add_unknown(1);
        computing.poll(&sample(9, 1)).cpu.add_unknown(1);
        let (told, ended) = computing.ended(9, |tid, since_ns| (tid, since_ns) == (7, 9));
        let [TraceEvent::LongPoll { poll, .. }, TraceEvent::LongPollLasts { over: true, .. }] = &ended[..]
        else {
            panic!("{ended:?}");
        };
        assert_eq!((told, poll.since_ns, poll.cpu.count), (1, 5, 1));
        // What was on its way comes later.
        computing.poll(&sample(5, 2)).cpu.add_unknown(1);
        let (told, late) = computing.ended(9, |_, since_ns| since_ns == 9);
        let [TraceEvent::LongPollLasts { since_ns: 5, over: true, cpu, .. }] = &late[..] else {
            panic!("{late:?}");
        };
        assert_eq!((told, cpu.count), (0, 1));
        assert!(computing.ended(9, |_, since_ns| since_ns == 9).1.is_empty() && computing.knows(7, 9));
    }
}
