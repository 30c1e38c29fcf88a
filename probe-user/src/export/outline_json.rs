//! `analyze --show-call-graph -f json`.

use crate::outline::{CallGraph, Certainty, Color, EdgeKind, FunctionKind};
use serde::Serialize;
use std::io::{self, Write};
use std::sync::Arc;

#[derive(Serialize)]
struct Graph<'a> {
    schema: u32,
    functions: Vec<Function<'a>>,
    edges: Vec<Edge<'a>>,
    issues: &'a [String],
}

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
}

#[derive(Serialize)]
struct Point<'a> {
    file: Option<&'a str>,
    line: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expanded_from: Option<Place<'a>>,
}

#[derive(Serialize)]
struct Place<'a> {
    file: &'a str,
    line: u32,
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

pub fn write(out: &mut impl Write, graph: &CallGraph) -> io::Result<()> {
    let functions = graph.functions.iter().enumerate().map(|(id, function)| Function {
        id: id as u32,
        function: &function.name,
        kind: kind(function.kind),
        file: function.place.as_ref().map(|place| &*place.file),
        line: function.place.as_ref().map(|place| place.line),
        color: match function.color {
            Color::Red => "red",
            Color::Green => "green",
            Color::Yellow => "yellow",
        },
        why: &function.why_yellow,
        size: function.size,
        suspend_points: function
            .suspend_points
            .iter()
            .map(|point| Point {
                file: point.place.as_ref().map(|place| &*place.file),
                line: point.place.as_ref().map(|place| place.line),
                expanded_from: point
                    .expanded_from
                    .as_ref()
                    .map(|place| Place { file: &place.file, line: place.line }),
            })
            .collect(),
        is_root: function.is_root,
    });
    let edges = graph.edges.iter().map(|edge| Edge {
        from: edge.from.0,
        to: edge.to.0,
        kind: match edge.kind {
            EdgeKind::Awaits => "awaits",
            EdgeKind::Spawns => "spawns",
            EdgeKind::Calls => "calls",
        },
        file: edge.place.as_ref().map(|place| &*place.file),
        line: edge.place.as_ref().map(|place| place.line),
        certainty: match edge.certainty {
            Certainty::Proven => "proven",
            Certainty::Possible => "possible",
        },
        through: &edge.through,
    });
    let graph =
        Graph { schema: 1, functions: functions.collect(), edges: edges.collect(), issues: &graph.issues };
    serde_json::to_writer(&mut *out, &graph)?;
    writeln!(out)
}

fn kind(kind: FunctionKind) -> &'static str {
    match kind {
        FunctionKind::AsyncFn => "async fn",
        FunctionKind::AsyncBlock => "async block",
        FunctionKind::AsyncClosure => "async closure",
        FunctionKind::Future => "future",
        FunctionKind::Sync => "sync",
    }
}
