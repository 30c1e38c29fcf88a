//! The same bug of many tasks, told once.

use crate::analysis::FoundPlace;
use std::collections::{HashMap, HashSet};
use std::hash::Hash;

/// Tasks that a finding lists.
pub(super) const MAX_TASKS: usize = 100;
/// Places of tasks that are looked up for one finding.
const MAX_PLACES: usize = 16;

/// What has one key, in the order in which the first of each came.
pub(super) struct Groups<K, T> {
    index: HashMap<K, usize>,
    lists: Vec<Vec<T>>,
}

impl<K, T> Default for Groups<K, T> {
    fn default() -> Self {
        Groups { index: HashMap::new(), lists: Vec::new() }
    }
}

impl<K: Hash + Eq, T> Groups<K, T> {
    pub fn add(&mut self, key: K, one: T) {
        let next = self.lists.len();
        let at = *self.index.entry(key).or_insert(next);
        if at == next {
            self.lists.push(Vec::new());
        }
        self.lists[at].push(one);
    }

    pub fn is_empty(&self) -> bool {
        self.lists.is_empty()
    }

    pub fn into_iter(self) -> impl Iterator<Item = (K, Vec<T>)> {
        let mut keys: Vec<(K, usize)> = self.index.into_iter().collect();
        keys.sort_unstable_by_key(|(_, at)| *at);
        keys.into_iter().map(|(key, _)| key).zip(self.lists)
    }
}

/// The first of many.
pub(super) fn some<T>(all: &[T]) -> impl Iterator<Item = &T> {
    all.iter().take(MAX_PLACES)
}

pub(in crate::analysis) fn once_each(places: impl Iterator<Item = FoundPlace>) -> Vec<FoundPlace> {
    let mut known = HashSet::new();
    places.filter(|place| known.insert(place.clone())).collect()
}
