//! The part of a call graph that is shown: whose functions, from where on, how far.

use super::{CallGraph, Certainty, Edge, EdgeKind, Function, FunctionId, FunctionKind, Origin, find};
use crate::decode::{ResourceKind, SourceLine, kind_of_names};
use std::collections::BTreeSet;
use std::sync::Arc;

#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// Every function, also those of dependencies and std.
    pub deps: bool,
    /// Only what these lead to; all where it is empty. Of the whole graph.
    pub roots: Vec<FunctionId>,
    /// So many steps from where the trees begin.
    pub depth: Option<u32>,
}

/// Who leads to a function, and is not shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Starter {
    pub name: Arc<str>,
    pub kind: EdgeKind,
    pub place: Option<SourceLine>,
}

#[derive(Clone, Debug, Default)]
pub struct Excerpt {
    pub graph: CallGraph,
    /// By function of `graph`: what its own waiting is for, where that lies in a dependency. Empty of all others.
    pub waits_for: Vec<BTreeSet<ResourceKind>>,
    /// By function of `graph` that none of them leads to: a folded one that does, and where.
    pub started_by: Vec<Option<Starter>>,
    /// By function of `graph`: edges that lead from it to what is too far away to be shown.
    pub beyond: Vec<usize>,
    /// Functions of dependencies and std that were folded.
    pub folded: usize,
    /// Other functions that are not shown: no root leads to them, or they are too far away.
    pub left_out: usize,
    /// Where the trees begin, if that was chosen.
    pub roots: Vec<FunctionId>,
}

impl Excerpt {
    pub fn of(graph: &CallGraph, choice: &Choice) -> Excerpt {
        let kept = if choice.deps { vec![true; graph.functions.len()] } else { kept(graph, &choice.roots) };
        let (mut folded, numbers) = graph.folded(&kept);
        if !choice.deps {
            drop_inside_of_dependencies(&mut folded);
        }
        let waits_for = numbers.iter().map(|id| waits_of(graph, *id, choice.deps)).collect();
        let new = |old: &FunctionId| numbers.binary_search(old).ok().map(|at| FunctionId(at as u32));
        let all = Excerpt {
            folded: graph.functions.len() - folded.functions.len(),
            beyond: vec![0; folded.functions.len()],
            waits_for,
            started_by: starters(graph, &folded, &numbers),
            left_out: 0,
            roots: choice.roots.iter().filter_map(new).collect(),
            graph: folded,
        };
        if choice.roots.is_empty() && choice.depth.is_none() { all } else { all.within(choice.depth) }
    }

    /// What is at most so many steps away from where the trees begin.
    pub fn within(&self, depth: Option<u32>) -> Excerpt {
        let graph = &self.graph;
        let begins = self.begins();
        let far = distances(graph, &begins);
        let near = |id: FunctionId| far[id.index()].is_some_and(|far| depth.is_none_or(|depth| far <= depth));
        let is_followed = |id: FunctionId| far[id.index()] < depth || depth.is_none();
        let kept: Vec<bool> = graph.ids().map(near).collect();
        let mut beyond = self.beyond.clone();
        for edge in graph.edges.iter().filter(|edge| near(edge.from) && !is_followed(edge.from)) {
            beyond[edge.from.index()] += 1;
        }
        // The outermost ones' edges are left out also where they lead back: what is shown of a function is all or nothing.
        let edges = graph.edges.iter().filter(|edge| near(edge.from) && is_followed(edge.from)).cloned();
        let (cut, numbers) = graph.renumbered(&kept, edges);
        let new = |old: &FunctionId| numbers.binary_search(old).ok().map(|at| FunctionId(at as u32));
        Excerpt {
            waits_for: numbers.iter().map(|id| self.waits_for[id.index()].clone()).collect(),
            started_by: numbers.iter().map(|id| self.started_by[id.index()].clone()).collect(),
            beyond: numbers.iter().map(|id| beyond[id.index()]).collect(),
            folded: self.folded,
            left_out: self.left_out + graph.functions.len() - cut.functions.len(),
            roots: begins.iter().filter_map(new).collect(),
            graph: cut,
        }
    }

