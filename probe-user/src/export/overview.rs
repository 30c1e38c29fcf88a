//! Where the tasks of a dump are: a line for each place, before all the trees.

use crate::decode::{Frames, SourceLine, Task};
use crate::present::names;
use crate::present::paint::Paint;
use crate::present::places::Places;
use crate::present::units::count;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::Arc;

/// The rest is summed up.
const ROWS: usize = 20;
const NAME_WIDTH: usize = 44;

/// `tasks`: one of each kind, and how many there are of it.
pub fn write<'a>(
    out: &mut impl Write,
    tasks: impl Iterator<Item = (&'a Task, u64)>,
    frames: &Frames,
    places: &Places,
    paint: Paint,
) -> io::Result<()> {
    let mut at: HashMap<(Arc<str>, Option<SourceLine>), u64> = HashMap::new();
    for (task, alike) in tasks {
        *at.entry((task.name.clone(), task.location(frames))).or_default() += alike;
    }
    let shown = |line: &Option<SourceLine>| line.as_ref().map_or("-".to_owned(), |line| places.show(line));
    let mut rows: Vec<(u64, String, String)> = at
        .iter()
        .map(|((name, line), tasks)| (*tasks, names::column(name, NAME_WIDTH), shown(line)))
        .collect();
    rows.sort_by(|a, b| (Reverse(a.0), &a.1, &a.2).cmp(&(Reverse(b.0), &b.1, &b.2)));
    writeln!(out, "\n{}", paint.dim(format!("{:>9}  {:<NAME_WIDTH$}  LOCATION", "TASKS", "NAME")))?;
    for (tasks, name, line) in rows.iter().take(ROWS) {
        writeln!(out, "{:>9}  {}  {line}", count(*tasks), paint.name(format!("{name:<NAME_WIDTH$}")))?;
    }
    let rest = &rows[rows.len().min(ROWS)..];
    if !rest.is_empty() {
        let tasks = rest.iter().map(|(tasks, ..)| tasks).sum();
        writeln!(out, "{:>9}  at {} more places", count(tasks), count(rest.len() as u64))?;
    }
    Ok(())
}
