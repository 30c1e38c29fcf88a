//! Which polls that take long threads were seen to compute in, and how often, until it is told. At what is another thread's to say
//! (`interpreter.rs`): it gets the stacks.

use super::interpreter::{Copied, Handover, PollKey};
use crate::decode::TaskId;
use crate::trace::{CpuSample, CpuSamples, Doing, LongPoll, OffCpu, TraceEvent};
use std::collections::HashMap;
use std::sync::Arc;

/// Threads whose last poll is remembered.
const THREADS: usize = 1 << 12;

#[derive(Debug, Default)]
pub(super) struct Computing {
    polls: HashMap<PollKey, Sampled>,
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
    untold: Untold,
}

/// Samples since it was last told of a poll.
#[derive(Clone, Copy, Debug, Default)]
struct Untold {
    /// Whose stacks were handed over.
    handed: u64,
    unknown: u64,
}

impl Untold {
    fn is_empty(self) -> bool {
        self.handed == 0 && self.unknown == 0
    }

    /// But for what was handed over.
    fn take(&mut self) -> CpuSamples {
        let mut cpu = CpuSamples::default();
        cpu.add_unknown(std::mem::take(self).unknown);
        cpu
    }
}

impl Computing {
    /// Adds what was found. Hands over at most so many stacks, as far as there is room; answers how many it did.
    pub fn gather(&mut self, found: Vec<CpuSample>, handover: &Handover, most_stacks: u32) -> u32 {
        let mut stacks = 0;
        for sample in found {
            let untold = &mut self.poll(&sample).untold;
            let CpuSample { tid, since_ns, sp, registers, stack, .. } = sample;
            match stack.filter(|_| stacks < most_stacks && handover.has_room()) {
                Some(stack) => {
                    stacks += 1;
                    untold.handed += 1;
                    handover.computing((tid, since_ns), Copied { registers, stack, sp });
                }
                None => untold.unknown += 1,
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
            untold: Untold::default(),
        });
        // Those between had no room in the ring.
        let lost = nth.saturating_sub(poll.nth.saturating_add(1));
        poll.untold.unknown = poll.untold.unknown.saturating_add(lost);
        (poll.t_ns, poll.off_cpu, poll.nth) = (t_ns, off_cpu, nth);
        poll
    }

    /// Whether there is something to be told of a poll.
    pub fn knows(&self, key: PollKey) -> bool {
        self.polls.get(&key).is_some_and(|poll| !poll.untold.is_empty())
    }

    /// What was found since this was last asked, but for what was handed over: an event that is told with this gets that as well.
    pub fn take(&mut self, key: PollKey) -> CpuSamples {
        let (tid, since_ns) = key;
        if self.asked.len() >= THREADS {
            self.asked.clear();
        }
        let poll = self.polls.get_mut(&key);
        let known = self.asked.entry(tid).or_default();
        if known.0 != since_ns {
            *known = (since_ns, 0);
        }
        poll.map(|poll| poll.untold.take()).unwrap_or_default()
    }

    /// Forgets polls that no longer last, and tells what is left to be told of them. A poll that was never asked for began and ended
    /// between two looks: at most so many of these are told; answers how many were. The last samples of one that was are read only
    /// when it is over.
    pub fn ended(&mut self, most: u32, handover: &Handover, lasts: impl Fn(PollKey) -> bool) -> u32 {
        let mut told = 0;
        for (key, mut poll) in self.polls.extract_if(|key, _| !lasts(*key)) {
            let (tid, since_ns) = key;
            if let Some((_, nth)) = self.asked.get_mut(&tid).filter(|(asked_ns, _)| *asked_ns == since_ns) {
                *nth = poll.nth;
                if !poll.untold.is_empty() {
                    let cpu = poll.untold.take();
                    handover.computed(over(key, cpu, &poll));
                }
            } else if told < most {
                told += 1;
                // More of it may come.
                if self.asked.len() < THREADS {
                    self.asked.insert(tid, (since_ns, poll.nth));
                }
                between_looks(key, poll).into_iter().for_each(|event| handover.computed(event));
            }
            handover.forget(key);
        }
        told
    }
}

