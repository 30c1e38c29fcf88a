//! The histograms that the programs keep by kind of task and place, read from outside.

use super::object::Programs;
use super::slots::{Slot, Table, Values};
use super::translate::Translator;
use super::{Histogram, Path, Timed, TraceError, TraceEvent};
use async_inspect_ebpf::{SLOTS, TIMES_SLOTS, Times, TimesKey};
use std::collections::BTreeMap;

/// The table `TIMES`, and for each site what found no room there.
pub(super) struct TimesRead {
    table: Table<Times>,
    others: Values<Times>,
    sites: usize,
    entries: foldhash::HashMap<Place, Entry>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Place {
    Table(Slot),
    Other(usize),
}

/// What the kernel said last, and what of it was told.
struct Entry {
    read: Box<Times>,
    told: Box<Times>,
}

/// Nothing yet.
const NOTHING: Times = Times {
    of: TimesKey { site: 0, shard: 0, path: 0 },
    polls: [0; SLOTS],
    delays: [0; SLOTS],
    busy_ns: 0,
    delay_ns: 0,
    idle_ns: 0,
    busy_max_ns: 0,
    delay_max_ns: 0,
};

impl TimesRead {
    pub fn of(programs: &Programs, sites: usize) -> Result<Self, TraceError> {
        Ok(TimesRead {
            table: Table::of(programs, "TIMES_KEYS", "TIMES", TIMES_SLOTS)?,
            others: Values::of(programs, "OTHER_TIMES", sites as u32)?,
            sites,
            entries: foldhash::HashMap::default(),
        })
    }

    /// Only the first so many are written from now on.
    pub fn of_sites(&mut self, sites: usize) {
        self.sites = sites.min(self.others.len());
    }

    /// As they were before the first was made. No program may run meanwhile.
    pub fn clear(&self) {
        self.table.clear();
        (0..self.others.len()).for_each(|site| self.others.clear(site));
    }

    pub fn read(&mut self) {
        for (slot, _) in self.table.keys() {
            note(&mut self.entries, Place::Table(slot), self.table.value(slot));
        }
        for site in 0..self.sites {
            let of = TimesKey { site: site as u32, shard: 0, path: 0 };
            let times = Times { of, ..self.others.get(site) };
            if times != (Times { of, ..NOTHING }) {
                note(&mut self.entries, Place::Other(site), times);
            }
        }
    }

    /// Adds what was read and not told yet. What stands at a place that no record has named waits for that record; not
    /// if this is the last time.
    pub fn tell(&mut self, translator: &Translator, t_ns: u64, last: bool, out: &mut Vec<TraceEvent>) {
        let mut gains: BTreeMap<(u32, Option<Path>), Gain> = BTreeMap::new();
        for entry in self.entries.values_mut().filter(|entry| entry.read != entry.told) {
            let key = entry.read.of;
            let path = translator.path(key.path);
            if path.is_none() && key.path != 0 && !last {
                continue;
            }
            let gain = Gain::between(&entry.told, &entry.read);
            // A sum that was read without its count waits for it.
            if gain.polls.is_empty() && gain.delays.is_empty() {
                continue;
            }
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

fn note(entries: &mut foldhash::HashMap<Place, Entry>, place: Place, read: Times) {
    let told = || Box::new(Times { of: read.of, ..NOTHING });
    let entry = entries.entry(place).or_insert_with(|| Entry { read: told(), told: told() });
    *entry.read = read;
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
