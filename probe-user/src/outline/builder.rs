//! Puts a call graph together: functions by what they are, edges by function, numbers only at the end.

use super::bounds::Bounds;
use super::graph::{CallGraph, Certainty, Edge, EdgeKind, Function, FunctionId, FunctionKind};
use crate::decode::SourceLine;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// A function while the graph is built. Its number in the graph is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Handle(usize);

/// What makes two functions one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    name: Arc<str>,
    kind: FunctionKind,
    place: Option<SourceLine>,
    size: Option<u64>,
}

/// An edge before functions have numbers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Link {
    pub from: Handle,
    pub to: Handle,
    pub kind: EdgeKind,
    pub place: Option<SourceLine>,
    pub through: Vec<Arc<str>>,
    pub certainty: Certainty,
}

#[derive(Debug, Default)]
pub struct Builder {
    functions: Vec<Function>,
    by_key: HashMap<Key, Handle>,
    links: BTreeSet<Link>,
    pub issues: Vec<String>,
    pub bounds: Bounds,
}

impl Builder {
    /// The function of this name, kind, place and size: the one there is, or this.
    pub fn function(&mut self, function: Function) -> Handle {
        let key = Key {
            name: function.name.clone(),
            kind: function.kind,
            place: function.place.clone(),
            size: function.size,
        };
        let next = Handle(self.functions.len());
        let handle = *self.by_key.entry(key).or_insert(next);
        if handle == next {
            self.functions.push(function);
        }
        handle
    }

    pub fn get_mut(&mut self, handle: Handle) -> &mut Function {
        &mut self.functions[handle.0]
    }

    pub fn link(&mut self, link: Link) {
        self.links.insert(link);
    }

    pub fn finish(self) -> CallGraph {
        let mut order: Vec<usize> = (0..self.functions.len()).collect();
        let key = |i: &usize| {
            let function = &self.functions[*i];
            (function.name.clone(), function.kind, function.place.clone(), function.size)
        };
        order.sort_by_cached_key(key);
        let mut number = vec![0; order.len()];
        for (new, old) in order.iter().enumerate() {
            number[*old] = new as u32;
        }
        let id = |handle: Handle| FunctionId(number[handle.0]);
        let edges = self.links.into_iter().map(|link| Edge {
            from: id(link.from),
            to: id(link.to),
            kind: link.kind,
            place: link.place,
            through: link.through,
            certainty: link.certainty,
        });
        let mut edges: Vec<Edge> = edges.collect();
        edges.sort_by(|a, b| (a.from, a.kind, &a.place, a.to).cmp(&(b.from, b.kind, &b.place, b.to)));
        let mut functions: Vec<Option<Function>> = self.functions.into_iter().map(Some).collect();
        let functions = order.iter().filter_map(|i| functions[*i].take()).collect();
        CallGraph { functions, edges, issues: self.issues, bounds: self.bounds }
    }
}
