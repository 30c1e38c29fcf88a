//! Two threads that tell of polls under way that take long what holds them up: what they sleep in, or what they compute. One looks, on
//! time, at polls, clocks, samples and stacks; behind it another makes functions and lines of them (`interpreter.rs`).

use super::clock::monotonic_ns;
use super::computing::Computing;
use super::interpreter::{Ending, Handover, Interpreter, PollKey};
use crate::decode::{Asleep, Blockers, Sleepers, TaskId};
use crate::trace::{CpuSamples, Doing, LongPoll, OffCpu, PollUnderWay, Running, TraceEvent};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Between two looks: half of what is long, within these. While the probes are out there is nothing to be seen.
const SHORTEST: Duration = Duration::from_millis(5);
const LONGEST: Duration = Duration::from_millis(100);
/// A thread that waits for a CPU is looked at so often before that is told: it may be us for whom it waits.
const READY_LOOKS: u8 = 4;
/// Told at most, in a second.
const MOST: u32 = 50;
/// Stacks copied at most, in a second: some end while they are, and are not told.
const MOST_STACKS: u32 = 100;
/// Stacks of threads that compute handed over at most, in a second: all of four polls at once. Those beyond count, and are unknown.
const MOST_SAMPLES: u32 = 400;
/// Samples read at one look; what is left waits in the ring.
const MOST_READ: usize = 1000;
/// A poll that runs is told so late, ns, if it was not seen before what it computes: the clock has struck by then.
const SAMPLED_NS: u64 = 30_000_000;
/// Polls are told so late (`HOLD_NS` in trace/held.rs), and a task's first poll not before its spawn.
const HOLD_NS: u64 = 110_000_000;

/// The threads, and what they have told. Dropping it ends them.
pub(super) struct LongPolls {
    ending: Arc<Ending>,
    /// The one that looks, and the one behind it.
    threads: Option<[JoinHandle<()>; 2]>,
    told: Receiver<TraceEvent>,
    waiting: VecDeque<TraceEvent>,
}

impl LongPolls {
    /// Polls that take longer than `after` are told.
    ///
    /// # Errors
    /// Where there cannot be more threads.
    pub fn start(
        running: Running,
        sleepers: Sleepers,
        blockers: Blockers,
        after: Duration,
    ) -> io::Result<LongPolls> {
        let ending = Arc::new(Ending::default());
        let (tell, told) = channel();
        let (handover, interpreter) = Interpreter::new(blockers, ending.clone(), tell);
        let after_ns = after.as_nanos() as u64;
        let look = Look {
            running,
            sleepers,
            after_ns,
            polls: HashMap::new(),
            computing: Computing::default(),
            clocks: HashMap::new(),
            handover,
            second: 0,
            told: 0,
            stacks: 0,
            samples: 0,
        };
        let (asked, pause) = (ending.clone(), (after / 2).clamp(SHORTEST, LONGEST));
        let named = |name: &str| thread::Builder::new().name(name.to_owned());
        // It ends when there is nobody who hands over.
        let names = named("names").spawn(move || interpreter.run())?;
        let looks = named("long polls").spawn(move || look.run(pause, &asked))?;
        Ok(LongPolls { ending, threads: Some([looks, names]), told, waiting: VecDeque::new() })
    }

    /// Appends what they have told.
    pub fn drain(&mut self, out: &mut Vec<TraceEvent>) {
        self.waiting.extend(self.told.try_iter());
        let now_ns = monotonic_ns();
        while let Some(event) = self.waiting.front()
            && event.t_ns().saturating_add(HOLD_NS) <= now_ns
        {
            out.extend(self.waiting.pop_front());
        }
    }

    /// Appends all that there is to be told, up to now, also of polls that go on. What takes too long to follow is told as unknown.
    pub fn finish(&mut self, out: &mut Vec<TraceEvent>) {
        self.ending.ask();
        self.join();
        out.extend(self.waiting.drain(..).chain(self.told.try_iter()));
    }

