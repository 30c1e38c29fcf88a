//! `analyze --show-call-graph -f json`: CALLGRAPH of docs/JSON.md. Also what the page is made of.

use super::json::{Line, SCHEMA};
use super::resources::certainty_word;
use crate::decode::Certainty as Known;
use crate::outline::{
    Bounds, Certainty, Color, EdgeKind, Excerpt, FunctionId, FunctionKind, Origin, SuspendPoint,
};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;

#[derive(Serialize)]
struct Function<'a> {
    id: u32,
    function: &'a str,
    kind: &'static str,
    file: Option<&'a str>,
    line: Option<u32>,
    color: &'static str,
    why: &'a [String],
    size: Option<u64>,
    suspend_points: Vec<Point<'a>>,
    is_root: bool,
    origin: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    waits_for: Vec<&'static str>,
}

#[derive(Serialize)]
struct Point<'a> {
    file: Option<&'a str>,
    line: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expanded_from: Option<Line<'a>>,
}

#[derive(Serialize)]
struct Edge<'a> {
    from: u32,
    to: u32,
    kind: &'static str,
    file: Option<&'a str>,
    line: Option<u32>,
    certainty: &'static str,
    through: &'a [Arc<str>],
}

/// One function, and one edge, a line.
pub fn write(out: &mut impl Write, excerpt: &Excerpt) -> io::Result<()> {
    let graph = &excerpt.graph;
    write!(out, "{{\"schema\":{SCHEMA},\n\"functions\":[")?;
    items(out, graph.ids().map(|id| function(excerpt, id)))?;
    out.write_all(b"],\n\"edges\":[")?;
    items(out, graph.edges.iter().map(edge))?;
    let Excerpt { folded, left_out, .. } = excerpt;
    let issues = serde_json::to_string(&graph.issues)?;
    let bounds = serde_json::to_string(&bounds(&graph.bounds))?;
    writeln!(out, "],\n\"folded\":{folded},\"left_out\":{left_out},\"issues\":{issues},\"bounds\":{bounds}}}")
}

/// How much was left out at each bound that was reached.
pub(super) fn bounds(bounds: &Bounds) -> BTreeMap<&'static str, u64> {
    bounds.iter().map(|(at, many)| (at.as_str(), many)).collect()
}

fn items<T: Serialize>(out: &mut impl Write, items: impl Iterator<Item = T>) -> io::Result<()> {
    for (nth, item) in items.enumerate() {
        out.write_all(if nth == 0 { b"\n" } else { b",\n" })?;
        serde_json::to_writer(&mut *out, &item)?;
    }
    Ok(())
}

fn function(excerpt: &Excerpt, id: FunctionId) -> Function<'_> {
    let function = excerpt.graph.function(id);
    Function {
        id: id.0,
        function: &function.name,
        kind: kind(function.kind),
        file: function.place.as_ref().map(|place| &*place.file),
        line: function.place.as_ref().map(|place| place.line),
        color: color(function.color),
        why: &function.why_yellow,
        size: function.size,
        suspend_points: function.suspend_points.iter().map(point).collect(),
        is_root: function.is_root,
        origin: origin(function.origin),
        waits_for: excerpt.waits_for[id.index()].iter().map(|kind| kind.as_str()).collect(),
    }
}

fn point(point: &SuspendPoint) -> Point<'_> {
    Point {
        file: point.place.as_ref().map(|place| &*place.file),
        line: point.place.as_ref().map(|place| place.line),
        expanded_from: point.expanded_from.as_ref().map(Line::from),
    }
}

fn edge(edge: &crate::outline::Edge) -> Edge<'_> {
    Edge {
        from: edge.from.0,
        to: edge.to.0,
        kind: edge_kind(edge.kind),
        file: edge.place.as_ref().map(|place| &*place.file),
        line: edge.place.as_ref().map(|place| place.line),
        certainty: certainty_word(match edge.certainty {
            Certainty::Proven => Known::Proven,
            Certainty::Possible => Known::Possible,
        }),
        through: &edge.through,
    }
}

pub(super) fn edge_kind(kind: EdgeKind) -> &'static str {
    match kind {
        EdgeKind::Awaits => "awaits",
        EdgeKind::Spawns => "spawns",
        EdgeKind::Calls => "calls",
    }
}

pub(super) fn color(color: Color) -> &'static str {
    match color {
        Color::Red => "red",
        Color::Green => "green",
        Color::Yellow => "yellow",
    }
}

fn origin(origin: Origin) -> &'static str {
    match origin {
        Origin::Own => "own",
        Origin::Dependency => "dependency",
        Origin::Std => "std",
    }
}

pub(super) fn kind(kind: FunctionKind) -> &'static str {
    match kind {
        FunctionKind::AsyncFn => "async fn",
        FunctionKind::AsyncBlock => "async block",
        FunctionKind::AsyncClosure => "async closure",
        FunctionKind::Future => "future",
        FunctionKind::Sync => "sync",
    }
}

#[cfg(test)]
#[path = "outline_json_tests.rs"]
mod tests;
