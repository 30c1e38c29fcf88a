//! The looks themselves.

use super::{Round, Run, Tables};
use crate::decode::{Polling, PollingThread};
use crate::sys::process_vm;
use crate::target::Avma;
use crate::trace::Path;
use rustix::time::{ClockId, clock_gettime};
use std::collections::{BTreeMap, HashMap, HashSet};
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

    /// As many bytes from `at` on as can be read, at most what `bytes` has room for.
    ///
    /// # Errors
    /// When the target has gone.
    fn block(&mut self, at: u64, bytes: &mut [u8]) -> io::Result<usize>;
}

/// What to look at, as snapshots find it.
#[derive(Clone, Debug, Default)]
pub struct Scout(Arc<Mutex<Sight>>);

#[derive(Clone, Debug)]
struct Sight {
    threads: Arc<[PollingThread]>,
    workers: Arc<HashSet<u64>>,
    /// Headers of tasks, by tokio's id.
    headers: Arc<HashMap<u64, Avma>>,
}

impl Default for Sight {
    fn default() -> Self {
        Sight { threads: [].into(), workers: Arc::default(), headers: Arc::default() }
    }
}

impl Scout {
    /// From now on these threads are looked at, and paths are read of these tasks: headers by tokio's id. Returns for how many
    /// threads there was no room.
    pub fn tell(&self, polling: &Polling, headers: HashMap<u64, Avma>) -> usize {
        let threads = &polling.threads;
        let kept = threads.len().min(THREADS);
        let workers = Arc::new(polling.workers.clone());
        let sight = Sight { threads: threads[..kept].into(), workers, headers: Arc::new(headers) };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = sight;
        threads.len() - kept
    }

    fn sight(&self) -> Sight {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// See the module.
pub struct Sampler {
    words: Box<dyn Words>,
    tables: Tables,
    scout: Scout,
    period_ns: u64,
    /// Begin of the period that the next look belongs to, CLOCK_MONOTONIC ns.
    begin_ns: u64,
    random: u64,
}

impl Sampler {
    /// Looks `hz` times a second (1 to 10,000) at the threads that the scout is told of.
    pub fn new(pid: u32, tables: Tables, hz: u32) -> (Sampler, Scout) {
        Self::over(Box::new(Remote { pid }), tables, hz)
    }

    /// The same over other words.
    pub fn over(words: Box<dyn Words>, tables: Tables, hz: u32) -> (Sampler, Scout) {
        let scout = Scout::default();
        let begin_ns = now_ns();
        let period_ns = 1_000_000_000 / u64::from(hz.clamp(1, 10_000));
        let sampler =
            Sampler { words, tables, scout: scout.clone(), period_ns, begin_ns, random: begin_ns | 1 };
        (sampler, scout)
    }

    /// From now on is to be looked at.
    pub fn begin(&mut self) {
        self.begin_ns = now_ns();
    }

    /// Looks for about [`ROUND`], or until no `more` are wanted. Time between two calls counts as missed.
    ///
    /// # Errors
    /// When the target has gone.
    pub fn round(&mut self, more: &dyn Fn() -> bool) -> io::Result<Round> {
        let mut seen = Seen::of(self.scout.sight());
        let mut round =
            Round { period_ns: self.period_ns, threads: seen.sight.threads.len() as u32, ..Round::default() };
        let periods = (ROUND.as_nanos() as u64 / self.period_ns).max(1);
        let end_ns = self.begin_ns.saturating_add(periods.saturating_mul(self.period_ns));
        while self.begin_ns < end_ns && more() {
            round.missed = round.missed.saturating_add(self.catch_up());
            self.wait();
            if now_ns() >= self.begin_ns + 2 * self.period_ns {
                // The moment has long passed, and another one would not have been drawn. Less than a period late it is a moment that the
                // target knows as little of: else each one drawn near a period's end would be missed for the time that waking takes.
                continue;
            }
            match seen.look(&mut *self.words, &mut self.tables)? {
                true => round.looks += 1,
                false => round.missed += 1,
            }
            self.begin_ns += self.period_ns;
        }
        round.t_ns = now_ns();
        let run = |((task, tid, path), hits)| Run { task, tid, path, hits };
        round.runs = seen.hits.into_iter().map(run).collect();
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
    sight: Sight,
    at: Vec<u64>,
    words: Vec<Option<u64>>,
    hits: BTreeMap<(u64, u32, Option<Path>), u32>,
}

impl Seen {
    fn of(sight: Sight) -> Seen {
        let at = sight.threads.iter().flat_map(words_of).collect();
        Seen { sight, at, words: Vec::new(), hits: BTreeMap::new() }
    }

    /// False where there was nothing to look at.
    fn look(&mut self, words: &mut dyn Words, tables: &mut Tables) -> io::Result<bool> {
        words.read(&self.at, &mut self.words)?;
        let mut looked = false;
        for i in 0..self.sight.threads.len() {
            let Some(seen) = polled(&self.words[2 * i..]) else { continue };
            looked = true;
            if let Some(task) = seen.filter(|id| !self.sight.workers.contains(id)) {
                let thread = self.sight.threads[i];
                let path = self.path(&thread, task, words, tables)?;
                *self.hits.entry((task, thread.tid, path)).or_insert(0) += 1;
            }
        }
        Ok(looked)
    }

    /// Where the task stood that the thread was seen to poll, if it still does.
    fn path(
        &self,
        thread: &PollingThread,
        task: u64,
        words: &mut dyn Words,
        tables: &mut Tables,
    ) -> io::Result<Option<Path>> {
        let Some(header) = self.sight.headers.get(&task) else { return Ok(None) };
        let Some(path) = tables.path(words, *header, task)? else { return Ok(None) };
        // What was read while it ended the poll is of no moment.
        let mut again = Vec::new();
        words.read(&words_of(thread), &mut again)?;
        Ok((polled(&again) == Some(Some(task))).then_some(path))
    }
}

/// The id, and the tag; the id again where there is no tag: it is its own.
fn words_of(thread: &PollingThread) -> [u64; 2] {
    [thread.current.id.0, thread.current.tag.unwrap_or(thread.current.id).0]
}

/// The task that those words say is polled; None where they could not be read.
fn polled(words: &[Option<u64>]) -> Option<Option<u64>> {
    let &[Some(id), Some(tag), ..] = words else { return None };
    Some((id != 0 && tag != 0).then_some(id))
}

struct Remote {
    pid: u32,
}

impl Words for Remote {
    fn block(&mut self, at: u64, bytes: &mut [u8]) -> io::Result<usize> {
        match process_vm::read(self.pid, &mut [(at, bytes)]) {
            Err(error) if error.raw_os_error() == Some(libc::EFAULT) => Ok(0),
            read => read,
        }
    }

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