    fn join(&mut self) {
        for thread in self.threads.take().into_iter().flatten() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

impl Drop for LongPolls {
    fn drop(&mut self) {
        self.ending.ask_at_once();
        self.join();
    }
}

/// What was told of a poll.
#[derive(Clone, Debug, Default)]
struct Known {
    since_ns: u64,
    asleep: bool,
    running: bool,
    /// Looks at which it waited for a CPU, and how long it had run at the first of them, ns.
    ready: u8,
    ran_ns: Option<u64>,
    /// When it was seen last, and what is known of it then.
    seen_ns: u64,
    task: Option<TaskId>,
    off_cpu: Option<OffCpu>,
    /// It is told again when it lasts longer than this, ns.
    next_ns: u64,
    /// It runs, and this is told when it is known what it computes.
    unsaid: Option<Unsaid>,
}

#[derive(Clone, Debug)]
struct Unsaid {
    since_ns: u64,
    name: Arc<str>,
    poll: LongPoll,
}

impl Known {
    fn was_told(&self) -> bool {
        self.asleep || (self.running && self.unsaid.is_none())
    }
}

struct Look {
    running: Running,
    sleepers: Sleepers,
    after_ns: u64,
    /// By thread.
    polls: HashMap<u32, Known>,
    computing: Computing,
    /// By thread: when the poll began that a clock is set for.
    clocks: HashMap<u32, u64>,
    handover: Handover,
    /// Which one it is, and how much was told in it.
    second: u64,
    told: u32,
    stacks: u32,
    samples: u32,
}

impl Look {
    fn run(mut self, pause: Duration, ending: &Ending) {
        loop {
            // Asked before the look: what was there at the end is looked at once more.
            let last = ending.is_asked();
            self.all(last);
            if last {
                return;
            }
            thread::park_timeout(if self.running.is_paused() { LONGEST } else { pause });
        }
    }

    /// Polls under way that take long.
    fn polls(&mut self, now_ns: u64) -> Vec<PollUnderWay> {
        let mut polls = self.running.polls(now_ns, now_ns.saturating_sub(self.after_ns / 2));
        // Half of it before they do: a clock strikes for the first time a while after it was set. It stays while its thread sleeps:
        // it stands still then.
        let computes = |poll: &&PollUnderWay| {
            self.clocks.get(&poll.tid) == Some(&poll.since_ns)
                || poll.off_cpu.is_none_or(|(_, doing)| doing != Doing::Asleep)
        };
        self.clocks = polls.iter().filter(computes).map(|poll| (poll.tid, poll.since_ns)).collect();
        self.running.sample_only(&self.clocks.keys().copied().collect());
        polls.retain(|poll| now_ns.saturating_sub(poll.since_ns) >= self.after_ns);
        polls
    }

    fn all(&mut self, last: bool) {
        // Before the polls, so that each is of one that is listed or over.
        let found = self.running.samples(MOST_READ);
        let now_ns = monotonic_ns();
        let polls = self.polls(now_ns);
        let most = if last { MOST_SAMPLES } else { MOST_SAMPLES.saturating_sub(self.samples) };
        self.samples += self.computing.gather(found, &self.handover, most);
        self.forget_ended(&polls);
        if now_ns / 1_000_000_000 != self.second {
            (self.second, self.told) = (now_ns / 1_000_000_000, 0);
            (self.stacks, self.samples) = (0, 0);
        }
        for poll in &polls {
            let fresh = || Known { since_ns: poll.since_ns, ..Known::default() };
            let known = self.polls.remove(&poll.tid).unwrap_or_else(fresh);
            let known = self.poll(poll, known, now_ns, last);
            self.polls.insert(poll.tid, known);
        }
    }

    /// Tells what there is to be told of a poll that takes long.
    fn poll(&mut self, poll: &PollUnderWay, mut known: Known, now_ns: u64, last: bool) -> Known {
        let found = if self.told < MOST { self.one(poll, &mut known) } else { None };
        known.seen_ns = now_ns;
        known.task = Some(poll.task);
        known.off_cpu = poll.off_cpu.map(|(sums, _)| sums);
        if let Some((long, asleep)) = found {
            self.told += 1;
            let name = poll.name.clone();
            match asleep {
                Some(asleep) => {
                    let (tid, task, poll) = (poll.tid, poll.task, Arc::new(long));
                    let event = TraceEvent::LongPoll { t_ns: now_ns, task, tid, name, poll };
                    self.handover.asleep(event, asleep);
                }
                None => known.unsaid = Some(Unsaid { since_ns: now_ns, name, poll: long }),
            }
        }
        let late = |unsaid: &mut Unsaid| {
            let sampled = self.computing.knows((poll.tid, poll.since_ns)) || !self.running.takes_samples();
            last || sampled || now_ns.saturating_sub(unsaid.since_ns) >= SAMPLED_NS
        };
        if let Some(unsaid) = known.unsaid.take_if(late) {
            self.says(unsaid, &known, poll.tid);
        }
        let ns = now_ns.saturating_sub(poll.since_ns);
        if known.was_told() && (last || ns >= known.next_ns) {
            if known.next_ns > 0 {
                self.lasts(&known, poll.tid, false);
            }
            known.next_ns = ns.saturating_mul(2);
        }
        known
    }

    /// What is told of polls that are no longer under way.
    fn forget_ended(&mut self, polls: &[PollUnderWay]) {
        let lasts = |key: PollKey| polls.iter().any(|poll| (poll.tid, poll.since_ns) == key);
        let ended: Vec<(u32, Known)> =
            self.polls.extract_if(|tid, known| !lasts((*tid, known.since_ns))).collect();
        for (tid, mut known) in ended {
            if let Some(unsaid) = known.unsaid.take() {
                self.says(unsaid, &known, tid);
            }
            if known.was_told() {
                self.lasts(&known, tid, true);
            } else {
                // It is asked for all the same: it was not between two looks.
                self.computing.take((tid, known.since_ns));
            }
        }
        self.told += self.computing.ended(MOST.saturating_sub(self.told), &self.handover, lasts);
    }

    /// A poll that runs, with what it computes.
    fn says(&mut self, unsaid: Unsaid, known: &Known, tid: u32) {
        let (Unsaid { name, mut poll, .. }, Some(task)) = (unsaid, known.task) else { return };
        poll.cpu = self.computing.take((tid, poll.since_ns));
        poll.off_cpu = known.off_cpu;
        let event = TraceEvent::LongPoll { t_ns: known.seen_ns, task, tid, name, poll: Arc::new(poll) };
        self.handover.computed(event);
    }

    fn lasts(&mut self, known: &Known, tid: u32, over: bool) {
        let &Known { seen_ns: t_ns, task: Some(task), since_ns, off_cpu, .. } = known else { return };
        let cpu = self.computing.take((tid, since_ns));
        self.handover.computed(TraceEvent::LongPollLasts { t_ns, task, tid, since_ns, off_cpu, over, cpu });
    }

    /// The scheduler's tracepoint now and then does not tell that a thread is back on a CPU. One that has run since it was first seen
    /// to wait does not wait.
    fn checked(&self, doing: Doing, tid: u32, known: &mut Known) -> Doing {
        if doing != Doing::Ready {
            known.ready = 0;
            return doing;
        }
        let ran_ns = self.sleepers.ran_ns(tid);
        if known.ready == 0 {
            known.ran_ns = ran_ns;
        }
        known.ready = known.ready.saturating_add(1);
        if ran_ns == known.ran_ns { Doing::Ready } else { Doing::Running }
    }

    /// What there is to tell of a long poll that was not told before, but for its call and stack.
    fn one(&mut self, poll: &PollUnderWay, known: &mut Known) -> Option<(LongPoll, Option<Asleep>)> {
        let (sums, doing) = poll.off_cpu.unzip();
        let long = |doing| LongPoll {
            since_ns: poll.since_ns,
            doing,
            off_cpu: sums,
            system_call: None,
            stack: Box::default(),
            cpu: CpuSamples::default(),
        };
        // Where the scheduler does not tell, whether the thread sleeps tells.
        let may_sleep = doing.is_none_or(|doing| doing == Doing::Asleep) && !known.asleep;
        if may_sleep && self.stacks < MOST_STACKS && self.handover.has_room() {
            self.stacks += 1;
            let Look { running, sleepers, .. } = self;
            let asleep = sleepers.look(poll.tid, poll.sp, || running.is_under_way(poll));
            if asleep.is_some() {
                known.asleep = true;
                return Some((long(Doing::Asleep), asleep));
            }
        }
        let doing = doing.map(|doing| self.checked(doing, poll.tid, known));
        let doing = match doing {
            Some(Doing::Running) => Doing::Running,
            Some(Doing::Ready) if known.ready >= READY_LOOKS => Doing::Ready,
            None if !known.asleep => Doing::Running,
            _ => return None,
        };
        if known.running || !self.running.is_under_way(poll) {
            return None;
        }
        known.running = true;
        Some((long(doing), None))
    }
}
