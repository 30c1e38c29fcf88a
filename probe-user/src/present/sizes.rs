//! How large futures are, for people.

use super::bounds;
use super::machine::{local, part, state};
use super::names;
use super::paint::Paint;
use super::places::Places;
use super::units::{count, counted};
use crate::outline::{FutureSize, Held, Part, Role, Sizes, StateKind, TaskSize, Twice};
use std::io::{self, Write};

/// Futures that are shown with their parts, unless all are asked for.
const DETAILED: usize = 20;
/// Rows of each further table.
const ROWS: usize = 20;
/// Parts named of one future.
const PARTS: usize = 8;
/// From here on a future is told of in detail; and the first few unless they are small.
const LARGE: u64 = 1024;
const FIRST: usize = 5;
const SMALL: u64 = 128;
/// Columns of a number of bytes.
const BYTES: usize = 12;

/// How much is shown.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// Also what is not the user's own.
    pub deps: bool,
    /// Every row.
    pub all: bool,
}

pub fn write(
    out: &mut impl Write,
    sizes: &Sizes,
    places: &Places,
    Extent { deps, all }: Extent,
    paint: Paint,
) -> io::Result<()> {
    let shown: Vec<&FutureSize> = if deps { sizes.futures.iter().collect() } else { sizes.own().collect() };
    let others = (sizes.futures.len() - shown.len()) as u64;
    let whose =
        if others == 0 { String::new() } else { format!(", and {} of dependencies (--deps)", count(others)) };
    writeln!(out, "{}{whose}", paint.bold(counted(shown.len() as u64, "future")))?;
    let detailed = if all { usize::MAX } else { DETAILED };
    for (nth, future) in shown.iter().take(detailed).enumerate() {
        one(out, future, places, paint)?;
        let size = future.machine.size;
        if size >= LARGE || nth < FIRST && size >= SMALL {
            parts(out, future, places, paint)?;
        }
    }
    let rest = shown.len().saturating_sub(detailed);
    if rest > 0 {
        writeln!(out, "{:>BYTES$}  and {rest} smaller ones (--all)", "")?;
    }
    tasks(out, &sizes.tasks, if all { usize::MAX } else { ROWS }, paint)?;
    bounds::notes(&sizes.bounds).iter().try_for_each(|note| writeln!(out, "\nleft out: {note}"))
}

fn one(out: &mut impl Write, future: &FutureSize, places: &Places, paint: Paint) -> io::Result<()> {
    let machine = &future.machine;
    let place = machine.place.as_ref().map_or(String::new(), |place| places.show(place));
    let name = names::function(&machine.function);
    writeln!(out, "{}  {}  {}", paint.bold(right(machine.size)), paint.name(name), paint.dim(place))
}

/// What makes it large.
fn parts(out: &mut impl Write, future: &FutureSize, places: &Places, paint: Paint) -> io::Result<()> {
    let machine = &future.machine;
    if let Some(fullest) = machine.fullest() {
        let at = fullest.place.as_ref().map_or(String::new(), |place| format!(", {}", places.show(place)));
        let at_most = if machine.is_partial { "at most " } else { "" };
        writeln!(
            out,
            "{:>BYTES$}    fullest at {}{at}: {} in use; {at_most}{} that no state uses",
            "",
            state(fullest.kind),
            counted(fullest.in_use, "byte"),
            count(machine.padding),
        )?;
        let mut parts: Vec<&Part> = fullest.saved.iter().chain(&machine.made_with).collect();
        parts.sort_by_key(|part| std::cmp::Reverse(part.bytes()));
        let large = |part: &&&Part| part.bytes().is_none_or(|bytes| bytes.saturating_mul(50) >= machine.size);
        for part in parts.iter().filter(large).take(PARTS) {
            row(out, part, paint)?;
        }
    }
    // Those that are among the parts already are told.
    let fullest = machine.fullest().map(|state| state.kind);
    let is_told = |held: &Held| Some(held.state) == fullest || held.state == StateKind::Start;
    let large = |held: &&Held| !is_told(held) && held.bytes.saturating_mul(10) >= machine.size;
    for held in future.held.iter().filter(large).take(PARTS) {
        let name = held.name.as_deref().map_or(String::new(), |name| format!(" as `{}`", local(name)));
        let place = held.place.as_ref().map_or(String::new(), |place| places.show(place));
        let function = names::function(&held.function);
        writeln!(
            out,
            "{:>BYTES$}    at {}, {place}{name}  {}",
            count(held.bytes),
            state(held.state),
            paint.dim(function)
        )?;
    }
    let large = |twice: &&Twice| twice.bytes.saturating_mul(20) >= machine.size;
    for twice in future.twice.iter().filter(large).take(PARTS) {
        writeln!(out, "{:>BYTES$}  {}", count(twice.bytes), paint.warn(self::twice(twice)))?;
    }
    Ok(())
}

fn row(out: &mut impl Write, kept: &Part, paint: Paint) -> io::Result<()> {
    let (name, ty) = part(kept);
    let what = match kept.role {
        Role::Argument => " (argument)",
        Role::Capture => " (capture)",
        Role::Local | Role::Temporary | Role::Awaited => "",
    };
    let bytes = kept.bytes().map_or("?".into(), count);
    writeln!(out, "{bytes:>BYTES$}    {name}{what}  {}", paint.dim(ty))
}

fn right(bytes: u64) -> String {
    format!("{:>BYTES$}", count(bytes))
}

/// `` `fut` has two places: as the argument, and as a local``
fn twice(twice: &Twice) -> String {
    let name = local(&twice.name);
    match twice.again {
        Role::Awaited => {
            format!("`{name}` is kept twice: where it was passed, and where a future of its type is awaited")
        }
        _ => format!("`{name}` is kept twice: where it was passed, and as the local it is moved to"),
    }
}

fn tasks(out: &mut impl Write, tasks: &[TaskSize], rows: usize, paint: Paint) -> io::Result<()> {
    if tasks.is_empty() {
        return Ok(());
    }
    // Which of several schedulers a task is spawned on only running it tells.
    let tasks: Vec<&[TaskSize]> =
        tasks.chunk_by(|a, b| TaskSize { flavor: b.flavor, ..a.clone() } == *b).collect();
    let kinds = counted(tasks.len() as u64, "kind");
    writeln!(out, "\n{}", paint.bold(format!("{kinds} of task: bytes that one spawned task takes")))?;
    for same in tasks.iter().take(rows) {
        let task = &same[0];
        let name = names::function(&task.future);
        let flavors: Vec<&str> = same.iter().filter_map(|task| task.flavor).collect();
        let flavor = if flavors.is_empty() { String::new() } else { format!(", {}", flavors.join(" or ")) };
        let boxed = task
            .boxed_bytes
            .map_or(String::new(), |boxed| format!(" and {} behind its box", counted(boxed, "byte")));
        let detail = format!("future {}{boxed}, aligned to {}{flavor}", count(task.future_bytes), task.align);
        writeln!(
            out,
            "{}  {}  {}",
            paint.bold(right(task.all_bytes())),
            paint.name(name),
            paint.dim(detail)
        )?;
    }
    if tasks.len() > rows {
        writeln!(out, "{:>BYTES$}  and {} smaller ones (--all)", "", tasks.len() - rows)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outline::machine_sample as sample;

    #[test]
    fn text() {
        let mut out = Vec::new();
        let extent = Extent { deps: false, all: false };
        write(&mut out, &sample::sizes(), &Places::default(), extent, Paint { color: false }).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap());
    }
}
