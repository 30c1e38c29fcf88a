//! The accounts that the programs keep of tasks, read from outside.

use super::TraceError;
use super::object::{Programs, map_error};
use crate::sys::bpf::{Cursor, read_batch};
use async_inspect_ebpf::Account;
use aya::maps::{HashMap, MapData, MapError};
use std::os::fd::{AsFd, OwnedFd};
use zerocopy::FromBytes;

const SIZE: usize = size_of::<Account>();
/// Entries copied by one system call.
const BATCH: usize = 4096;
/// An account that nobody has touched for so long may make room for another, in ns. Longer than a thread is preempted while
/// it adds to one.
const RESTED: u64 = 10_000_000_000;

/// The map `TASKS`.
pub(super) struct Accounts {
    fd: OwnedFd,
    map: HashMap<MapData, u64, [u8; SIZE]>,
    capacity: usize,
    headers: Vec<[u8; 8]>,
    values: Vec<[u8; SIZE]>,
    /// What each said when it was last read.
    known: foldhash::HashMap<u64, Word>,
}

/// As much of an account as tells whether there is news in it.
type Word = (u64, u64, bool);

/// What one look at all of them gives.
pub(super) struct Read {
    /// By the address of the task's header.
    pub news: Vec<(u64, Account)>,
    /// Headers of accounts that can go; only if more than half of the room is taken.
    pub resting: Option<Vec<u64>>,
}

impl Accounts {
    pub fn of(programs: &Programs, capacity: usize) -> Result<Self, TraceError> {
        Ok(Accounts {
            fd: programs.map_fd("TASKS")?,
            map: programs.map("TASKS")?,
            capacity,
            headers: vec![[0; 8]; BATCH],
            values: vec![[0; SIZE]; BATCH],
            known: foldhash::HashMap::default(),
        })
    }

    /// As of the last [`Accounts::read`].
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// `epoch`: how many times the probes were put in anew.
    ///
    /// # Errors
    /// What the kernel says, which is a bug of ours.
    pub fn read(&mut self, epoch: u32) -> Result<Read, TraceError> {
        let mut cursor = Cursor::default();
        let (mut news, mut resting) = (Vec::new(), Vec::new());
        let (mut all, mut latest) = (0, 0);
        loop {
            let read = read_batch(self.fd.as_fd(), &mut cursor, &mut self.headers, &mut self.values);
            let (count, last) = read.map_err(|error| TraceError::from_io("read a BPF map", error))?;
            for (header, value) in self.headers.iter().zip(&self.values).take(count) {
                let Ok(account) = Account::read_from_bytes(value) else { continue };
                let header = u64::from_ne_bytes(*header);
                let word = (account.task, account.polls, account.is_over());
                if self.known.insert(header, word) != Some(word) {
                    news.push((header, account));
                }
                latest = latest.max(account.last_end_ns);
                if account.at_rest(epoch) {
                    resting.push((header, account.last_end_ns));
                }
            }
            all += count;
            // Bounded, whatever comes and goes meanwhile.
            if last || all > 2 * self.capacity {
                break;
            }
        }
        let scarce = all > self.capacity / 2;
        let rested = |(header, last_end_ns): (u64, u64)| {
            (last_end_ns.saturating_add(RESTED) < latest).then_some(header)
        };
        let resting = scarce.then(|| resting.into_iter().filter_map(rested).collect());
        Ok(Read { news, resting })
    }

    /// Makes room. What the account said must have been read.
    pub fn remove(&mut self, header: u64) -> Result<(), TraceError> {
        self.known.remove(&header);
        match self.map.remove(&header) {
            Ok(()) | Err(MapError::KeyNotFound) => Ok(()),
            Err(error) => Err(map_error(error)),
        }
    }
}
