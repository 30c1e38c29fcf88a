//! `dump`: one snapshot of every task.

use super::args::{Common, DumpArgs};
use super::output::{self, Quit, Say};
use super::source::Source;
use super::{Exit, Failure};
use crate::analysis::Relations;
use crate::decode::{DebugInfoLevel, Frame, FrameId, Node, Snapshot, Task};
use crate::export::{json, text};
use crate::present::card::{CardInput, write_with_tree};
use crate::present::places::Places;
use crate::present::source::SourceFiles;
use crate::present::units::counted;
use regex::Regex;
use std::io::{IsTerminal, Write};

pub fn run(source: &mut dyn Source, args: &DumpArgs, common: &Common) -> Result<Exit, Quit> {
    let snapshot = source.snapshot()?;
    let say = Say::new(common);
    source.notes().iter().for_each(|note| say.warn(note));
    if snapshot.debuginfo != DebugInfoLevel::Full {
        say.warn(&format!("debug info: {}", text::debuginfo_words(snapshot.debuginfo)));
    }
    let mut choice = Choice::new(args, &snapshot);
    let tasks: Vec<&Task> = snapshot.tasks.iter().filter(|task| choice.takes(task)).collect();
    if let Some(missing) = args.task.iter().find(|id| !tasks.iter().any(|task| task.id.id == **id)) {
        return Err(no_such_task(*missing, args).into());
    }
    let mut out = output::to(args.output.as_deref())?;
    let to_terminal = args.output.is_none() && std::io::stdout().is_terminal();
    let paint = output::paint(common, to_terminal);
    if args.json {
        json::write(&mut out, &snapshot, tasks.into_iter())?;
    } else if args.task.is_empty() {
        text::write(&mut out, &snapshot, tasks.into_iter(), text::Options { all: args.all, paint })?;
        hint_at_cycles(&snapshot, args, &say);
    } else {
        let places = Places::of(&snapshot.frames);
        let sources = SourceFiles::new(common.src_path.clone(), source.process().built);
        for (i, task) in tasks.into_iter().enumerate() {
            if i > 0 {
                writeln!(out)?;
            }
            let input = CardInput {
                id: task.id,
                name: &task.name,
                entry: None,
                task: Some(task),
                frames: &snapshot.frames,
                places: &places,
                sources: &sources,
                kind: None,
                busy: None,
                now_ns: snapshot.t_ns,
            };
            write_with_tree(&mut out, input, paint)?;
        }
    }
    out.flush()?;
    // The process is about to end: freeing 300,000 trees one by one would only make it wait.
    std::mem::forget(snapshot);
    Ok(Exit::Fine)
}

/// Tasks that a list of them looks for deadlocks among.
const GRAPHED: usize = 100_000;

/// Those that wait for one another are hard to see in a list.
fn hint_at_cycles(snapshot: &Snapshot, args: &DumpArgs, say: &Say) {
    // Who holds nothing blocks nobody; and the graph of very many tasks takes longer than their list.
    let few = snapshot.tasks.len() <= GRAPHED;
    if !few || snapshot.tasks.iter().all(|task| task.holds.is_empty()) {
        return;
    }
    let cycles = Relations::of(snapshot, &[]).cycles.len() as u64;
    if cycles > 0 {
        let many = counted(cycles, "group");
        let target = args.target.as_deref().unwrap_or("TARGET");
        say.warn(&format!(
            "{many} of tasks may wait for one another (deadlock): async-inspect export {target} -f dot -o waits.dot draws them"
        ));
    }
}

fn no_such_task(id: u64, args: &DumpArgs) -> Failure {
    Failure {
        exit: Exit::Plain,
        tried: format!("showing task #{id} of {}", args.subject()),
        why: "no such task now: it may have ended".into(),
        next: format!("async-inspect {} {} --all", args.command(), args.subject()),
    }
}

/// Which tasks are asked for.
struct Choice<'a> {
    ids: &'a [u64],
    filter: Option<&'a Regex>,
    snapshot: &'a Snapshot,
    /// Whether a frame matches the filter, once it was looked at.
    frames: Vec<Option<bool>>,
}

impl<'a> Choice<'a> {
    fn new(args: &'a DumpArgs, snapshot: &'a Snapshot) -> Choice<'a> {
        let frames = vec![None; snapshot.frames.len()];
        Choice { ids: &args.task, filter: args.filter.as_ref(), snapshot, frames }
    }

    fn takes(&mut self, task: &Task) -> bool {
        if !self.ids.is_empty() && !self.ids.contains(&task.id.id) {
            return false;
        }
        let Some(filter) = self.filter else { return true };
        filter.is_match(&task.name) || task.tree.as_ref().is_some_and(|tree| self.any(tree, filter))
    }

    fn any(&mut self, node: &Node, filter: &Regex) -> bool {
        self.frame(node.frame, filter)
            || node.awaiting.iter().chain(&node.held).any(|child| self.any(child, filter))
    }

    fn frame(&mut self, id: FrameId, filter: &Regex) -> bool {
        let known = &mut self.frames[id.0 as usize];
        *known.get_or_insert_with(|| frame_matches(&self.snapshot.frames.get(id), filter))
    }
}

fn frame_matches(frame: &Frame, filter: &Regex) -> bool {
    let place = |line: &crate::decode::SourceLine| filter.is_match(&format!("{}:{}", line.file, line.line));
    filter.is_match(&frame.function) || frame.line.as_ref().is_some_and(place)
}

#[cfg(test)]
#[path = "dump_tests.rs"]
mod tests;
