//! The thread behind the one that looks at polls: it follows the stacks that were copied there, looks up names and lines, and tells
//! the events, in the order in which they were handed over. The first stacks of a large program take it a second or more.

use super::clock::monotonic_ns;
use crate::decode::{Asleep, Blocker, Blockers, CodeFrame};
use crate::dwarf::Registers;
use crate::target::{Avma, StackCopy};
use crate::trace::{CpuSamples, TraceEvent};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

/// Bytes that may wait: the stacks of more than a second, be each as large as it can, and of a minute as they are.
const ROOM: usize = 16 << 20;
/// Stacks are followed for so long when the end is asked for, ns: somebody waits for it.
const LAST_NS: u64 = 2_000_000_000;

/// A poll: its thread, and when it began.
pub(super) type PollKey = (u32, u64);

/// Where a thread was that computed.
#[derive(Debug)]
pub(super) struct Copied {
    pub registers: Registers,
    pub stack: StackCopy,
    /// The stack pointer when the poll function was entered.
    pub sp: Avma,
}

/// What is handed over.
#[derive(Debug)]
enum Item {
    Computing(PollKey, Copied),
    /// An event with what was found of its poll since its last one.
    Computed(TraceEvent),
    Asleep(TraceEvent, Asleep),
    /// What was found of it will not be told.
    Forget(PollKey),
}

impl Item {
    /// That it takes while it waits.
    fn bytes(&self) -> usize {
        let stack = match self {
            Item::Computing(_, copied) => copied.stack.len(),
            Item::Asleep(_, asleep) => asleep.stack_len(),
            Item::Computed(_) | Item::Forget(_) => 0,
        };
        size_of::<Item>() + stack
    }
}

/// What looks at polls hands over here, and never waits. While there is no room it is not to copy stacks; of events there are
/// few, as of those that are told.
#[derive(Debug)]
pub(super) struct Handover {
    items: Sender<Item>,
    /// Bytes that were handed over and not taken up yet.
    waiting: Arc<AtomicUsize>,
}

impl Handover {
    /// Whether one more stack may be handed over.
    pub fn has_room(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) < ROOM
    }

    pub fn computing(&self, poll: PollKey, copied: Copied) {
        self.send(Item::Computing(poll, copied));
    }

    /// A long poll that computes, or that lasts; gets what was found of it since its last one.
    pub fn computed(&self, event: TraceEvent) {
        self.send(Item::Computed(event));
    }

    /// A long poll that sleeps.
    pub fn asleep(&self, event: TraceEvent, asleep: Asleep) {
        self.send(Item::Asleep(event, asleep));
    }

    pub fn forget(&self, poll: PollKey) {
        self.send(Item::Forget(poll));
    }

    fn send(&self, item: Item) {
        self.waiting.fetch_add(item.bytes(), Ordering::Relaxed);
        // It ends before this one only where nobody listens any more.
        let _ = self.items.send(item);
    }
}

/// Whether the end has been asked for, and when.
#[derive(Debug, Default)]
pub(super) struct Ending(AtomicU64);

impl Ending {
    /// What is left is told.
    pub fn ask(&self) {
        self.0.store(monotonic_ns(), Ordering::Relaxed);
    }

    /// Nobody will listen.
    pub fn ask_at_once(&self) {
        self.0.store(1, Ordering::Relaxed);
    }

    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed) != 0
    }

    fn is_late(&self) -> bool {
        let asked_ns = self.0.load(Ordering::Relaxed);
        asked_ns != 0 && monotonic_ns().saturating_sub(asked_ns) > LAST_NS
    }
}

/// Makes functions and lines of stacks.
pub(super) trait Names {
    fn computing(&mut self, copied: &Copied) -> Box<[CodeFrame]>;

    /// Its call alone, unless its stack is to be followed.
    fn asleep(&mut self, asleep: &Asleep, follow: bool) -> Blocker;
}

