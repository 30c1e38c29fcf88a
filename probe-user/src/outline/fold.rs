//! The call graph without what is not the reader's own: chains through other functions become one edge.

use super::{Bound, CallGraph, Certainty, Edge, EdgeKind, FunctionId};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

/// Edges that folding makes at most. Every function of a dependency that leads to each of the reader's own is a product.
const EDGES: usize = 100_000;

impl CallGraph {
    /// Those functions only, renumbered. Where one led to another through functions that go, an edge does, with the first step's
    /// place and all that lies between in `through`. The second value tells each function's number in `self`.
    pub fn folded(&self, kept: &[bool]) -> (CallGraph, Vec<FunctionId>) {
        let leads = self.leading_to(|id| kept[id.index()], |id| !kept[id.index()], |_| true);
        let mut folding = Folding { graph: self, kept, leads, known: HashMap::new() };
        let mut edges = Vec::new();
        let mut cut = 0;
        for edge in self.edges.iter().filter(|edge| kept[edge.from.index()]) {
            if kept[edge.to.index()] {
                edges.push(edge.clone());
            } else if edges.len() < EDGES {
                let ways = folding.ways_from(edge.to);
                edges.extend(ways.iter().map(|(to, way)| way.after(edge, *to, self)));
            } else {
                cut += u64::from(folding.leads[edge.to.index()]);
            }
        }
        let (mut graph, numbers) = self.renumbered(kept, edges);
        graph.bounds.cut(Bound::FoldedEdges, cut);
        (graph, numbers)
    }

    /// Those functions with these edges of theirs, and each one's number in `self`.
    pub(super) fn renumbered(
        &self,
        kept: &[bool],
        edges: impl IntoIterator<Item = Edge>,
    ) -> (CallGraph, Vec<FunctionId>) {
        let numbers: Vec<FunctionId> = self.ids().filter(|id| kept[id.index()]).collect();
        let new = |old: FunctionId| numbers.binary_search(&old).ok().map(|at| FunctionId(at as u32));
        let mut edges: Vec<Edge> = edges
            .into_iter()
            .filter_map(|edge| Some(Edge { from: new(edge.from)?, to: new(edge.to)?, ..edge }))
            .collect();
        let order = |edge: &Edge| (edge.from, edge.kind, edge.place.clone(), edge.to, edge.through.clone());
        edges.sort_by_cached_key(|edge| (order(edge), edge.certainty));
        edges.dedup();
        let functions = numbers.iter().map(|id| self.function(*id).clone()).collect();
        (CallGraph { functions, edges, issues: self.issues.clone(), bounds: self.bounds.clone() }, numbers)
    }
}

/// A way through functions that go, to one that stays.
#[derive(Clone, Debug)]
struct Way {
    kind: EdgeKind,
    certainty: Certainty,
    /// The functions, and what lay between them already.
    through: Vec<Arc<str>>,
}

impl Way {
    /// The edge that `first` and this way after it are.
    fn after(&self, first: &Edge, to: FunctionId, graph: &CallGraph) -> Edge {
        let kind = match (first.kind, self.kind) {
            (EdgeKind::Spawns, _) | (_, EdgeKind::Spawns) => EdgeKind::Spawns,
            // Who calls a function does not await what that one awaits.
            (EdgeKind::Calls, _) => EdgeKind::Calls,
            (EdgeKind::Awaits, kind) => kind,
        };
        let mut through = first.through.clone();
        through.push(graph.function(first.to).name.clone());
        through.extend_from_slice(&self.through);
        Edge {
            from: first.from,
            to,
            kind,
            place: first.place.clone(),
            through,
            certainty: first.certainty.max(self.certainty),
        }
    }
}

struct Folding<'a> {
    graph: &'a CallGraph,
    kept: &'a [bool],
    leads: Vec<bool>,
    known: HashMap<FunctionId, Arc<[(FunctionId, Way)]>>,
}

/// A function on the way, and what the way to it was like.
type Step = (FunctionId, bool, Certainty);

impl Folding<'_> {
    /// The shortest way from a function that goes to each one that stays, by kind; a proven one before a possible one.
    fn ways_from(&mut self, start: FunctionId) -> Arc<[(FunctionId, Way)]> {
        if let Some(known) = self.known.get(&start) {
            return known.clone();
        }
        // By the step, the one before it and what lay between.
        let mut before: HashMap<Step, Option<(Step, &Edge)>> = HashMap::new();
        let mut found: BTreeMap<(FunctionId, EdgeKind), Way> = BTreeMap::new();
        let mut todo = VecDeque::new();
        if self.leads[start.index()] {
            let first = (start, false, Certainty::Proven);
            before.insert(first, None);
            todo.push_back(first);
        }
        while let Some(step @ (at, spawned, certainty)) = todo.pop_front() {
            for edge in self.graph.from(at) {
                let spawned = spawned || edge.kind == EdgeKind::Spawns;
                let certainty = certainty.max(edge.certainty);
                if self.kept[edge.to.index()] {
                    let kind = if spawned { EdgeKind::Spawns } else { edge.kind };
                    let worse = |way: &Way| way.certainty > certainty;
                    if found.get(&(edge.to, kind)).is_none_or(worse) {
                        let mut through = self.names(step, &before);
                        through.extend_from_slice(&edge.through);
                        found.insert((edge.to, kind), Way { kind, certainty, through });
                    }
                } else if self.leads[edge.to.index()] {
                    let next = (edge.to, spawned, certainty);
                    before.entry(next).or_insert_with(|| {
                        todo.push_back(next);
                        Some((step, edge))
                    });
                }
            }
        }
        let ways: Arc<[_]> = found.into_iter().map(|((to, _), way)| (to, way)).collect();
        self.known.insert(start, ways.clone());
        ways
    }

    /// What lies between the start, without it, and the end of a way.
    fn names(&self, end: Step, before: &HashMap<Step, Option<(Step, &Edge)>>) -> Vec<Arc<str>> {
        let mut names = Vec::new();
        let mut at = end;
        while let Some(Some((previous, edge))) = before.get(&at) {
            names.push(self.graph.function(at.0).name.clone());
            names.extend(edge.through.iter().rev().cloned());
            at = *previous;
        }
        names.reverse();
        names
    }
}

#[cfg(test)]
#[path = "fold_tests.rs"]
mod tests;
