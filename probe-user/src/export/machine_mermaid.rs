//! A coroutine's states as a Mermaid flowchart, whose labels may have anything in them; those of its state diagrams may not.

use super::mermaid::label;
use crate::outline::StateKind;
use crate::present::machine::MachineWords;
use std::io::{self, Write};

pub fn write(out: &mut impl Write, words: &MachineWords<'_>) -> io::Result<()> {
    writeln!(out, "flowchart TD;")?;
    for (index, state) in words.machine.states.iter().enumerate() {
        let mut lines = words.lines(state);
        if state.kind == StateKind::Start {
            lines.splice(0..0, [words.title(), words.size()]);
        }
        let label = label(lines);
        match state.kind {
            StateKind::Await(_) => writeln!(out, "  s{index}[{label}];")?,
            StateKind::Start | StateKind::Returned | StateKind::Panicked => {
                writeln!(out, "  s{index}([{label}]);")?;
            }
        }
    }
    for (from, to) in words.arrows() {
        writeln!(out, "  s{from} --> s{to};")?;
    }
    for (from, to) in words.panics() {
        writeln!(out, "  s{from} -.-> s{to};")?;
    }
    Ok(())
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