impl Names for Blockers {
    fn computing(&mut self, copied: &Copied) -> Box<[CodeFrame]> {
        Blockers::computing(self, copied.registers, &copied.stack, copied.sp)
    }

    fn asleep(&mut self, asleep: &Asleep, follow: bool) -> Blocker {
        Blockers::asleep(self, asleep, follow)
    }
}

#[derive(Debug)]
pub(super) struct Interpreter<N> {
    names: N,
    items: Receiver<Item>,
    waiting: Arc<AtomicUsize>,
    ending: Arc<Ending>,
    /// What was found and not told yet.
    found: HashMap<PollKey, CpuSamples>,
    tell: Sender<TraceEvent>,
}

impl<N: Names> Interpreter<N> {
    pub fn new(names: N, ending: Arc<Ending>, tell: Sender<TraceEvent>) -> (Handover, Interpreter<N>) {
        let (sender, items) = channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let handover = Handover { items: sender, waiting: waiting.clone() };
        (handover, Interpreter { names, items, waiting, ending, found: HashMap::new(), tell })
    }

    /// Until the other end is gone, and all that came from there is told.
    pub fn run(mut self) {
        while let Ok(item) = self.items.recv() {
            self.take_up(item);
        }
    }

    fn take_up(&mut self, item: Item) {
        let bytes = item.bytes();
        self.interpret(item);
        self.waiting.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn interpret(&mut self, item: Item) {
        let follow = !self.ending.is_late();
        match item {
            Item::Computing(poll, copied) => {
                let cpu = self.found.entry(poll).or_default();
                if follow {
                    cpu.add(self.names.computing(&copied));
                } else {
                    cpu.add_unknown(1);
                }
            }
            Item::Computed(mut event) => {
                let (poll, cpu) = match &mut event {
                    TraceEvent::LongPoll { tid, poll, .. } => {
                        ((*tid, poll.since_ns), &mut Arc::make_mut(poll).cpu)
                    }
                    TraceEvent::LongPollLasts { tid, since_ns, cpu, .. } => ((*tid, *since_ns), cpu),
                    _ => return self.tell(event),
                };
                cpu.merge(&self.found.remove(&poll).unwrap_or_default());
                self.tell(event);
            }
            Item::Asleep(mut event, asleep) => {
                if let TraceEvent::LongPoll { poll, .. } = &mut event {
                    let (poll, blocker) = (Arc::make_mut(poll), self.names.asleep(&asleep, follow));
                    (poll.system_call, poll.stack) = (blocker.system_call, blocker.stack);
                }
                self.tell(event);
            }
            Item::Forget(poll) => drop(self.found.remove(&poll)),
        }
    }

    fn tell(&self, event: TraceEvent) {
        // Nobody listens any more, else.
        let _ = self.tell.send(event);
    }
}

#[cfg(test)]
pub(super) use tests::told_of;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{RuntimeKind, TaskId};
    use crate::trace::{Doing, LongPoll};

    /// Names every stack by the stack pointer of its poll.
    struct Named;

    impl Names for Named {
        fn computing(&mut self, copied: &Copied) -> Box<[CodeFrame]> {
            let function = Some(format!("at {}", copied.sp.0).into());
            [CodeFrame { function, line: None, inlined: false, own_code: true }].into()
        }

        fn asleep(&mut self, _: &Asleep, _: bool) -> Blocker {
            unreachable!("nothing sleeps")
        }
    }

    /// What is told when this was handed over.
    pub fn told_of(hand_over: impl FnOnce(&Handover)) -> Vec<TraceEvent> {
        told_at(Ending::default(), hand_over)
    }

    fn told_at(ending: Ending, hand_over: impl FnOnce(&Handover)) -> Vec<TraceEvent> {
        let (tell, told) = channel();
        let (handover, interpreter) = Interpreter::new(Named, Arc::new(ending), tell);
        hand_over(&handover);
        drop(handover);
        interpreter.run();
        told.iter().collect()
    }

