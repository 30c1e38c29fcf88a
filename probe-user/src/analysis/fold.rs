//! Tasks that stand in the same place and have the same neighbours become one node, for a graph that people can look at.

use super::relations::{EdgeInfo, Link, NodeKey, Relations, ResourceKey, SeenTask};
use crate::decode::{Certainty, ResourceKind, TaskId};
use std::collections::{BTreeMap, HashMap};

/// A neighbour as far as it makes tasks differ.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Neighbour {
    /// Others are linked with it as well.
    Shared(NodeKey),
    /// Nobody else is: a socket or timer of the task's own.
    Own(ResourceKind),
}

/// One edge of a task: what it is, whether it leads away from the task, and to what.
type Tie = (Link, bool, Option<Certainty>, Neighbour);

/// Tasks of one signature are one node.
type Signature = (SeenTask, Vec<Tie>);

impl Relations {
    /// The same graph with equal tasks, and the resources that only one of them has, merged and counted.
    pub fn folded(&self) -> Relations {
        let place = self.representatives();
        let at = |key: NodeKey| place.get(&key).copied().unwrap_or(key);
        let mut folded = Relations {
            tasks: BTreeMap::new(),
            resources: BTreeMap::new(),
            edges: BTreeMap::new(),
            cycles: self.cycles.iter().map(|cycle| distinct(cycle.iter().map(|key| at(*key)))).collect(),
            exe: self.exe.clone(),
            ..*self
        };
        for (id, node) in &self.tasks {
            let NodeKey::Task(first) = at(NodeKey::Task(*id)) else { continue };
            // The first comes before those like it.
            let merged = folded.tasks.entry(first).or_insert_with(|| node.clone());
            merged.count += u64::from(*id != first);
        }
        for (key, node) in &self.resources {
            let NodeKey::Resource(first) = at(NodeKey::Resource(*key)) else { continue };
            let merged = folded.resources.entry(first).or_insert_with(|| node.clone());
            if *key != first {
                merged.count += 1;
                merged.fd = merged.fd.filter(|fd| node.fd == Some(*fd));
                merged.detail = merged.detail.take().filter(|detail| node.detail.as_ref() == Some(detail));
            }
        }
        for ((from, to, link), info) in &self.edges {
            let key = (at(*from), at(*to), *link);
            folded.edges.entry(key).and_modify(|merged| merge(merged, info)).or_insert_with(|| info.clone());
        }
        folded.cycles.sort_unstable();
        folded.cycles.dedup();
        folded
    }

    /// For each node that is merged into another, that other one: the first of its kind.
    fn representatives(&self) -> HashMap<NodeKey, NodeKey> {
        let mut ties = self.ties();
        let mut first: HashMap<Signature, (TaskId, Vec<NodeKey>)> = HashMap::new();
        let mut place = HashMap::new();
        for (id, node) in &self.tasks {
            let Some(seen) = &node.seen else { continue };
            let mut own = ties.remove(id).unwrap_or_default();
            own.sort_unstable();
            let (ties, ends): (Vec<Tie>, Vec<NodeKey>) = own.into_iter().unzip();
            match first.entry((seen.clone(), ties)) {
                std::collections::hash_map::Entry::Vacant(entry) => {
                    entry.insert((*id, ends));
                }
                std::collections::hash_map::Entry::Occupied(entry) => {
                    let (to, theirs) = entry.get();
                    place.insert(NodeKey::Task(*id), NodeKey::Task(*to));
                    // In order of the signature, so each own resource meets its like.
                    place.extend(ends.into_iter().zip(theirs.iter().copied()).filter(|(a, b)| a != b));
                }
            }
        }
        place
    }

    fn ties(&self) -> HashMap<TaskId, Vec<(Tie, NodeKey)>> {
        let mut degree: HashMap<ResourceKey, usize> = HashMap::new();
        for end in self.edges.keys().flat_map(|(from, to, _)| [from, to]) {
            if let NodeKey::Resource(key) = end {
                *degree.entry(*key).or_default() += 1;
            }
        }
        let neighbour = |end: NodeKey| match end {
            NodeKey::Resource(key) if degree[&key] == 1 => Neighbour::Own(self.resources[&key].kind),
            end => Neighbour::Shared(end),
        };
        let mut ties: HashMap<TaskId, Vec<(Tie, NodeKey)>> = HashMap::new();
        for ((from, to, link), info) in &self.edges {
            for (end, other, away) in [(from, to, true), (to, from, false)] {
                if let NodeKey::Task(id) = end {
                    let tie = (*link, away, info.certainty, neighbour(*other));
                    ties.entry(*id).or_default().push((tie, *other));
                }
            }
        }
        ties
    }
}

fn merge(into: &mut EdgeInfo, info: &EdgeInfo) {
    into.count += info.count;
    into.certainty = into.certainty.max(info.certainty);
    into.local = into.local.take().filter(|local| info.local.as_ref() == Some(local));
    into.acquired_at = into.acquired_at.take().filter(|line| info.acquired_at.as_ref() == Some(line));
    into.any &= info.any;
    into.cycle |= info.cycle;
}

fn distinct(keys: impl Iterator<Item = NodeKey>) -> Vec<NodeKey> {
    let mut keys: Vec<NodeKey> = keys.collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}
