//! The async call graph, as plain data. How it is drawn is `present`'s and `export`'s business.

use super::bounds::Bounds;
use crate::decode::SourceLine;
use crate::dwarf::is_of_std;
use std::sync::Arc;

/// Index into [`CallGraph::functions`]; stable for one file, as functions are sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FunctionId(pub u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FunctionKind {
    AsyncFn,
    AsyncBlock,
    AsyncClosure,
    /// A future that is no coroutine: a combinator, a timer, a lock's `Acquire`.
    Future,
    Sync,
}

/// Whose code a function is, by where its source lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Origin {
    /// The user's own (see [`crate::dwarf::Program::is_own_code`]).
    Own,
    Dependency,
    /// `core`, `alloc`, `std`.
    Std,
}

impl Origin {
    /// Of code that is not the user's own, by its file.
    pub fn of(file: &str) -> Origin {
        if is_of_std(file) { Origin::Std } else { Origin::Dependency }
    }

    /// Of code that is not the user's own, by its path.
    pub fn of_path(path: &str) -> Origin {
        let head = path.trim_start_matches(['<', '&', '*']);
        let std = ["core::", "alloc::", "std::"].iter().any(|name| head.starts_with(name));
        if std { Origin::Std } else { Origin::Dependency }
    }
}

/// What a reader is to do with a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Color {
    /// Must be async: it awaits something that may make it wait.
    Red,
    /// Could be sync: it awaits nothing.
    Green,
    /// A bottleneck: see [`Function::why_yellow`].
    Yellow,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SuspendPoint {
    pub number: u32,
    /// The user's place; of an await in a macro the invocation.
    pub place: Option<SourceLine>,
    /// The macro's own place.
    pub expanded_from: Option<SourceLine>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// `shop::api::fetch_user<u32>`; blocks keep `{async_block#0}`.
    pub name: Arc<str>,
    pub kind: FunctionKind,
    /// Where it is declared.
    pub place: Option<SourceLine>,
    pub origin: Origin,
    pub color: Color,
    /// One reason for each, for people: `its future is 18,432 bytes`. Empty unless yellow.
    pub why_yellow: Vec<String>,
    /// Bytes of the future. None of sync functions.
    pub size: Option<u64>,
    pub suspend_points: Vec<SuspendPoint>,
    /// A program's `main`, the future given to `block_on`, or what is spawned.
    pub is_root: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EdgeKind {
    Awaits,
    Spawns,
    Calls,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Certainty {
    Proven,
    /// Through a trait object: one of those that the vtables of the file allow.
    Possible,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    pub from: FunctionId,
    pub to: FunctionId,
    pub kind: EdgeKind,
    /// Where `from` does it.
    pub place: Option<SourceLine>,
    /// What lies between the two: `tokio::select!`, `tokio::time::timeout::Timeout`, `dyn Future`, `block_on`. Outermost first.
    pub through: Vec<Arc<str>>,
    pub certainty: Certainty,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallGraph {
    /// Sorted by name, kind, place.
    pub functions: Vec<Function>,
    /// Sorted; each once.
    pub edges: Vec<Edge>,
    /// What could not be told, for people.
    pub issues: Vec<String>,
    /// What was cut.
    pub bounds: Bounds,
}

impl CallGraph {
    pub fn function(&self, id: FunctionId) -> &Function {
        &self.functions[id.index()]
    }

    /// Edges that begin at a function, in the order of their kinds and lines.
    pub fn from(&self, id: FunctionId) -> &[Edge] {
        let start = self.edges.partition_point(|edge| edge.from < id);
        let end = self.edges.partition_point(|edge| edge.from <= id);
        &self.edges[start..end]
    }

    pub fn ids(&self) -> impl Iterator<Item = FunctionId> + use<> {
        (0..self.functions.len() as u32).map(FunctionId)
    }

    /// By function: whether it is one of `ends`, or edges that `counts` lead from it to one, over functions that `passes`.
    pub fn leading_to(
        &self,
        ends: impl Fn(FunctionId) -> bool,
        passes: impl Fn(FunctionId) -> bool,
        counts: impl Fn(&Edge) -> bool,
    ) -> Vec<bool> {
        let mut callers = vec![Vec::new(); self.functions.len()];
        for edge in self.edges.iter().filter(|edge| counts(edge)) {
            callers[edge.to.index()].push(edge.from);
        }
        let mut leads: Vec<bool> = self.ids().map(&ends).collect();
        let mut open: Vec<FunctionId> = self.ids().filter(|id| ends(*id)).collect();
        while let Some(id) = open.pop() {
            for caller in &callers[id.index()] {
                if !leads[caller.index()] && passes(*caller) {
                    leads[caller.index()] = true;
                    open.push(*caller);
                }
            }
        }
        leads
    }
}

impl FunctionId {
    pub fn index(self) -> usize {
        self.0 as usize
    }
}
