//! What became larger between two builds, for people.

use super::machine::local;
use super::names;
use super::paint::Paint;
use super::units::{count, counted};
use crate::outline::{Change, Role, SizeChanges};
use std::io::{self, Write};

/// Rows, unless all are asked for.
const ROWS: usize = 30;
/// Parts named of one future.
const PARTS: usize = 6;

/// `before` and `after`: as they were typed.
pub fn write(
    out: &mut impl Write,
    changes: &SizeChanges,
    [before, after]: [&str; 2],
    all: bool,
    paint: Paint,
) -> io::Result<()> {
    writeln!(out, "{}", paint.bold(format!("{after} against {before}")))?;
    let [rows, parts] = if all { [usize::MAX; 2] } else { [ROWS, PARTS] };
    let is_in_both = |change: &Change<_>| change.before.is_some() && change.after.is_some();
    let (changed, others): (Vec<_>, Vec<_>) =
        changes.futures.iter().partition(|change| is_in_both(&change.function));
    if changed.is_empty() {
        writeln!(out, "no future of both changed its size")?;
    } else {
        columns(out, "FUTURE", paint)?;
    }
    for change in changed.iter().take(rows) {
        row(out, &change.function, &names::function(&change.function.what), paint)?;
        for part in change.parts.iter().take(parts) {
            let name = match part.what.role {
                Role::Awaited => format!("  awaits {}", names::short(&part.what.name)),
                Role::Temporary => format!("  a temporary {}", names::short(&part.what.name)),
                Role::Argument | Role::Capture => format!("  `{}` as it was passed", local(&part.what.name)),
                Role::Local => format!("  `{}`", local(&part.what.name)),
            };
            row(out, part, &paint.dim(name).to_string(), Paint { color: false })?;
        }
        more(out, change.parts.len(), parts)?;
    }
    more(out, changed.len(), rows)?;
    for (what, is_it) in [("only now", true), ("no longer", false)] {
        let some: Vec<_> = others.iter().filter(|change| change.function.after.is_some() == is_it).collect();
        if !some.is_empty() {
            writeln!(out, "\n{} {what}", counted(some.len() as u64, "future"))?;
        }
        for change in some.iter().take(rows) {
            row(out, &change.function, &names::function(&change.function.what), paint)?;
        }
        more(out, some.len(), rows)?;
    }
    if !changes.tasks.is_empty() {
        writeln!(out, "\nbytes that one spawned task takes")?;
        columns(out, "TASK", paint)?;
        for change in changes.tasks.iter().take(rows) {
            row(out, change, &names::function(&change.what), paint)?;
        }
        more(out, changes.tasks.len(), rows)?;
    }
    let same = counted(changes.unchanged as u64, "future");
    writeln!(out, "\n{same} of {} in both are as large as before", count(changes.in_both as u64))
}

fn columns(out: &mut impl Write, what: &str, paint: Paint) -> io::Result<()> {
    let columns = format!("{:>10} {:>12} {:>12}  {what}", "BY", "BEFORE", "AFTER");
    writeln!(out, "{}", paint.dim(columns))
}

fn row<T>(out: &mut impl Write, change: &Change<T>, name: &str, paint: Paint) -> io::Result<()> {
    let difference = change.difference();
    let sign = if difference < 0 { '-' } else { '+' };
    let by = format!("{:>10}", format!("{sign}{}", count(difference.unsigned_abs())));
    let by = if difference > 0 { paint.warn(by) } else { paint.good(by) };
    let side = |bytes: Option<u64>| bytes.map_or("-".into(), count);
    writeln!(out, "{by} {:>12} {:>12}  {name}", side(change.before), side(change.after))
}

fn more(out: &mut impl Write, all: usize, rows: usize) -> io::Result<()> {
    if all > rows {
        writeln!(out, "  and {} more (--all)", all - rows)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outline::machine_sample as sample;

    #[test]
    fn text() {
        let (mut before, after) = (sample::sizes(), sample::sizes());
        before.futures[0].machine.size = 1000;
        before.futures[0].machine.states[1].saved.truncate(1);
        before.futures[1].machine.function = "shop::pong".into();
        before.tasks[1].bytes = 4000;
        let changes = SizeChanges::of(&before, &after, true);
        let mut out = Vec::new();
        write(&mut out, &changes, ["old/shop", "new/shop"], false, Paint { color: false }).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap());
    }
}
