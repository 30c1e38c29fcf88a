//! The async call graph as a tree of lines, and its words: what the text, the diagrams and the page say of it.

use super::escape::escape;
use super::names;
use super::places::Places;
use super::units::{count, counted, size};
use crate::decode::{ResourceKind, SourceLine};
use crate::outline::{
    CallGraph, Certainty, Color, Edge, EdgeKind, Excerpt, Function, FunctionId, FunctionKind, Origin,
    Starter, is_main,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Lines of all trees that are made at most.
const LINES: usize = 1_000;
/// Sync functions that lead to nothing async, of one function.
const PLAIN_SYNC: usize = 3;
/// Places of one function's awaits of another.
const PLACES: usize = 3;

/// One function of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraphLine {
    /// The branches it is under: `│ └ `; empty where a tree begins.
    pub branches: String,
    /// Those of what else is said of it, below it.
    pub below: String,
    /// Whole; not escaped.
    pub name: Arc<str>,
    /// `async`, `sync`, `future`; empty of a line that is none.
    pub kind: &'static str,
    pub color: Color,
    pub own: bool,
    /// Escaped: `awaits src/api.rs:156`.
    pub how: String,
    /// Escaped: `via hyper…, 3 more`, `dyn, possible`, `⤷ shown above`.
    pub notes: Vec<String>,
    /// Why it is yellow. Escaped.
    pub warnings: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trees {
    pub lines: Vec<GraphLine>,
    /// Lines that there was no room for.
    pub left_out: usize,
    /// Sync functions that nobody is known to call and that lead to nothing async.
    pub plain_sync: usize,
}

/// Edges that a reader sees as one.
#[derive(Clone, Debug)]
pub struct Group<'a> {
    pub first: &'a Edge,
    pub places: Vec<&'a SourceLine>,
}

/// What a function leads to, in the order of its source.
pub fn groups(graph: &CallGraph, id: FunctionId) -> Vec<Group<'_>> {
    let mut alike: BTreeMap<_, Group<'_>> = BTreeMap::new();
    for edge in graph.from(id) {
        let key = (edge.to, edge.kind, edge.certainty, &edge.through);
        let group = alike.entry(key).or_insert(Group { first: edge, places: Vec::new() });
        group.places.extend(&edge.place);
    }
    let mut groups: Vec<Group<'_>> = alike.into_values().collect();
    groups.iter_mut().for_each(|group| group.places.sort());
    groups.sort_by_key(|group| (group.places.is_empty(), group.places.first().copied(), group.first));
    groups
}

/// The trees, with branches that take at most so many columns.
pub fn trees(excerpt: &Excerpt, places: &Places, columns: usize) -> Trees {
    let graph = &excerpt.graph;
    let mut drawing = Drawing {
        excerpt,
        places,
        columns,
        interesting: leading_to_async(graph),
        shown: vec![false; graph.functions.len()],
        path: Vec::new(),
        trees: Trees::default(),
    };
    let mut headed = false;
    for start in starts(excerpt, places) {
        let Start { id, how, note, known } = start;
        let function = graph.function(id);
        let root = function.is_root || is_main(function) || excerpt.roots.contains(&id);
        if !drawing.interesting[id.index()] && !root {
            drawing.trees.plain_sync += 1;
            continue;
        }
        if !known && !std::mem::replace(&mut headed, true) {
            drawing.trees.lines.push(heading(NOBODY));
        }
        drawing.push(id, how, note.into_iter().collect(), "", "");
    }
    drawing.trees
}

/// Stands above trees of which nothing tells how they begin.
pub const NOBODY: &str = "what starts these is not known:";

/// Where a tree begins. Its words are escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    pub id: FunctionId,
    /// `starts at src/main.rs:20`, or the place where it is declared.
    pub how: String,
    /// A folded function that leads to it.
    pub note: Option<String>,
    pub known: bool,
}

pub fn starts(excerpt: &Excerpt, places: &Places) -> Vec<Start> {
    let start = |id: FunctionId| {
        let function = excerpt.graph.function(id);
        let root = function.is_root || is_main(function) || excerpt.roots.contains(&id);
        let starter = excerpt.started_by[id.index()].as_ref().filter(|_| !root);
        let at = function.place.as_ref().map_or_else(String::new, |line| places.show(line));
        Start {
            id,
            how: if root { format!("starts at {at}") } else { at },
            note: starter.map(|starter| started_by(starter, places)),
            known: root || starter.is_some(),
        }
    };
    excerpt.begins().into_iter().map(start).collect()
}

fn heading(text: &str) -> GraphLine {
    GraphLine {
        branches: String::new(),
        below: String::new(),
        name: "".into(),
        kind: "",
        color: Color::Green,
        own: false,
        how: String::new(),
        notes: vec![text.into()],
        warnings: vec![],
    }
}

