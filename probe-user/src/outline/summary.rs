//! What a call graph answers: where async is necessary, where sync and async meet, where a chain could be broken.

use super::{Color, EdgeKind, Excerpt, FunctionId, FunctionKind, Origin};
use crate::decode::{ResourceKind, SourceLine};
use std::collections::{BTreeMap, BTreeSet};

/// Functions are those of the excerpt's graph. Only the reader's own are counted and named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub async_functions: usize,
    pub sync_functions: usize,
    /// Of the async ones.
    pub red: usize,
    pub green: usize,
    pub yellow: usize,
    /// By what is waited for: who awaits it directly, and where. All other red functions are async for the sake of these.
    pub needed: BTreeMap<ResourceKind, BTreeMap<FunctionId, BTreeSet<SourceLine>>>,
    pub boundaries: Vec<Boundary>,
    /// Await nothing: could be plain functions, and where they take long, be given to `spawn_blocking`.
    pub awaits_nothing: Vec<FunctionId>,
    /// Yellow ones.
    pub bottlenecks: Vec<FunctionId>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boundary {
    pub kind: BoundaryKind,
    pub from: FunctionId,
    pub to: FunctionId,
    pub place: Option<SourceLine>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BoundaryKind {
    /// A thread waits for a future: `block_on`.
    BlocksOn,
    /// Sync code begins a task.
    SpawnsFromSync,
    /// A closure is given to threads that may block: `spawn_blocking`, `block_in_place`.
    GivesToThreads,
}

impl Summary {
    pub fn of(excerpt: &Excerpt) -> Summary {
        let graph = &excerpt.graph;
        let mut summary = Summary::default();
        for id in graph.ids().filter(|id| graph.function(*id).origin == Origin::Own) {
            let function = graph.function(id);
            if function.kind == FunctionKind::Sync {
                summary.sync_functions += 1;
            } else {
                summary.async_functions += 1;
                match function.color {
                    Color::Red => summary.red += 1,
                    Color::Yellow => summary.yellow += 1,
                    Color::Green => {
                        summary.green += 1;
                        summary.awaits_nothing.push(id);
                    }
                }
            }
            if function.color == Color::Yellow {
                summary.bottlenecks.push(id);
            }
            summary.waits(excerpt, id);
        }
        summary.boundaries = boundaries(excerpt);
        summary
    }

    fn waits(&mut self, excerpt: &Excerpt, id: FunctionId) {
        for edge in excerpt.graph.from(id).iter().filter(|edge| edge.kind == EdgeKind::Awaits) {
            for kind in &excerpt.waits_for[edge.to.index()] {
                let places = self.needed.entry(*kind).or_default().entry(id).or_default();
                places.extend(edge.place.clone());
            }
        }
    }
}

/// In the order of their kinds, then of the edges.
fn boundaries(excerpt: &Excerpt) -> Vec<Boundary> {
    let graph = &excerpt.graph;
    let mut found = Vec::new();
    for edge in &graph.edges {
        let (from, to) = (graph.function(edge.from), graph.function(edge.to));
        let (from_sync, to_sync) = (from.kind == FunctionKind::Sync, to.kind == FunctionKind::Sync);
        let through = |what: &str| edge.through.iter().any(|name| last_part(name) == what);
        let kind = match edge.kind {
            EdgeKind::Calls if !to_sync && through("block_on") => BoundaryKind::BlocksOn,
            // A thread that sync code starts is no boundary.
            EdgeKind::Spawns if to_sync && !from_sync => BoundaryKind::GivesToThreads,
            EdgeKind::Calls if to_sync && (through("block_in_place") || through("spawn_blocking")) => {
                BoundaryKind::GivesToThreads
            }
            EdgeKind::Spawns if from_sync => BoundaryKind::SpawnsFromSync,
            _ => continue,
        };
        found.push(Boundary { kind, from: edge.from, to: edge.to, place: edge.place.clone() });
    }
    found.sort_by(|a, b| (a.kind, a.from, &a.place, a.to).cmp(&(b.kind, b.from, &b.place, b.to)));
    found.dedup();
    found
}

/// `f` of `a::b::f<T>`.
fn last_part(path: &str) -> &str {
    let path = path.split('<').next().unwrap_or(path);
    path.rsplit("::").next().unwrap_or(path)
}

#[cfg(test)]
#[path = "summary_tests.rs"]
mod tests;