    /// The farthest that is shown within so many functions and edges, and its depth; all of it where that is few enough.
    pub fn at_most(&self, functions: usize, edges: usize) -> (Excerpt, Option<u32>) {
        let graph = &self.graph;
        if graph.functions.len() <= functions && graph.edges.len() <= edges {
            return (self.clone(), None);
        }
        let far = distances(graph, &self.begins());
        let within = |id: FunctionId, steps: u32| far[id.index()].is_some_and(|far| far <= steps);
        let fits = |depth: &u32| {
            let shown = graph.ids().filter(|id| within(*id, *depth)).count();
            let followed = graph.edges.iter().filter(|edge| within(edge.from, *depth - 1)).count();
            shown <= functions && followed <= edges
        };
        // With each step there is one more function at least, until all are there, which do not fit.
        let depth = (1..=graph.functions.len() as u32).take_while(fits).last().unwrap_or(0);
        (self.within(Some(depth)), Some(depth))
    }

    /// The roots: those chosen, else `main` and the other [roots](Function::is_root), then of each part that none
    /// of them leads to the functions that nobody calls, or one on the ring.
    pub fn begins(&self) -> Vec<FunctionId> {
        if !self.roots.is_empty() {
            return self.roots.clone();
        }
        let graph = &self.graph;
        let mut called = vec![false; graph.functions.len()];
        for edge in graph.edges.iter().filter(|edge| edge.from != edge.to) {
            called[edge.to.index()] = true;
        }
        let rank = |id: &FunctionId| {
            let function = graph.function(*id);
            let root = function.is_root || is_main(function);
            // Async functions before the sync ones that nobody is known to call.
            let sync = function.kind == FunctionKind::Sync;
            let others = (called[id.index()], sync, function.origin != Origin::Own);
            // Those of which nothing is known come last.
            let unknown = !root && !called[id.index()] && self.started_by[id.index()].is_none();
            (!root, !is_main(function), unknown, others, *id)
        };
        let mut order: Vec<FunctionId> = graph.ids().collect();
        order.sort_by_cached_key(rank);
        let mut seen = vec![false; graph.functions.len()];
        let mut begins = Vec::new();
        for id in order {
            if !seen[id.index()] {
                begins.push(id);
                reach(graph, id, &mut seen);
            }
        }
        begins
    }
}

/// What one dependency awaits of another is folded as well: only what leads to the reader's own stays.
fn drop_inside_of_dependencies(graph: &mut CallGraph) {
    let leads = leads_to_own(graph, |_| true, true);
    let own = |id: FunctionId| graph.functions[id.index()].origin == Origin::Own;
    graph.edges.retain(|edge| own(edge.from) || own(edge.to) || leads[edge.to.index()]);
}

fn starters(graph: &CallGraph, folded: &CallGraph, numbers: &[FunctionId]) -> Vec<Option<Starter>> {
    let mut has_caller = vec![false; numbers.len()];
    folded
        .edges
        .iter()
        .filter(|edge| edge.from != edge.to)
        .for_each(|edge| has_caller[edge.to.index()] = true);
    let mut starters = vec![None; numbers.len()];
    for edge in &graph.edges {
        if let Ok(to) = numbers.binary_search(&edge.to)
            && !has_caller[to]
            && numbers.binary_search(&edge.from).is_err()
        {
            let name = graph.function(edge.from).name.clone();
            let starter = Starter { name, kind: edge.kind, place: edge.place.clone() };
            starters[to].get_or_insert(starter);
        }
    }
    starters
}

/// Functions that a person means by a name or by a place, as [`find`] tells them.
pub fn named(graph: &CallGraph, wanted: &str) -> Vec<FunctionId> {
    let places = |function: &Function| {
        let awaits = function.suspend_points.iter().filter_map(|point| point.place.clone());
        function.place.iter().cloned().chain(awaits).collect()
    };
    let all = graph.functions.iter().map(|function| (&*function.name, places(function)));
    find(all, wanted).into_iter().map(|number| FunctionId(number as u32)).collect()
}

/// `app::main`, and the async block that `#[tokio::main]` makes of it.
pub fn is_main(function: &Function) -> bool {
    function.origin == Origin::Own && is_main_path(&function.name)
}

