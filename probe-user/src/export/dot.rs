//! The relationship graph for Graphviz: <https://graphviz.org/doc/info/lang.html>.

use crate::analysis::{EdgeInfo, EdgeKey, Link, NodeKey, Relations};
use crate::present::places::Places;
use crate::present::relations;
use std::io::{self, Write};

/// Of what lies on a cycle.
const RED: &str = "#c62828";

pub fn write(out: &mut impl Write, graph: &Relations, places: &Places) -> io::Result<()> {
    let title = format!("process {}, {}", graph.pid, crate::present::escape::escape(&graph.exe));
    writeln!(out, "digraph relations {{")?;
    writeln!(out, "  graph [rankdir=LR, labelloc=t, label={}];", quoted([title]))?;
    writeln!(out, "  node [fontname=\"sans-serif\", fontsize=11];")?;
    writeln!(out, "  edge [fontname=\"sans-serif\", fontsize=9];")?;
    let nodes = graph.nodes();
    let on_cycle = graph.on_cycles();
    for (number, key) in nodes.iter().enumerate() {
        let lines = relations::node(graph, *key, places).unwrap_or_default();
        let (name, shape) = match key {
            NodeKey::Task(_) => ("t", "box, style=rounded"),
            NodeKey::Resource(_) => ("r", "ellipse"),
        };
        let red = if on_cycle.contains(key) { format!(", color=\"{RED}\"") } else { String::new() };
        writeln!(out, "  {name}{number} [shape={shape}, label={}{red}];", quoted(lines))?;
    }
    for (key, info) in &graph.edges {
        edge(out, key, info, &nodes)?;
    }
    writeln!(out, "}}")
}

fn edge(
    out: &mut impl Write,
    (from, to, link): &EdgeKey,
    info: &EdgeInfo,
    nodes: &[NodeKey],
) -> io::Result<()> {
    let (Some(from), Some(to)) = (name(*from, nodes), name(*to, nodes)) else { return Ok(()) };
    let mut attributes = format!("label={}", quoted([relations::edge(*link, info)]));
    match link {
        // What is sent flows out of the channel.
        Link::Receives => attributes.push_str(", dir=back, style=dashed"),
        Link::Sends | Link::Spawned => attributes.push_str(", style=dashed"),
        Link::WaitsFor | Link::HeldBy | Link::Joins => {}
    }
    if info.cycle {
        attributes.push_str(&format!(", color=\"{RED}\", fontcolor=\"{RED}\", penwidth=2, cycle=true"));
    }
    writeln!(out, "  {from} -> {to} [{attributes}];")
}

fn name(key: NodeKey, nodes: &[NodeKey]) -> Option<String> {
    let number = nodes.binary_search(&key).ok()?;
    Some(match key {
        NodeKey::Task(_) => format!("t{number}"),
        NodeKey::Resource(_) => format!("r{number}"),
    })
}

/// A double-quoted string of these lines. In a label a backslash begins an escape (`\N` is the node's name) and `&` an
/// entity, so both are escaped beside the quote.
pub(super) fn quoted(lines: impl IntoIterator<Item = String>) -> String {
    let mut text = String::from("\"");
    for (i, line) in lines.into_iter().enumerate() {
        if i > 0 {
            text.push_str("\\n");
        }
        for c in line.chars() {
            match c {
                '"' => text.push_str("\\\""),
                '\\' => text.push_str("\\\\"),
                '&' => text.push_str("&amp;"),
                c => text.push(c),
            }
        }
    }
    text + "\""
}

#[cfg(test)]
#[path = "dot_tests.rs"]
pub(super) mod tests;
