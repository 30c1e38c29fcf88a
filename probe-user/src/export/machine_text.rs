//! A coroutine's states from top to bottom, for people.

use crate::outline::{State, StateKind};
use crate::present::machine::{self, MachineWords, PartRow};
use crate::present::paint::Paint;
use std::io::{self, Write};

/// Locals of one state that are listed.
const ROWS: usize = 40;

pub fn write(out: &mut impl Write, words: &MachineWords<'_>, paint: Paint) -> io::Result<()> {
    let machine = words.machine;
    let place = machine.place.as_ref().map_or(String::new(), |place| words.places.show(place));
    writeln!(out, "{}  {}", paint.name(words.title()), paint.dim(place))?;
    writeln!(out, "{}", words.size())?;
    writeln!(out)?;
    for (index, state) in machine.states.iter().enumerate() {
        if state.kind == StateKind::Panicked {
            continue;
        }
        if index > 0 {
            writeln!(out, "{}", paint.dim("│"))?;
        }
        one(out, words, index, state, paint)?;
    }
    if let Some(panicked) = machine.states.iter().find(|state| state.kind == StateKind::Panicked) {
        let line = format!("{:<11} from any state in which it panics", machine::state(panicked.kind));
        writeln!(out, "\n{} {line}", paint.dim("×"))?;
    }
    writeln!(out)?;
    writeln!(out, "{}", paint.dim(words.order()))?;
    for note in words.notes() {
        writeln!(out, "{}", paint.dim(note))?;
    }
    Ok(())
}

fn one(
    out: &mut impl Write,
    words: &MachineWords<'_>,
    index: usize,
    state: &State,
    paint: Paint,
) -> io::Result<()> {
    let (mark, rail) = match state.kind {
        StateKind::Start => ("○", "│"),
        StateKind::Await(_) => ("●", "│"),
        StateKind::Returned | StateKind::Panicked => ("◎", " "),
    };
    let name = format!("{:<11}", machine::state(state.kind));
    let mut head = format!("{} {}", paint.dim(mark), paint.bold(name));
    match state.kind {
        StateKind::Await(_) => head.push_str(&words.place(state)),
        StateKind::Start => head.push_str("not polled yet"),
        StateKind::Returned | StateKind::Panicked => {}
    }
    if let Some(source) = words.source(state) {
        head.push_str(&format!("   {}", paint.good(source)));
    }
    writeln!(out, "{}", head.trim_end())?;
    let rail = paint.dim(rail).to_string();
    let lead = |label: &str| format!("{rail}   {label:<10}");
    if let Some(macro_place) = state.expanded_from.as_ref().filter(|_| state.place.is_some()) {
        writeln!(out, "{}{}", lead("in macro"), words.places.show(macro_place))?;
    }
    if let Some(PartRow { ty, bytes, .. }) = words.awaited(state) {
        writeln!(out, "{}{ty}, {bytes} bytes", lead("awaits"))?;
    }
    let label = if state.kind == StateKind::Start { machine::made_with(words.machine) } else { "keeps" };
    let rows = words.rows(state);
    let width = |of: fn(&PartRow) -> &str| rows.iter().map(|row| of(row).chars().count()).max().unwrap_or(0);
    let (names, types) = (width(|row| &row.name), width(|row| &row.ty));
    for (nth, PartRow { name, ty, bytes }) in rows.iter().take(ROWS).enumerate() {
        let label = if nth == 0 { label } else { "" };
        writeln!(out, "{}{name:<names$}  {ty:<types$} {bytes:>9}", lead(label))?;
    }
    if rows.len() > ROWS {
        writeln!(out, "{}and {} more", lead(""), rows.len() - ROWS)?;
    }
    if let Some(in_use) = words.in_use(state) {
        writeln!(out, "{}{in_use}", lead("size"))?;
    }
    let next = words.next(index);
    if !next.is_empty() {
        writeln!(out, "{}{next}", lead("then"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::present::machine::sample::written;

    #[test]
    fn a_function_drawn() {
        insta::assert_snapshot!(written(|out, words| write(out, words, Paint { color: false })));
    }
}
