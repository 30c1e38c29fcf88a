//! The thread that looks at a target: all the time where no probe is in, or while the probes are out.

use super::Failure;
use super::source::LookStream;
use super::watch::Gate;
use crate::model::Update;
use crate::sample::Round;
use std::sync::atomic::{AtomicBool, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Looks a second while the probes are out: enough for shares to be known to some percent in forty seconds. Each takes a CPU away
/// from somebody, on a busy machine from the target.
pub(super) const MEANWHILE_HZ: u32 = 25;
/// Rounds waiting for a view, about ten seconds of them. Those beyond count as missed.
const QUEUED: usize = 100;
/// Who looks late misses what it came for.
const NICENESS: i32 = -5;
/// Of a round that has been told to end.
const PATIENCE: Duration = Duration::from_millis(100);

/// Whether looks are wanted now.
#[derive(Default)]
pub(super) struct Switch {
    on: AtomicBool,
    over: AtomicBool,
    /// Whether a round is being made.
    looking: Mutex<bool>,
    changed: Condvar,
}

impl Switch {
    pub fn is_on(&self) -> bool {
        self.on.load(Acquire)
    }

    /// When it has been turned off no look is being made any more, and what was seen is in the queue.
    pub fn turn(&self, on: bool) {
        let looking = self.looking();
        self.on.store(on, Release);
        self.changed.notify_all();
        if !on {
            // Reading a target that is in the middle of an `exec` may take long: it is not worth waiting for.
            let _ = self.changed.wait_timeout_while(looking, PATIENCE, |looking| *looking);
        }
    }

    fn end(&self) {
        let _looking = self.looking();
        self.over.store(true, Release);
        self.changed.notify_all();
    }

    fn looking(&self) -> MutexGuard<'_, bool> {
        self.looking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True when looks are wanted and were not before; None when they never will be again.
    fn wait(&self) -> Option<bool> {
        let off = |_: &mut bool| !self.is_on() && !self.over.load(Acquire);
        let looking = self.looking();
        let waited = self.changed.wait_while(looking, off);
        let mut looking = waited.unwrap_or_else(PoisonError::into_inner);
        if self.over.load(Acquire) {
            return None;
        }
        Some(!std::mem::replace(&mut looking, true))
    }

    fn pause(&self) {
        *self.looking() = false;
        self.changed.notify_all();
    }

    fn wants_more(&self) -> bool {
        self.is_on() && !self.over.load(Acquire)
    }
}

/// Looks, while its switch is on, until it is dropped.
pub(super) struct Sampled {
    switch: Arc<Switch>,
    thread: Option<JoinHandle<()>>,
}

impl Sampled {
    pub fn start(
        mut stream: Box<dyn LookStream>,
        queue: Sender<Update>,
        gate: Arc<Gate>,
        switch: Arc<Switch>,
    ) -> Result<Sampled, Failure> {
        let theirs = switch.clone();
        let run = move || {
            // Of this thread alone (setpriority(2): `who` 0 is the caller). Without the right it goes without.
            let _ = rustix::process::setpriority_process(None, NICENESS);
            // Else the kernel wakes it up to 50 µs late, to save power (prctl(2), PR_SET_TIMERSLACK).
            let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
            let mut misses = Misses::default();
            while let Some(fresh) = theirs.wait() {
                if fresh {
                    stream.begin();
                }
                // The watcher sees by itself when the target has ended.
                let Some(round) = stream.round(&|| theirs.wants_more()) else { break };
                if send(round, &mut misses, &queue, &gate).is_none() {
                    break;
                }
                if !theirs.is_on() {
                    theirs.pause();
                }
            }
            theirs.pause();
        };
        let thread = thread::Builder::new().name("sample".into()).spawn(run);
        let thread = thread.map_err(|error| super::output::plain("starting a thread", &error))?;
        Ok(Sampled { switch, thread: Some(thread) })
    }

    /// The target has gone, or cannot be looked at any more.
    pub fn has_ended(&self) -> bool {
        self.thread.as_ref().is_some_and(JoinHandle::is_finished)
    }
}

impl Drop for Sampled {
    fn drop(&mut self) {
        self.switch.end();
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join)
            && !thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

/// Hands a round on. None: nobody watches any more.
fn send(mut round: Round, misses: &mut Misses, queue: &Sender<Update>, gate: &Gate) -> Option<()> {
    if gate.rounds.load(Relaxed) >= QUEUED {
        misses.unsent = misses.unsent.saturating_add(round.looks).saturating_add(round.missed);
        return Some(());
    }
    round.missed = round.missed.saturating_add(std::mem::take(&mut misses.unsent));
    if round.looks == 0 && round.missed == 0 {
        return Some(());
    }
    let words = misses.note(&round);
    gate.rounds.fetch_add(1, Relaxed);
    queue.send(Update::Samples(round)).ok()?;
    words.map_or(Some(()), |words| queue.send(Update::Note(words)).ok())
}

/// How many looks are missed lately.
#[derive(Default)]
struct Misses {
    /// In rounds for which there was no room.
    unsent: u32,
    looks: u64,
    missed: u64,
    told: bool,
}

impl Misses {
    /// Periods that a share is made of.
    const ENOUGH: u64 = 2000;
    /// Percent of them without a look that one should know of.
    const MANY: u64 = 20;

    /// What people should know, the first time it is so.
    fn note(&mut self, round: &Round) -> Option<String> {
        self.looks += u64::from(round.looks);
        self.missed += u64::from(round.missed);
        let all = self.looks + self.missed;
        if all < Self::ENOUGH {
            return None;
        }
        let percent = self.missed * 100 / all;
        (self.looks, self.missed) = (0, 0);
        if self.told || percent < Self::MANY {
            return None;
        }
        self.told = true;
        Some(format!(
            "{percent} % of the looks came too late: the machine is busy; what was so then is not known, and the intervals say so"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_misses_are_told_once() {
        let mut misses = Misses::default();
        let round = |looks, missed| Round { looks, missed, ..Round::default() };
        for _ in 0..40 {
            assert_eq!(misses.note(&round(95, 5)), None);
        }
        let notes: Vec<String> = (0..80).filter_map(|_| misses.note(&round(60, 40))).collect();
        assert_eq!(notes.len(), 1, "{notes:?}");
        assert!(notes[0].starts_with("40 % of the looks"), "{notes:?}");
    }

    /// Says in its looks how often it was begun, and looks until it is told to end.
    struct Counting(u32);

    impl LookStream for Counting {
        fn begin(&mut self) {
            self.0 += 1;
        }

        fn round(&mut self, more: &dyn Fn() -> bool) -> Option<Round> {
            while more() {
                thread::sleep(Duration::from_millis(1));
            }
            Some(Round { looks: self.0, ..Round::default() })
        }
    }

    #[test]
    fn who_is_turned_off_has_told_what_it_saw() {
        let (queue, told) = std::sync::mpsc::channel();
        let switch = Arc::new(Switch::default());
        let sampled = Sampled::start(Box::new(Counting(0)), queue, Arc::default(), switch.clone()).unwrap();
        assert!(told.recv_timeout(Duration::from_millis(20)).is_err(), "nobody asked for looks yet");
        for stretch in 1..=3 {
            switch.turn(true);
            thread::sleep(Duration::from_millis(5));
            switch.turn(false);
            let looks: Vec<u32> = told
                .try_iter()
                .map(|update| match update {
                    Update::Samples(round) => round.looks,
                    other => panic!("{other:?}"),
                })
                .collect();
            assert!(looks.len() <= 1 && looks.iter().all(|n| *n <= stretch), "{stretch}: {looks:?}");
        }
        drop(sampled);
    }
}
