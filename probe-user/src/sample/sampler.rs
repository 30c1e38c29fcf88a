//! The looks themselves.

use super::{Round, Run};
use crate::decode::PollingThread;
use crate::sys::process_vm;
use rustix::time::{ClockId, clock_gettime};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long a round is, about.
pub const ROUND: Duration = Duration::from_millis(100);
/// Threads looked at: two words of each fit into one system call.
const THREADS: usize = process_vm::MAX_VECTORS / 2;

/// Reads words of a target: its memory, or in tests something made up.
pub trait Words: Send {
    /// The word at each address; None where nothing could be read.
    ///
    /// # Errors
    /// When the target has gone.
    fn read(&mut self, at: &[u64], words: &mut Vec<Option<u64>>) -> io::Result<()>;
}

/// The threads to look at, as snapshots find them.
#[derive(Clone, Debug, Default)]
pub struct Scout(Arc<Mutex<Arc<[PollingThread]>>>);

impl Scout {
    /// From now on these are looked at. Returns how many there was no room for.
    pub fn tell(&self, threads: &[PollingThread]) -> usize {
        let kept = threads.len().min(THREADS);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = threads[..kept].into();
        threads.len() - kept
    }

    fn threads(&self) -> Arc<[PollingThread]> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// See the module.
pub struct Sampler {
    words: Box<dyn Words>,
    scout: Scout,
    period_ns: u64,
    /// Begin of the period that the next look belongs to, CLOCK_MONOTONIC ns.
    begin_ns: u64,
    random: u64,
}

impl Sampler {
    /// Looks `hz` times a second (1 to 10,000) at the threads that the scout is told of.
    pub fn new(pid: u32, hz: u32) -> (Sampler, Scout) {
        Self::over(Box::new(Remote { pid }), hz)
    }

    /// The same over other words.
    pub fn over(words: Box<dyn Words>, hz: u32) -> (Sampler, Scout) {
        let scout = Scout::default();
        let begin_ns = now_ns();
        let period_ns = 1_000_000_000 / u64::from(hz.clamp(1, 10_000));
        let sampler = Sampler { words, scout: scout.clone(), period_ns, begin_ns, random: begin_ns | 1 };
        (sampler, scout)
    }

    /// Looks for about [`ROUND`], at least once. Time between two calls counts as missed.
    ///
    /// # Errors
    /// When the target has gone.
    pub fn round(&mut self) -> io::Result<Round> {
        let mut seen = Seen::of(self.scout.threads());
        let mut round =
            Round { period_ns: self.period_ns, threads: seen.threads.len() as u32, ..Round::default() };
        let periods = (ROUND.as_nanos() as u64 / self.period_ns).max(1);
        let end_ns = self.begin_ns.saturating_add(periods.saturating_mul(self.period_ns));
        while self.begin_ns < end_ns {
            round.missed = round.missed.saturating_add(self.catch_up());
            self.wait();
            if now_ns() >= self.begin_ns + self.period_ns {
                // The moment has passed, and another one would not have been drawn.
                continue;
            }
            match seen.look(&mut *self.words)? {
                true => round.looks += 1,
                false => round.missed += 1,
            }
            self.begin_ns += self.period_ns;
        }
        round.t_ns = now_ns();
        round.runs =
            seen.hits.iter().map(|((task, tid), hits)| Run { task: *task, tid: *tid, hits: *hits }).collect();
        Ok(round)
    }

    /// Goes on to the period that is now; returns how many were left out.
    fn catch_up(&mut self) -> u32 {
        let late = now_ns().saturating_sub(self.begin_ns) / self.period_ns;
        self.begin_ns += late * self.period_ns;
        u32::try_from(late).unwrap_or(u32::MAX)
    }

    /// Until a moment of this period that is drawn at random.
    fn wait(&mut self) {
        // xorshift64 (G. Marsaglia, 2003): enough to be out of step.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let at_ns = self.begin_ns + self.random % self.period_ns;
        let left = at_ns.saturating_sub(now_ns());
        if left > 0 {
            std::thread::sleep(Duration::from_nanos(left));
        }
    }
}

/// What one round has seen so far.
struct Seen {
    threads: Arc<[PollingThread]>,
    at: Vec<u64>,
    words: Vec<Option<u64>>,
    hits: BTreeMap<(u64, u32), u32>,
}

impl Seen {
    fn of(threads: Arc<[PollingThread]>) -> Seen {
        // The id again where there is no tag: it is its own.
        let at =
            threads.iter().flat_map(|t| [t.current.id.0, t.current.tag.unwrap_or(t.current.id).0]).collect();
        Seen { threads, at, words: Vec::new(), hits: BTreeMap::new() }
    }

    /// False where there was nothing to look at.
    fn look(&mut self, words: &mut dyn Words) -> io::Result<bool> {
        words.read(&self.at, &mut self.words)?;
        let mut looked = false;
        for (thread, pair) in self.threads.iter().zip(self.words.chunks_exact(2)) {
            let &[Some(id), Some(tag)] = pair else { continue };
            looked = true;
            if tag != 0 && id != 0 {
                *self.hits.entry((id, thread.tid)).or_insert(0) += 1;
            }
        }
        Ok(looked)
    }
}

struct Remote {
    pid: u32,
}

impl Words for Remote {
    fn read(&mut self, at: &[u64], words: &mut Vec<Option<u64>>) -> io::Result<()> {
        words.clear();
        let mut bytes = vec![[0u8; 8]; at.len()];
        while words.len() < at.len() {
            let from = words.len();
            let mut requests: Vec<process_vm::Request<'_>> =
                at[from..].iter().copied().zip(bytes[from..].iter_mut().map(|b| &mut b[..])).collect();
            let read = match process_vm::read(self.pid, &mut requests) {
                Ok(read) => read / 8,
                Err(error) if error.raw_os_error() == Some(libc::EFAULT) => 0,
                Err(error) => return Err(error),
            };
            words.extend(bytes[from..from + read].iter().map(|b| Some(u64::from_le_bytes(*b))));
            // The kernel stops at the first that it cannot read: a thread that has ended.
            if words.len() < at.len() {
                words.push(None);
            }
        }
        Ok(())
    }
}

fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

#[cfg(test)]
#[path = "sampler_tests.rs"]
mod tests;
