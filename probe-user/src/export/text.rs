//! `dump` for people: equal await trees once, with how many tasks are there.

use super::json;
use super::shape::{Shape, shape_into};
use crate::decode::{DebugInfoLevel, Node, Snapshot, Task, TaskState};
use crate::model::waits_of;
use crate::present::escape::escape;
use crate::present::names;
use crate::present::paint::Paint;
use crate::present::places::Places;
use crate::present::units::{count, counted};
use crate::present::{card, tree};
use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::Arc;

#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Each task for itself.
    pub all: bool,
    pub paint: Paint,
}

/// Tasks that look the same.
struct Group<'a> {
    first: &'a Task,
    ids: Vec<u64>,
    count: u64,
}

/// Ids named per group.
const IDS: usize = 5;

pub fn write<'a>(
    out: &mut impl Write,
    snapshot: &'a Snapshot,
    tasks: impl Iterator<Item = &'a Task>,
    options: Options,
) -> io::Result<()> {
    let places = Places::of(&snapshot.frames);
    header(out, snapshot, options.paint)?;
    let groups = if options.all { each(tasks) } else { grouped(tasks) };
    if groups.is_empty() {
        writeln!(out, "\nno task to show")?;
    }
    for group in groups {
        writeln!(out)?;
        headline(out, &group, options.paint)?;
        if let Some(tree) = &group.first.tree {
            write_tree(out, tree, snapshot, &places, options.paint)?;
            if group.first.state != TaskState::Running {
                reason(out, tree, snapshot, options.paint)?;
            }
        } else {
            writeln!(out, "    (no await tree: nothing describes this future's type)")?;
        }
        if group.count > 1 {
            ids(out, &group, options.paint)?;
        }
    }
    Ok(())
}

fn each<'a>(tasks: impl Iterator<Item = &'a Task>) -> Vec<Group<'a>> {
    let mut each: Vec<_> = tasks.map(|task| Group { first: task, ids: vec![task.id.id], count: 1 }).collect();
    each.sort_by_key(|group| group.first.id);
    each
}

/// Most numerous first; ties in the order of names, then of ids.
fn grouped<'a>(tasks: impl Iterator<Item = &'a Task>) -> Vec<Group<'a>> {
    type Key = (Arc<str>, TaskState, Shape);
    let mut groups: HashMap<Key, Group> = HashMap::new();
    let mut shape = Vec::new();
    for task in tasks {
        shape.clear();
        if let Some(tree) = &task.tree {
            shape_into(tree, &mut shape);
        }
        let key = (task.name.clone(), task.state, shape.as_slice().into());
        let group = groups.entry(key).or_insert(Group { first: task, ids: Vec::new(), count: 0 });
        group.count += 1;
        if group.ids.len() < IDS {
            group.ids.push(task.id.id);
        }
    }
    let mut groups: Vec<_> = groups.into_values().collect();
    groups.sort_by(|a, b| {
        b.count.cmp(&a.count).then_with(|| (&a.first.name, a.first.id).cmp(&(&b.first.name, b.first.id)))
    });
    groups
}

fn header(out: &mut impl Write, snapshot: &Snapshot, paint: Paint) -> io::Result<()> {
    let exe = escape(&snapshot.exe);
    let name = exe.rsplit('/').next().unwrap_or(&exe);
    writeln!(out, "{} (pid {})  {}", paint.bold(name), snapshot.pid, paint.dim(&exe))?;
    for runtime in &snapshot.runtimes {
        let kind = json::runtime_word(runtime.kind);
        let mut words = match &runtime.version {
            Some(version) => format!("{kind} {}", escape(version)),
            None => kind.into(),
        };
        if let Some(flavor) = &runtime.flavor {
            words += &format!(", {}", escape(flavor));
        }
        if let Some(workers) = runtime.workers {
            words += &format!(", {}", counted(workers.into(), "worker"));
        }
        writeln!(out, "  runtime    {words}: {}", counted(runtime.tasks, "task"))?;
    }
    let coverage = &snapshot.coverage;
    let mut words = format!(
        "{} found, {} with an await tree",
        counted(coverage.tasks_found, "task"),
        count(coverage.tasks_decoded)
    );
    if coverage.torn_retries > 0 {
        words += &format!("; {} while it changed", counted(coverage.torn_retries, "second read"));
    }
    writeln!(out, "  coverage   {words}")?;
    writeln!(out, "  debuginfo  {}", debuginfo_words(snapshot.debuginfo))?;
    for issue in &coverage.issues {
        writeln!(out, "  {}      {}", paint.warn("issue"), escape(issue))?;
    }
    Ok(())
}

pub fn debuginfo_words(level: DebugInfoLevel) -> &'static str {
    match level {
        DebugInfoLevel::Full => "full",
        DebugInfoLevel::Names => {
            "names only (debug = 1): await trees need `debug = 2` in the release profile"
        }
        DebugInfoLevel::Symbols => {
            "symbols only: names and await trees need `debug = 2` in the release profile"
        }
        DebugInfoLevel::None => "none (stripped): give the unstripped file with --debuginfo",
    }
}

fn headline(out: &mut impl Write, group: &Group, paint: Paint) -> io::Result<()> {
    let task = group.first;
    let who = match (group.count, group.ids.first()) {
        (1, Some(id)) => format!("Task #{id}"),
        (n, _) => counted(n, "task"),
    };
    let name = names::function(&task.name);
    let mut state = json::state_word(task.state).to_owned();
    if task.stale {
        state += ", read while it ran";
    }
    writeln!(out, "{}  {}  {state}", paint.bold(who), paint.name(name))
}

fn write_tree(
    out: &mut impl Write,
    root: &Node,
    snapshot: &Snapshot,
    places: &Places,
    paint: Paint,
) -> io::Result<()> {
    let (lines, left_out) = tree::lines(root, &snapshot.frames, places);
    tree::write(out, &lines, paint)?;
    if left_out > 0 {
        writeln!(out, "    … and {} more", counted(left_out as u64, "future"))?;
    }
    Ok(())
}

fn reason(out: &mut impl Write, root: &Node, snapshot: &Snapshot, paint: Paint) -> io::Result<()> {
    let reasons = card::reasons(&waits_of(root, &snapshot.frames), &snapshot.frames);
    if !reasons.is_empty() {
        writeln!(out, "    {} {}", paint.dim("reason:"), reasons.join("; or "))?;
    }
    Ok(())
}

fn ids(out: &mut impl Write, group: &Group, paint: Paint) -> io::Result<()> {
    let named: Vec<_> = group.ids.iter().map(|id| format!("#{id}")).collect();
    let more = group.count - group.ids.len() as u64;
    let tail = if more > 0 { format!(" and {} more", count(more)) } else { String::new() };
    writeln!(out, "    {} {}{tail}", paint.dim("tasks:"), named.join(", "))
}

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;