fn over((tid, since_ns): PollKey, cpu: CpuSamples, poll: &Sampled) -> TraceEvent {
    let &Sampled { task, t_ns, off_cpu, .. } = poll;
    TraceEvent::LongPollLasts { t_ns, task, tid, since_ns, off_cpu, over: true, cpu }
}

fn between_looks(key: PollKey, mut poll: Sampled) -> [TraceEvent; 2] {
    let over = over(key, CpuSamples::default(), &poll);
    let (tid, since_ns) = key;
    let cpu = poll.untold.take();
    let Sampled { task, name, t_ns, off_cpu, .. } = poll;
    let long =
        LongPoll { since_ns, doing: Doing::Running, off_cpu, system_call: None, stack: Box::default(), cpu };
    [TraceEvent::LongPoll { t_ns, task, tid, name, poll: Arc::new(long) }, over]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::interpreter::told_of;
    use crate::decode::RuntimeKind;
    use crate::dwarf::Registers;
    use crate::target::{Avma, StackCopy};

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
            stack: Some(StackCopy::of(Avma(0x6ff8), vec![0; 16])),
        }
    }

    #[test]
    fn what_was_lost_on_the_way_is_counted() {
        let mut computing = Computing::default();
        let told = told_of(|handover| {
            let found = [1, 2, 5].map(|nth| sample(5, nth)).into();
            assert_eq!(computing.gather(found, handover, 2), 2);
            assert!(computing.knows((7, 5)) && !computing.knows((7, 6)));
            // Two were between, and one more stack was not followed.
            let cpu = computing.take((7, 5));
            assert_eq!((cpu.count, cpu.unknown), (3, 3));
            assert!(!computing.knows((7, 5)));
            computing.gather(vec![sample(5, 6)], handover, 9);
            assert_eq!(computing.take((7, 5)).count, 0, "it was handed over");
            assert_eq!(computing.ended(9, handover, |_| false), 0);
        });
        assert_eq!(told, [], "all was asked for");
        // It comes when its poll is over.
        let late = told_of(|handover| {
            computing.gather(vec![sample(5, 7)], handover, 9);
            assert_eq!(computing.ended(9, handover, |_| false), 0);
        });
        let [TraceEvent::LongPollLasts { over: true, cpu, .. }] = &late[..] else { panic!("{late:?}") };
        assert_eq!((cpu.count, cpu.unknown), (1, 0));
    }

    #[test]
    fn a_poll_between_two_looks_is_told_once() {
        let mut computing = Computing::default();
        let told = told_of(|handover| {
            computing.gather(vec![sample(5, 1), sample(9, 1)], handover, 9);
            assert_eq!(computing.ended(9, handover, |key| key == (7, 9)), 1);
        });
        let [TraceEvent::LongPoll { poll, .. }, TraceEvent::LongPollLasts { over: true, cpu, .. }] =
            &told[..]
        else {
            panic!("{told:?}");
        };
        assert_eq!((poll.since_ns, poll.cpu.count, cpu.count), (5, 1, 0));
        // What was on its way comes later.
        let late = told_of(|handover| {
            computing.gather(vec![sample(5, 2)], handover, 9);
            assert_eq!(computing.ended(9, handover, |key| key == (7, 9)), 0);
            assert_eq!(computing.ended(9, handover, |key| key == (7, 9)), 0);
        });
        let [TraceEvent::LongPollLasts { since_ns: 5, over: true, cpu, .. }] = &late[..] else {
            panic!("{late:?}");
        };
        assert_eq!(cpu.count, 1);
        assert!(computing.knows((7, 9)));
    }

    #[test]
    fn no_more_are_told_than_may_be() {
        let mut computing = Computing::default();
        let told = told_of(|handover| {
            computing.gather((1..=3).map(|since_ns| sample(since_ns, 1)).collect(), handover, 9);
            assert_eq!(computing.ended(2, handover, |_| false), 2);
        });
        assert_eq!(told.len(), 4, "{told:?}");
    }
}
