//! The relationship graph as a Mermaid flowchart: <https://mermaid.js.org/syntax/flowchart.html>.

use crate::analysis::{Link, NodeKey, Relations};
use crate::present::places::Places;
use crate::present::relations;
use std::io::{self, Write};

/// Each statement ends with `;`: Mermaid removes the last one of a line that has `style` before it
/// (`encodeEntities` in packages/mermaid/src/utils.ts), and that must not be an entity's.
pub fn write(out: &mut impl Write, graph: &Relations, places: &Places) -> io::Result<()> {
    writeln!(out, "flowchart LR;")?;
    let nodes = graph.nodes();
    for (number, key) in nodes.iter().enumerate() {
        let label = label(relations::node(graph, *key, places).unwrap_or_default());
        match key {
            NodeKey::Task(_) => writeln!(out, "  n{number}[{label}];")?,
            NodeKey::Resource(_) => writeln!(out, "  n{number}([{label}]);")?,
        }
    }
    let mut red = Vec::new();
    let mut number = 0;
    for ((from, to, link), info) in &graph.edges {
        let (Ok(from), Ok(to)) = (nodes.binary_search(from), nodes.binary_search(to)) else { continue };
        let label = label([relations::edge(*link, info)]);
        match link {
            // What is sent flows out of the channel.
            Link::Receives => writeln!(out, "  n{to} -.->|{label}| n{from};")?,
            Link::Sends | Link::Spawned => writeln!(out, "  n{from} -.->|{label}| n{to};")?,
            Link::WaitsFor | Link::HeldBy | Link::Joins => {
                writeln!(out, "  n{from} -->|{label}| n{to};")?;
            }
        }
        if info.cycle {
            red.push(number.to_string());
        }
        number += 1;
    }
    if !red.is_empty() {
        writeln!(out, "  linkStyle {} stroke:#c62828,stroke-width:2px;", red.join(","))?;
    }
    let on_cycle = graph.on_cycles();
    for (number, _) in nodes.iter().enumerate().filter(|(_, key)| on_cycle.contains(key)) {
        writeln!(out, "  style n{number} stroke:#c62828;")?;
    }
    Ok(())
}

/// A quoted label of these lines. Whatever Mermaid, Markdown, HTML or KaTeX could take for its own is written as an entity.
pub(super) fn label(lines: impl IntoIterator<Item = String>) -> String {
    let mut text = String::from("\"");
    for (i, line) in lines.into_iter().enumerate() {
        if i > 0 {
            text.push_str("<br/>");
        }
        for c in line.chars() {
            if c.is_alphanumeric() || is_plain(c) {
                text.push(c);
            } else {
                text.push_str(&format!("#{};", u32::from(c)));
            }
        }
    }
    text + "\""
}

fn is_plain(c: char) -> bool {
    " .,:/()[]{}→×…?!+=-".contains(c)
}

#[cfg(test)]
#[path = "mermaid_tests.rs"]
pub(super) mod tests;
