//! `dump` for people: equal await trees once, with how many tasks are there.

use super::json;
use super::overview;
use super::shape::{Shape, shape_into};
use crate::decode::{DebugInfoLevel, Node, RuntimeKind, Snapshot, Task, TaskId, TaskState};
use crate::present::escape::escape;
use crate::present::names;
use crate::present::paint::Paint;
use crate::present::places::Places;
use crate::present::queues;
use crate::present::reasons::Reasons;
use crate::present::tree;
use crate::present::units::{count, counted};
use crate::runtime::OLDEST_TOKIO;
use foldhash::{HashMap, HashMapExt as _, HashSet};
use std::borrow::Cow;
use std::cmp::Reverse;
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
    tasks: Vec<&'a Task>,
}

impl Group<'_> {
    fn count(&self) -> u64 {
        self.tasks.len() as u64
    }
}

/// Ids named per group.
const IDS: usize = 5;
/// What does not fit a screen begins with where its tasks are.
const MANY_GROUPS: usize = 4;

pub fn write<'a>(
    out: &mut impl Write,
    snapshot: &'a Snapshot,
    tasks: impl Iterator<Item = &'a Task>,
    options: Options,
) -> io::Result<()> {
    let places = Places::of(&snapshot.frames);
    header(out, snapshot, options.paint)?;
    let groups = if options.all { each(tasks) } else { grouped(tasks, &waited_for(snapshot)) };
    if groups.is_empty() {
        writeln!(out, "\nno task to show")?;
    }
    if groups.len() >= MANY_GROUPS {
        let tasks = groups.iter().map(|group| (group.first, group.count()));
        overview::write(out, tasks, &snapshot.frames, &places, options.paint)?;
    }
    for group in groups {
        writeln!(out)?;
        headline(out, &group, options.paint)?;
        if let Some(tree) = &group.first.tree {
            write_tree(out, tree, snapshot, &places, options.paint)?;
            reason(out, &group, snapshot, &places, options.paint)?;
        } else {
            writeln!(out, "    ({})", treeless(group.first, snapshot))?;
        }
        if group.count() > 1 {
            ids(out, &group, options.paint)?;
        }
    }
    Ok(())
}

/// Why there is no await tree.
fn treeless(task: &Task, snapshot: &Snapshot) -> &'static str {
    match (task.id.runtime, task.state) {
        (RuntimeKind::BlockOn, _) => "its thread runs: where its future stands is not known",
        // With types, all that runs or is to run and has no tree is a closure.
        (_, TaskState::Running | TaskState::Scheduled) if snapshot.debuginfo == DebugInfoLevel::Full => {
            "no await tree: a closure of the blocking pool, or nothing describes this future's type"
        }
        _ => "no await tree: nothing describes this future's type",
    }
}

fn each<'a>(tasks: impl Iterator<Item = &'a Task>) -> Vec<Group<'a>> {
    let mut each: Vec<_> = tasks.map(|task| Group { first: task, tasks: vec![task] }).collect();
    each.sort_by_key(|group| group.first.id);
    each
}

/// Tasks that another one waits for.
fn waited_for(snapshot: &Snapshot) -> HashSet<TaskId> {
    let waits = snapshot.tasks.iter().flat_map(|task| &*task.waits);
    waits.flat_map(|wait| wait.holders.iter().copied().chain(wait.task)).collect()
}

