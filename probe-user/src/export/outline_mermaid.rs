//! The async call graph as a Mermaid flowchart: <https://mermaid.js.org/syntax/flowchart.html>.

use super::mermaid::label;
use super::outline_dot::colors;
use super::outline_json::color;
use crate::outline::{CallGraph, Certainty, Color, EdgeKind, Excerpt, FunctionKind, Origin};
use crate::present::call_graph::{Group, edge, groups, node};
use crate::present::places::Places;
use crate::present::units::counted;
use std::io::{self, Write};

/// What Mermaid draws where nobody has told it otherwise (`maxEdges` in packages/mermaid/src/schemas/config.schema.yaml); a page
/// cannot raise it.
const EDGES: usize = 500;

/// As much as can be drawn, from the roots on.
pub fn write(out: &mut impl Write, excerpt: &Excerpt, places: &Places) -> io::Result<()> {
    let (part, depth) = excerpt.at_most(EDGES, EDGES);
    let graph = &part.graph;
    writeln!(out, "flowchart LR;")?;
    for id in graph.ids() {
        let label = label(node(&part, id, places));
        match (part.waits_for[id.index()].is_empty(), graph.function(id).kind) {
            (false, _) => writeln!(out, "  f{}([{label}]);", id.0)?,
            (true, FunctionKind::Sync) => writeln!(out, "  f{}[{label}];", id.0)?,
            (true, _) => writeln!(out, "  f{}({label});", id.0)?,
        }
    }
    if let Some(depth) = depth {
        let words = format!(
            "{} more than {} from the roots are left out: --root FN, --depth N",
            counted((part.left_out - excerpt.left_out) as u64, "function"),
            counted(depth.into(), "step")
        );
        writeln!(out, "  left[{}];", label([words]))?;
    }
    for id in graph.ids() {
        for group in groups(graph, id) {
            link(out, &group, graph, places)?;
        }
    }
    classes(out, graph)
}

fn link(out: &mut impl Write, group: &Group<'_>, graph: &CallGraph, places: &Places) -> io::Result<()> {
    let label = label(edge(group, graph, places));
    let arrow = match (group.first.kind, group.first.certainty) {
        (EdgeKind::Awaits, Certainty::Proven) => "-->",
        (EdgeKind::Calls, Certainty::Proven) => "--o",
        (EdgeKind::Spawns, _) | (_, Certainty::Possible) => "-.->",
    };
    writeln!(out, "  f{} {arrow}|{label}| f{};", group.first.from.0, group.first.to.0)
}

fn classes(out: &mut impl Write, graph: &CallGraph) -> io::Result<()> {
    for of in [Color::Red, Color::Green, Color::Yellow] {
        let has = |f: &crate::outline::Function| {
            f.origin == Origin::Own && f.color == of && (f.kind != FunctionKind::Sync || of == Color::Yellow)
        };
        let names: Vec<String> =
            graph.ids().filter(|id| has(graph.function(*id))).map(|id| format!("f{}", id.0)).collect();
        if !names.is_empty() {
            let (line, fill) = colors(of);
            writeln!(out, "  classDef {} stroke:{line},fill:{fill},color:#212121;", color(of))?;
            writeln!(out, "  class {} {};", names.join(","), color(of))?;
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "outline_mermaid_tests.rs"]
mod tests;