/// `awaited by axum::F::call at axum-0.8.9/src/handler/mod.rs:255`.
fn started_by(starter: &Starter, places: &Places) -> String {
    let verb = match starter.kind {
        EdgeKind::Awaits => "awaited",
        EdgeKind::Spawns => "spawned",
        EdgeKind::Calls => "called",
    };
    let at = starter.place.as_ref().map_or_else(String::new, |line| format!(" at {}", places.show(line)));
    format!("{verb} by {}{at}", name(&starter.name, NAME))
}

/// Columns of a name in a note.
const NAME: usize = 40;

/// A function's name in at most so many columns. Of a boxed future only that it is one.
pub fn name(function: &str, width: usize) -> String {
    let boxed = ["alloc::boxed::Box<", "core::pin::Pin<"].iter().any(|start| function.starts_with(start));
    if boxed && function.contains("dyn core::future::future::Future<") {
        return "Box<dyn Future>".into();
    }
    names::fit(function, width)
}

struct Drawing<'a> {
    excerpt: &'a Excerpt,
    places: &'a Places,
    columns: usize,
    /// Async, or leads to what is, or yellow.
    interesting: Vec<bool>,
    shown: Vec<bool>,
    path: Vec<FunctionId>,
    trees: Trees,
}

impl Drawing<'_> {
    /// `first` goes before the function itself, `rest` before all below it.
    fn push(&mut self, id: FunctionId, how: String, mut notes: Vec<String>, first: &str, rest: &str) {
        if self.trees.lines.len() >= LINES {
            self.trees.left_out += 1;
            return;
        }
        let function = self.excerpt.graph.function(id);
        let follow = self.interesting[id.index()] || self.path.is_empty();
        let below = if follow { groups(&self.excerpt.graph, id) } else { vec![] };
        let recursion = self.path.contains(&id);
        let again = !below.is_empty() && self.shown[id.index()];
        if recursion {
            notes.push("↺ recursion".into());
        } else if again {
            notes.push("⤷ shown above".into());
        }
        notes.extend(waits_words(&self.excerpt.waits_for[id.index()]));
        let beyond = self.excerpt.beyond[id.index()];
        if beyond > 0 {
            notes.push(format!("… {} not followed", counted(beyond as u64, "step")));
        }
        self.trees.lines.push(GraphLine {
            branches: first.into(),
            below: format!("{rest}{}", if below.is_empty() || recursion || again { "  " } else { "│ " }),
            name: function.name.clone(),
            kind: kind_word(function.kind),
            color: function.color,
            own: function.origin == Origin::Own,
            how,
            notes,
            warnings: function.why_yellow.iter().map(|why| escape(why).into_owned()).collect(),
        });
        if !recursion && !again {
            self.shown[id.index()] = true;
            self.path.push(id);
            self.push_below(&below, rest);
            self.path.pop();
        }
    }

    fn push_below(&mut self, below: &[Group<'_>], rest: &str) {
        let graph = &self.excerpt.graph;
        let mut plain = 0;
        let drawn: Vec<&Group<'_>> = below
            .iter()
            .filter(|group| {
                plain += usize::from(!self.interesting[group.first.to.index()]);
                self.interesting[group.first.to.index()] || plain <= PLAIN_SYNC
            })
            .collect();
        let left_out = below.len() - drawn.len();
        let deep = rest.chars().count() + 2 > self.columns;
        for (nth, group) in drawn.iter().enumerate() {
            let last = nth + 1 == drawn.len() && left_out == 0;
            let (first, under) = match () {
                () if deep => (rest.to_owned(), rest.to_owned()),
                () if last => (format!("{rest}└ "), format!("{rest}  ")),
                () => (format!("{rest}├ "), format!("{rest}│ ")),
            };
            let how = how(group, graph.function(group.first.to), self.places);
            self.push(group.first.to, how, edge_notes(group.first), &first, &under);
        }
        if left_out > 0 {
            let words = format!("… {} with nothing async below", counted(left_out as u64, "sync function"));
            self.trees.lines.push(GraphLine {
                branches: if deep { rest.to_owned() } else { format!("{rest}└ ") },
                below: format!("{rest}  "),
                how: "calls".into(),
                ..heading(&words)
            });
        }
    }
}

/// By function: whether it is async or yellow, or leads to one that is.
fn leading_to_async(graph: &CallGraph) -> Vec<bool> {
    let of_interest = |id: FunctionId| {
        let function = graph.function(id);
        function.kind != FunctionKind::Sync || function.color == Color::Yellow
    };
    graph.leading_to(of_interest, |_| true, |_| true)
}

/// `async` or `sync`; a future that is no coroutine is a `future`.
pub fn kind_word(kind: FunctionKind) -> &'static str {
    match kind {
        FunctionKind::AsyncFn | FunctionKind::AsyncBlock | FunctionKind::AsyncClosure => "async",
        FunctionKind::Future => "future",
        FunctionKind::Sync => "sync",
    }
}

