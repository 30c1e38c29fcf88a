//! The async call graph for Graphviz: <https://graphviz.org/doc/info/lang.html>.

use super::dot::quoted;
use crate::outline::{Certainty, Color, EdgeKind, Excerpt, FunctionId, FunctionKind, Origin};
use crate::present::call_graph::{edge, groups, node};
use crate::present::places::Places;
use std::io::{self, Write};

pub fn write(out: &mut impl Write, excerpt: &Excerpt, places: &Places) -> io::Result<()> {
    let graph = &excerpt.graph;
    let title = "async call graph: red must be async, green could be sync, yellow is a bottleneck";
    writeln!(out, "digraph calls {{")?;
    writeln!(out, "  graph [rankdir=LR, labelloc=t, label={}];", quoted([title.to_owned()]))?;
    writeln!(out, "  node [fontname=\"sans-serif\", fontsize=11, shape=box];")?;
    writeln!(out, "  edge [fontname=\"sans-serif\", fontsize=9];")?;
    for id in graph.ids() {
        writeln!(out, "  f{} [label={}{}];", id.0, quoted(node(excerpt, id, places)), look(excerpt, id))?;
    }
    for id in graph.ids() {
        for group in groups(graph, id) {
            let words = quoted(edge(&group, graph, places));
            let (from, to) = (id.0, group.first.to.0);
            let look = match group.first.kind {
                EdgeKind::Awaits => "",
                EdgeKind::Spawns => ", style=dashed",
                EdgeKind::Calls => ", arrowhead=empty",
            };
            let color = match group.first.certainty {
                Certainty::Proven => "",
                Certainty::Possible => ", color=\"#9e9e9e\", fontcolor=\"#616161\"",
            };
            writeln!(out, "  f{from} -> f{to} [label={words}{look}{color}];")?;
        }
    }
    writeln!(out, "}}")
}

/// Async functions have round corners; others' are grey, and what they wait for an ellipse.
fn look(excerpt: &Excerpt, id: FunctionId) -> String {
    let function = excerpt.graph.function(id);
    let (line, fill) = match (function.origin, function.color) {
        (Origin::Own, _) if function.kind == FunctionKind::Sync && function.color != Color::Yellow => {
            ("#546e7a", "#ffffff")
        }
        (Origin::Own, color) => colors(color),
        _ => ("#9e9e9e", "#f5f5f5"),
    };
    let style = if function.kind == FunctionKind::Sync { "filled" } else { "rounded,filled" };
    let shape = if excerpt.waits_for[id.index()].is_empty() { "" } else { ", shape=ellipse" };
    let style = if shape.is_empty() { style } else { "filled" };
    let root = if function.is_root { ", penwidth=2" } else { "" };
    format!(", style=\"{style}\", color=\"{line}\", fillcolor=\"{fill}\"{shape}{root}")
}

/// A line's and an area's.
pub(super) fn colors(color: Color) -> (&'static str, &'static str) {
    match color {
        Color::Red => ("#c62828", "#ffebee"),
        Color::Green => ("#2e7d32", "#e8f5e9"),
        Color::Yellow => ("#f9a825", "#fff8e1"),
    }
}

#[cfg(test)]
#[path = "outline_dot_tests.rs"]
mod tests;
