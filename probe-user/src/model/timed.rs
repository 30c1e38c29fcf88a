//! What polls took, and what their tasks waited for them, by name and place: counted in the kernel.

use super::{Event, Model, Spot};
use crate::trace::{Histogram, Timed};
use std::collections::HashMap;
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
}

/// All polls of tasks of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KindTimes {
    pub name: Arc<str>,
    pub polls: Histogram,
    pub delays: Histogram,
}

impl Model {
    pub(super) fn timed(&mut self, t_ns: u64, of: Timed, out: &mut Vec<Event>) {
        self.now_ns = self.now_ns.max(t_ns);
        let Timed { name, at, polls, delays } = of;
        let at = match at {
            None => Spot::Elsewhere,
            Some(path) => self.paths.intern(&path, &self.frames).place.map_or(Spot::Start, Spot::Await),
        };
        let key = |at| (name.clone(), at);
        let full = self.times.len() >= self.limits.places && !self.times.contains_key(&key(at));
        let at = if full { Spot::Elsewhere } else { at };
        let fresh = || PlaceTimes {
            name: name.clone(),
            at,
            polls: Histogram::default(),
            delays: Histogram::default(),
        };
        // Names are as many as the target's kinds of tasks, which the tracer's tables bound.
        let sum = self.times.entry(key(at)).or_insert_with(fresh);
        sum.polls.add(&polls);
        sum.delays.add(&delays);
        out.push(Event::Timed { t_ns, of: Box::new(PlaceTimes { name, at, polls, delays }) });
    }

    /// In no order.
    pub fn place_times(&self) -> impl Iterator<Item = &PlaceTimes> {
        self.times.values()
    }

    /// In the order of names.
    pub fn kind_times(&self) -> Vec<KindTimes> {
        let mut kinds: HashMap<&Arc<str>, KindTimes> = HashMap::new();
        for place in self.times.values() {
            let fresh = || KindTimes {
                name: place.name.clone(),
                polls: Histogram::default(),
                delays: Histogram::default(),
            };
            let kind = kinds.entry(&place.name).or_insert_with(fresh);
            kind.polls.add(&place.polls);
            kind.delays.add(&place.delays);
        }
        let mut kinds: Vec<_> = kinds.into_values().collect();
        kinds.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        kinds
    }

    /// Of all tasks of this name.
    pub fn times_of(&self, name: &str) -> Option<KindTimes> {
        let mut all: Option<KindTimes> = None;
        for place in self.times.values().filter(|place| &*place.name == name) {
            match &mut all {
                None => {
                    let PlaceTimes { name, polls, delays, .. } = place.clone();
                    all = Some(KindTimes { name, polls, delays });
                }
                Some(all) => {
                    all.polls.add(&place.polls);
                    all.delays.add(&place.delays);
                }
            }
        }
        all
    }
}
