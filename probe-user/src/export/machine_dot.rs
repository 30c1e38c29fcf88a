//! A coroutine's states for Graphviz.

use super::dot::quoted;
use crate::outline::StateKind;
use crate::present::machine::MachineWords;
use std::io::{self, Write};

pub fn write(out: &mut impl Write, words: &MachineWords<'_>) -> io::Result<()> {
    let title = vec![words.title(), words.size(), words.order()];
    writeln!(out, "digraph states {{")?;
    writeln!(out, "  graph [rankdir=TB, labelloc=t, label={}];", quoted(title))?;
    writeln!(out, "  node [fontname=\"sans-serif\", fontsize=11];")?;
    for (index, state) in words.machine.states.iter().enumerate() {
        let shape = match state.kind {
            StateKind::Start => "ellipse",
            StateKind::Await(_) => "box, style=rounded",
            StateKind::Returned => "doublecircle",
            StateKind::Panicked => "octagon, color=\"#c62828\"",
        };
        writeln!(out, "  s{index} [shape={shape}, label={}];", quoted(words.lines(state)))?;
    }
    for (from, to) in words.arrows() {
        writeln!(out, "  s{from} -> s{to};")?;
    }
    for (from, to) in words.panics() {
        writeln!(out, "  s{from} -> s{to} [style=dotted, color=\"#c62828\"];")?;
    }
    writeln!(out, "}}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::present::machine::sample::written;

    #[test]
    fn a_function_drawn() {
        insta::assert_snapshot!(written(write));
    }
}
