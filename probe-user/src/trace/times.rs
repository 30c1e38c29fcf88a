//! The histograms that the programs keep by kind of task and place, read from outside.

use super::object::{Programs, map_error};
use super::translate::Translator;
use super::{Histogram, Path, Timed, TraceError, TraceEvent};
use crate::sys::bpf::{Cursor, read_batch};
use async_inspect_ebpf::{SLOTS, Times, TimesKey};
use aya::maps::{HashMap, MapData};
use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use zerocopy::FromBytes;

/// Entries copied by one system call.
const BATCH: usize = 256;

/// The map `TIMES`.
pub(super) struct TimesRead {
    fd: OwnedFd,
    capacity: usize,
    keys: Vec<[u8; size_of::<TimesKey>()]>,
    values: Vec<[u8; size_of::<Times>()]>,
    entries: foldhash::HashMap<TimesKey, Entry>,
}

/// What the kernel said last, and what of it was told.
struct Entry {
    read: Box<Times>,
    told: Box<Times>,
}

/// Nothing yet.
const NOTHING: Times = Times {
    polls: [0; SLOTS],
    delays: [0; SLOTS],
    busy_ns: 0,
    delay_ns: 0,
    idle_ns: 0,
    busy_max_ns: 0,
    delay_max_ns: 0,
};

impl TimesRead {
    /// Opens it, and makes the entry of each site for polls at places that will have none of their own. `capacity`: entries that
    /// the map has room for.
    pub fn of(programs: &Programs, sites: usize, capacity: usize) -> Result<Self, TraceError> {
        let mut map: HashMap<MapData, [u8; size_of::<TimesKey>()], [u8; size_of::<Times>()]> =
            programs.map("TIMES")?;
        for site in 0..sites as u32 {
            let key: [u8; size_of::<TimesKey>()] = zerocopy::transmute!(TimesKey { site, shard: 0, path: 0 });
            map.insert(key, [0; size_of::<Times>()], 0).map_err(map_error)?;
        }
        Ok(TimesRead {
            fd: programs.map_fd("TIMES")?,
            capacity,
            keys: vec![[0; size_of::<TimesKey>()]; BATCH],
            values: vec![[0; size_of::<Times>()]; BATCH],
            entries: foldhash::HashMap::default(),
        })
    }

    /// # Errors
    /// What the kernel says, which is a bug of ours.
    pub fn read(&mut self) -> Result<(), TraceError> {
        let mut cursor = Cursor::default();
        let mut all = 0;
        loop {
            let read = read_batch(self.fd.as_fd(), &mut cursor, &mut self.keys, &mut self.values);
            let (count, last) = read.map_err(|error| TraceError::from_io("read a BPF map", error))?;
            for (key, value) in self.keys.iter().zip(&self.values).take(count) {
                let key = TimesKey::read_from_bytes(key);
                let (Ok(key), Ok(times)) = (key, Times::read_from_bytes(value)) else { continue };
                if times == NOTHING {
                    continue;
                }
                let fresh = || Entry { read: Box::new(NOTHING), told: Box::new(NOTHING) };
                *self.entries.entry(key).or_insert_with(fresh).read = times;
            }
            all += count;
            if last || all > 2 * self.capacity {
                return Ok(());
            }
        }
    }

    /// Adds what was read and not told yet. What stands at a place that no record has named waits for that record; not
    /// if this is the last time.
    pub fn tell(&mut self, translator: &Translator, t_ns: u64, last: bool, out: &mut Vec<TraceEvent>) {
        let mut gains: BTreeMap<(u32, Option<Path>), Gain> = BTreeMap::new();
        for (key, entry) in self.entries.iter_mut().filter(|(_, entry)| entry.read != entry.told) {
            let path = translator.path(key.path);
            if path.is_none() && key.path != 0 && !last {
                continue;
            }
            let gain = Gain::between(&entry.told, &entry.read);
            *entry.told = *entry.read;
            let sum = gains.entry((key.site, path)).or_default();
            sum.polls.add(&gain.polls);
            sum.delays.add(&gain.delays);
            sum.idle_ns = sum.idle_ns.saturating_add(gain.idle_ns);
        }
        for ((site, at), Gain { polls, delays, idle_ns }) in gains {
            let Some(name) = translator.name(site) else { continue };
            if !polls.is_empty() || !delays.is_empty() {
                let of = Box::new(Timed { name, at, polls, delays, idle_ns });
                out.push(TraceEvent::Timed { t_ns, of });
            }
        }
    }
}

#[derive(Debug, Default)]
struct Gain {
    polls: Histogram,
    delays: Histogram,
    idle_ns: u64,
}

impl Gain {
    fn between(before: &Times, now: &Times) -> Gain {
        let more = |before: &[u32; SLOTS], now: &[u32; SLOTS]| -> Vec<u64> {
            now.iter().zip(before).map(|(now, before)| now.wrapping_sub(*before).into()).collect()
        };
        let busy_ns = now.busy_ns.saturating_sub(before.busy_ns);
        let delay_ns = now.delay_ns.saturating_sub(before.delay_ns);
        Gain {
            polls: Histogram::new(more(&before.polls, &now.polls), busy_ns, now.busy_max_ns),
            delays: Histogram::new(more(&before.delays, &now.delays), delay_ns, now.delay_max_ns),
            idle_ns: now.idle_ns.saturating_sub(before.idle_ns),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_inspect_ebpf::class_of;

    #[test]
    fn counts_come_round() {
        let class = class_of(1000);
        let mut before = NOTHING;
        before.polls[class] = u32::MAX;
        before.busy_ns = 500;
        let mut now = before;
        now.polls[class] = 1;
        now.busy_ns = 2600;
        let gain = Gain::between(&before, &now);
        assert_eq!((gain.polls.count(), gain.polls.sum_ns), (2, 2100));
        assert!(gain.delays.is_empty());
    }
}