pub(super) fn is_main_path(path: &str) -> bool {
    let path = path.trim_end_matches("::{async_block#0}");
    path.split_once("::").is_some_and(|(_, rest)| rest == "main")
}

/// What stays when dependencies are folded: the reader's own, what was asked for, and of the rest what own code awaits or
/// spawns where nothing of its own lies behind, or only on another task.
fn kept(graph: &CallGraph, roots: &[FunctionId]) -> Vec<bool> {
    let own = |id: FunctionId| graph.function(id).origin == Origin::Own;
    let mut kept: Vec<bool> = graph.ids().map(own).collect();
    let wraps = leads_to_own(graph, |kind| kind == EdgeKind::Awaits, false);
    let leads = leads_to_own(graph, |_| true, true);
    for edge in graph.edges.iter().filter(|edge| own(edge.from) && edge.kind != EdgeKind::Calls) {
        let to = edge.to.index();
        kept[to] |= !wraps[to] && graph.functions[to].kind != FunctionKind::Sync;
    }
    for id in graph.ids() {
        kept[id.index()] |= graph.function(id).is_root && leads[id.index()];
    }
    roots.iter().for_each(|id| kept[id.index()] = true);
    kept
}

/// By function that is not own: whether edges of these kinds lead to one that is; proven ones, or all.
fn leads_to_own(graph: &CallGraph, kinds: impl Fn(EdgeKind) -> bool, possible: bool) -> Vec<bool> {
    let own = |id: FunctionId| graph.function(id).origin == Origin::Own;
    let certain = |edge: &Edge| possible || edge.certainty == Certainty::Proven;
    graph.leading_to(own, |id| !own(id), |edge| kinds(edge.kind) && certain(edge))
}

/// What the futures at the ends of a dependency's await chains wait for, as far as their names tell.
fn waits_of(graph: &CallGraph, id: FunctionId, only_ends: bool) -> BTreeSet<ResourceKind> {
    let mut found = BTreeSet::new();
    let mut seen = BTreeSet::from([id]);
    let mut todo: Vec<Vec<FunctionId>> = vec![vec![id]];
    while let Some(chain) = todo.pop() {
        let at = chain[chain.len() - 1];
        let function = graph.function(at);
        if function.origin == Origin::Own || function.kind == FunctionKind::Sync {
            continue;
        }
        let mut awaits = graph.from(at).iter().filter(|edge| edge.kind == EdgeKind::Awaits).peekable();
        if awaits.peek().is_none() && (function.kind == FunctionKind::Future || chain.len() > 1) {
            let above: Vec<&str> =
                chain[..chain.len() - 1].iter().map(|id| &*graph.function(*id).name).collect();
            found.insert(kind_of_names(&[&function.name], &above));
        }
        if only_ends {
            break;
        }
        for edge in awaits.filter(|edge| seen.insert(edge.to)) {
            todo.push(chain.iter().copied().chain([edge.to]).collect());
        }
    }
    // One that is known says more than one that is not.
    if found.len() > 1 {
        found.remove(&ResourceKind::Unknown);
    }
    found
}

/// Steps from the nearest of these; None of what they do not lead to.
fn distances(graph: &CallGraph, from: &[FunctionId]) -> Vec<Option<u32>> {
    let mut far = vec![None; graph.functions.len()];
    let mut now: Vec<FunctionId> = from.to_vec();
    let mut distance = 0;
    while !now.is_empty() {
        now.retain(|id| far[id.index()].is_none());
        now.iter().for_each(|id| far[id.index()] = Some(distance));
        now = now.iter().flat_map(|id| graph.from(*id)).map(|edge| edge.to).collect();
        distance += 1;
    }
    far
}

/// Marks what a function leads to.
fn reach(graph: &CallGraph, from: FunctionId, seen: &mut [bool]) {
    let mut todo = vec![from];
    while let Some(id) = todo.pop() {
        if !std::mem::replace(&mut seen[id.index()], true) {
            todo.extend(graph.from(id).iter().map(|edge| edge.to));
        }
    }
}

#[cfg(test)]
#[path = "excerpt_tests.rs"]
mod tests;