/// What one function does to another.
pub fn verb(edge: &Edge, to: &Function) -> &'static str {
    let blocks = || edge.through.iter().any(|name| name.ends_with("block_on"));
    match edge.kind {
        EdgeKind::Awaits => "awaits",
        EdgeKind::Spawns => "spawns",
        EdgeKind::Calls if to.kind != FunctionKind::Sync && blocks() => "blocks on",
        EdgeKind::Calls => "calls",
    }
}

/// `awaits src/db.rs:32, 38`.
pub fn how(group: &Group<'_>, to: &Function, places: &Places) -> String {
    let verb = verb(group.first, to);
    if group.places.is_empty() {
        verb.into()
    } else {
        format!("{verb} {}", lines(group.places.iter().copied(), places))
    }
}

/// `src/db.rs:32, 38`; the first few.
pub fn lines<'a>(all: impl IntoIterator<Item = &'a SourceLine>, places: &Places) -> String {
    let mut words = String::new();
    let mut file = None;
    let mut more = 0;
    for (nth, line) in all.into_iter().enumerate() {
        if nth >= PLACES {
            more += 1;
            continue;
        }
        words.push_str(if nth == 0 { "" } else { ", " });
        if file == Some(&line.file) {
            words.push_str(&line.line.to_string());
        } else {
            words.push_str(&places.show(line));
            file = Some(&line.file);
        }
    }
    if more > 0 {
        words.push_str(&format!(", {} more", count(more)));
    }
    words
}

/// What a reader should know of an edge beside its place.
pub fn edge_notes(edge: &Edge) -> Vec<String> {
    let mut notes: Vec<String> = via(edge).into_iter().collect();
    if edge.certainty == Certainty::Possible {
        let dynamic = edge.through.iter().any(|name| name.starts_with("dyn "));
        notes.push(if dynamic { "dyn, possible".into() } else { "possible".into() });
    }
    notes
}

/// `via tokio::select!`, `via hyper::Connection…, 3 more`. That a thread blocks is in the verb.
fn via(edge: &Edge) -> Option<String> {
    let told = |name: &Arc<str>| {
        name.ends_with("block_on") || (edge.certainty == Certainty::Possible && name.starts_with("dyn "))
    };
    let through: Vec<String> =
        edge.through.iter().filter(|name| !told(name)).map(|through| name(through, NAME)).collect();
    match through.as_slice() {
        [] => None,
        [one] => Some(format!("via {one}")),
        [first, last] => Some(format!("via {first}, {last}")),
        [first, rest @ ..] => Some(format!("via {first}…, {} more", count(rest.len() as u64))),
    }
}

/// `waits for a timer`. Nothing where it is not known.
pub fn waits_words<'a>(kinds: impl IntoIterator<Item = &'a ResourceKind>) -> Option<String> {
    let known = kinds.into_iter().filter(|kind| **kind != ResourceKind::Unknown);
    let words: Vec<&str> = known.map(|kind| thing(*kind)).collect();
    (!words.is_empty()).then(|| format!("waits for {}", words.join(", ")))
}

/// What is waited for, in words.
pub fn thing(kind: ResourceKind) -> &'static str {
    match kind {
        ResourceKind::Timer => "a timer",
        ResourceKind::Mutex => "a mutex",
        ResourceKind::RwLock => "a rwlock",
        ResourceKind::Semaphore => "a semaphore",
        ResourceKind::Mpsc => "an mpsc channel",
        ResourceKind::Oneshot => "a oneshot channel",
        ResourceKind::Watch => "a watch channel",
        ResourceKind::Broadcast => "a broadcast channel",
        ResourceKind::Notify => "a notify",
        ResourceKind::Barrier => "a barrier",
        ResourceKind::Join => "a task's end",
        ResourceKind::Io => "a socket or file",
        ResourceKind::OnceCell => "a once_cell",
        ResourceKind::Unknown => "what no name tells",
    }
}

/// Columns of a name in a diagram.
const LONG: usize = 72;

/// A function in a diagram: name, kind and place, why it is yellow.
pub fn node(excerpt: &Excerpt, id: FunctionId, places: &Places) -> Vec<String> {
    let function = excerpt.graph.function(id);
    let mut lines = vec![name(&function.name, LONG)];
    let mut second = format!("({})", kind_word(function.kind));
    if let Some(line) = function.place.as_ref().filter(|_| function.origin == Origin::Own) {
        second.push_str(&format!(" {}", places.show(line)));
    }
    if let Some(bytes) = function.size {
        second.push_str(&format!(", {}", size(bytes)));
    }
    lines.push(second);
    lines.extend(waits_words(&excerpt.waits_for[id.index()]));
    lines.extend(function.why_yellow.iter().map(|why| escape(why).into_owned()));
    lines
}

/// An edge in a diagram.
pub fn edge(group: &Group<'_>, graph: &CallGraph, places: &Places) -> Vec<String> {
    let mut lines = vec![how(group, graph.function(group.first.to), places)];
    lines.extend(edge_notes(group.first));
    lines
}

#[cfg(test)]
#[path = "call_graph_tests.rs"]
mod tests;