    const POLL: PollKey = (7, 5);
    const TASK: TaskId = TaskId { runtime: RuntimeKind::Tokio, id: 3 };

    fn copied(sp: u64, len: usize) -> Copied {
        Copied { registers: Registers::default(), stack: StackCopy::of(Avma(0), vec![0; len]), sp: Avma(sp) }
    }

    /// With this many unknown samples.
    fn lasts((tid, since_ns): PollKey, unknown: u64) -> TraceEvent {
        let mut cpu = CpuSamples::default();
        cpu.add_unknown(unknown);
        TraceEvent::LongPollLasts { t_ns: 9, task: TASK, tid, since_ns, off_cpu: None, over: false, cpu }
    }

    fn long((tid, since_ns): PollKey) -> TraceEvent {
        let (doing, cpu) = (Doing::Running, CpuSamples::default());
        let poll = LongPoll { since_ns, doing, off_cpu: None, system_call: None, stack: [].into(), cpu };
        TraceEvent::LongPoll { t_ns: 8, task: TASK, tid, name: "list".into(), poll: Arc::new(poll) }
    }

    fn cpu(event: &TraceEvent) -> &CpuSamples {
        match event {
            TraceEvent::LongPoll { poll, .. } => &poll.cpu,
            TraceEvent::LongPollLasts { cpu, .. } => cpu,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_event_has_what_was_found_of_its_poll_before() {
        let told = told_of(|handover| {
            handover.computing(POLL, copied(1, 16));
            handover.computing((7, 6), copied(2, 16));
            handover.computed(long(POLL));
            handover.computing(POLL, copied(3, 16));
            handover.computed(lasts(POLL, 2));
            handover.computing(POLL, copied(4, 16));
            handover.forget(POLL);
            handover.computed(lasts(POLL, 0));
            handover.computed(lasts((7, 6), 0));
        });
        let names = |event| {
            let cpu = cpu(event);
            let spots = cpu.spots.iter().map(|spot| spot.function().expect("a name").to_string());
            (cpu.count, cpu.unknown, spots.collect::<Vec<_>>().join(", "))
        };
        let found: Vec<_> = told.iter().map(names).collect();
        let expected = [(1, 0, "at 1"), (3, 2, "at 3"), (0, 0, ""), (1, 0, "at 2")];
        assert_eq!(found, expected.map(|(count, unknown, spots)| (count, unknown, spots.to_owned())));
    }

    #[test]
    fn room_is_taken_until_what_waits_is_followed() {
        let told = told_of(|handover| {
            assert!(handover.has_room());
            handover.computing(POLL, copied(1, ROOM));
            assert!(!handover.has_room());
            // Events find a place all the same.
            handover.computed(long(POLL));
        });
        assert_eq!(told.iter().map(|event| cpu(event).count).collect::<Vec<_>>(), [1]);

        let (tell, _told) = channel();
        let (handover, mut interpreter) = Interpreter::new(Named, Arc::default(), tell);
        handover.computing(POLL, copied(1, ROOM));
        let item = interpreter.items.recv().expect("it was handed over");
        interpreter.take_up(item);
        assert!(handover.has_room());
    }

    #[test]
    fn who_waits_for_the_end_does_not_wait_for_names() {
        let ending = Ending::default();
        ending.ask_at_once();
        let told = told_at(ending, |handover| {
            (0..3).for_each(|_| handover.computing(POLL, copied(1, 16)));
            handover.computed(long(POLL));
        });
        let [event] = &told[..] else { panic!("{told:?}") };
        assert_eq!((cpu(event).count, cpu(event).unknown), (3, 3));

        let ending = Ending::default();
        ending.ask();
        let told = told_at(ending, |handover| {
            handover.computing(POLL, copied(1, 16));
            handover.computed(long(POLL));
        });
        assert_eq!(cpu(&told[0]).unknown, 0, "there is a while for what is left");
    }
}
