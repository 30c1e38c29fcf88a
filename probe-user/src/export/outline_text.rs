//! `analyze --show-call-graph`, for people.

use crate::outline::CallGraph;
use crate::present::escape::escape;
use std::io::{self, Write};

pub fn write(out: &mut impl Write, graph: &CallGraph) -> io::Result<()> {
    for (id, function) in graph.functions.iter().enumerate() {
        writeln!(out, "{}", escape(&function.name))?;
        for edge in graph.from(crate::outline::FunctionId(id as u32)) {
            writeln!(out, "  {:?} {}", edge.kind, escape(&graph.function(edge.to).name))?;
        }
    }
    Ok(())
}
