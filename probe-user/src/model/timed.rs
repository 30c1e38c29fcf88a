//! What polls took, and what their tasks waited for them, by name and place: counted in the kernel.

use super::{Event, Model, Spot};
use crate::trace::{Histogram, Timed};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

/// Polls of all tasks of one name that began at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaceTimes {
    pub name: Arc<str>,
    pub at: Spot,
    /// Their durations; none where those are not seen.
    pub polls: Histogram,
    /// Of those that followed a wake that was seen: the time since.
    pub delays: Histogram,
    /// From the end of the poll before to that wake, or to the poll where none was seen: the sum of those that are known.
    pub idle_ns: u64,
}

/// All polls of tasks of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KindTimes {
    pub name: Arc<str>,
    pub polls: Histogram,
    pub delays: Histogram,
    pub idle_ns: u64,
}

impl KindTimes {
    fn of(name: Arc<str>) -> KindTimes {
        KindTimes { name, polls: Histogram::default(), delays: Histogram::default(), idle_ns: 0 }
    }

    fn add(&mut self, place: &PlaceTimes) {
        self.polls.add(&place.polls);
        self.delays.add(&place.delays);
        self.idle_ns = self.idle_ns.saturating_add(place.idle_ns);
    }
}

impl Model {
    pub(super) fn timed(&mut self, t_ns: u64, of: Timed, out: &mut Vec<Event>) {
        self.now_ns = self.now_ns.max(t_ns);
        let Timed { name, at, polls, delays, idle_ns } = of;
        let at = match at {
            None => Spot::Elsewhere,
            Some(path) => self.paths.intern(&path, &self.frames).place.map_or(Spot::Start, Spot::Await),
        };
        let key = |at| (name.clone(), at);
        let full = self.times.len() >= self.limits.places && !self.times.contains_key(&key(at));
        let at = if full { Spot::Elsewhere } else { at };
        // Names are as many as the target's kinds of tasks, which the tracer's tables bound.
        match self.times.entry(key(at)) {
            Entry::Occupied(mut known) => {
                let sum = known.get_mut();
                sum.polls.add(&polls);
                sum.delays.add(&delays);
                sum.idle_ns = sum.idle_ns.saturating_add(idle_ns);
            }
            Entry::Vacant(new) => {
                let (polls, delays) = (polls.clone(), delays.clone());
                new.insert(PlaceTimes { name: name.clone(), at, polls, delays, idle_ns });
            }
        }
        out.push(Event::Timed { t_ns, of: Box::new(PlaceTimes { name, at, polls, delays, idle_ns }) });
    }

    /// Those of one name next to one another, the busiest place first.
    pub fn place_times(&self) -> Vec<&PlaceTimes> {
        let mut places: Vec<_> = self.times.values().collect();
        places.sort_unstable_by_key(|place| (&place.name, Reverse(place.polls.sum_ns), place.at));
        places
    }

    /// Of tasks of this name from this place; None where nothing is known of them.
    pub fn times_at(&self, name: &Arc<str>, at: Spot) -> Option<&PlaceTimes> {
        self.times.get(&(name.clone(), at))
    }

    /// In the order of names.
    pub fn kind_times(&self) -> Vec<KindTimes> {
        let mut kinds: BTreeMap<&Arc<str>, KindTimes> = BTreeMap::new();
        for place in self.times.values() {
            kinds.entry(&place.name).or_insert_with(|| KindTimes::of(place.name.clone())).add(place);
        }
        kinds.into_values().collect()
    }

    /// Of all tasks of this name; None where nothing is known of them.
    pub fn times_of(&self, name: &str) -> Option<KindTimes> {
        let mut all: Option<KindTimes> = None;
        for place in self.times.values().filter(|place| &*place.name == name) {
            all.get_or_insert_with(|| KindTimes::of(place.name.clone())).add(place);
        }
        all
    }
}