/// Most numerous first; ties: who is waited for before others, then in the order of names, then of ids.
fn grouped<'a>(tasks: impl Iterator<Item = &'a Task>, waited_for: &HashSet<TaskId>) -> Vec<Group<'a>> {
    let mut groups: HashMap<(Arc<str>, TaskState, usize), Group> = HashMap::new();
    let mut shapes: HashMap<Shape, usize> = HashMap::new();
    let mut shape = Vec::new();
    for task in tasks {
        shape.clear();
        if let Some(tree) = &task.tree {
            shape_into(tree, &mut shape);
        }
        let number = shapes.get(shape.as_slice()).copied().unwrap_or_else(|| {
            let number = shapes.len();
            shapes.insert(shape.as_slice().into(), number);
            number
        });
        let key = (task.name.clone(), task.state, number);
        let group = groups.entry(key).or_insert(Group { first: task, tasks: Vec::new() });
        group.tasks.push(task);
    }
    let mut groups: Vec<_> = groups.into_values().collect();
    groups.sort_by_cached_key(|group| {
        let keeps = group.tasks.iter().any(|task| waited_for.contains(&task.id));
        (Reverse(group.count()), !keeps, group.first.name.clone(), group.first.id)
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
    writeln!(out, "  debuginfo  {}", debuginfo_words(snapshot.debuginfo, tokio_version(snapshot)))?;
    for issue in &coverage.issues {
        writeln!(out, "  {}      {}", paint.warn("issue"), escape(issue))?;
    }
    Ok(())
}

/// `tokio`: its version, where it is known.
pub fn debuginfo_words(level: DebugInfoLevel, tokio: Option<&str>) -> Cow<'static, str> {
    let words = match level {
        DebugInfoLevel::UnknownLayout => return unknown_layout(tokio).into(),
        DebugInfoLevel::Full => "full",
        DebugInfoLevel::Names => {
            "names, no types (debug = 1 or line tables): for await trees add `debug = 2` under [profile.release] in \
             Cargo.toml"
        }
        DebugInfoLevel::Symbols => {
            "symbols only (debug = 0): for await trees add `debug = 2` under [profile.release] in Cargo.toml"
        }
        DebugInfoLevel::None => {
            "none (stripped): give the unstripped file with --debuginfo, or replace `strip` by `debug = 2` under \
             [profile.release] in Cargo.toml"
        }
    };
    words.into()
}

fn unknown_layout(tokio: Option<&str>) -> String {
    let Some(version) = tokio else {
        return "types, but how the runtime lays out its tasks is not known: names, no await trees".into();
    };
    let words = format!(
        "types, but how tokio {} lays out its tasks is not known: names, no await trees",
        escape(version)
    );
    let mut numbers = version.split('.').map_while(|part| part.parse().ok());
    let (major, minor) = OLDEST_TOKIO;
    match numbers.next().zip(numbers.next()).is_some_and(|version| version < OLDEST_TOKIO) {
        true => format!("{words}; from {major}.{minor} on it is: `cargo update -p tokio`"),
        false => words,
    }
}

/// tokio's version, as a snapshot tells it.
pub fn tokio_version(snapshot: &Snapshot) -> Option<&str> {
    let tokio = snapshot.runtimes.iter().find(|runtime| runtime.kind == RuntimeKind::Tokio)?;
    tokio.version.as_deref()
}

fn headline(out: &mut impl Write, group: &Group, paint: Paint) -> io::Result<()> {
    let task = group.first;
    let who = match (group.count(), group.tasks.first()) {
        (1, Some(task)) if task.id.runtime == RuntimeKind::BlockOn => {
            format!("block_on, thread {}", task.id.id)
        }
        (1, Some(task)) => format!("Task #{}", task.id.id),
        (n, _) => counted(n, "task"),
    };
    let name = names::function(&task.name);
    let mut state = json::state_word(task.state).to_owned();
    if task.stale {
        state += ", read while it ran";
    }
    if let Some(queue) = task.queue.filter(|_| group.count() == 1) {
        state += &format!(", {}", queues::words(queue));
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

fn reason(
    out: &mut impl Write,
    group: &Group,
    snapshot: &Snapshot,
    places: &Places,
    paint: Paint,
) -> io::Result<()> {
    let says = Reasons { frames: &snapshot.frames, places, now_ns: snapshot.t_ns };
    let waits: Vec<_> = group.tasks.iter().map(|task| &*task.waits).collect();
    let reasons = says.of_many(&waits);
    if !reasons.is_empty() {
        writeln!(out, "    {} {}", paint.dim("reason:"), reasons.join("; "))?;
    }
    Ok(())
}

fn ids(out: &mut impl Write, group: &Group, paint: Paint) -> io::Result<()> {
    let named: Vec<_> = group.tasks.iter().take(IDS).map(|task| format!("#{}", task.id.id)).collect();
    let more = group.count().saturating_sub(IDS as u64);
    let tail = if more > 0 { format!(" and {} more", count(more)) } else { String::new() };
    writeln!(out, "    {} {}{tail}", paint.dim("tasks:"), named.join(", "))
}

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;
