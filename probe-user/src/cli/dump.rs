//! `dump`: one snapshot of every task.

use super::args::{Common, DumpArgs};
use super::diagnose::looked_twice;
use super::output::{self, Quit, Say};
use super::source::Source;
use super::{Exit, Failure};
use crate::analysis::{Diagnosis, Finding};
use crate::decode::{DebugInfoLevel, Frame, FrameId, Node, Snapshot, Task};
use crate::export::{json, text};
use crate::present::card::{CardInput, write_with_tree};
use crate::present::findings;
use crate::present::paint::Paint;
use crate::present::places::Places;
use crate::present::source::SourceFiles;
use crate::present::units::counted;
use regex::Regex;
use std::io::{self, IsTerminal, Write};
use std::time::SystemTime;

pub fn run(source: &mut dyn Source, args: &DumpArgs, common: &Common) -> Result<Exit, Quit> {
    let first = source.snapshot()?;
    let (snapshot, diagnosis) = if tells_findings(args, common) {
        looked_twice(first, || source.snapshot())
    } else {
        (first, Diagnosis::default())
    };
    let say = Say::new(common);
    source.notes().iter().for_each(|note| say.warn(note));
    show(snapshot, &diagnosis, source.process().built, args, common)
}

/// It may take a second reading to tell them.
fn tells_findings(args: &DumpArgs, common: &Common) -> bool {
    args.json || (args.task.is_empty() && !common.quiet)
}

/// `built`: when the executable was written.
pub(super) fn show(
    snapshot: Snapshot,
    diagnosis: &Diagnosis,
    built: Option<SystemTime>,
    args: &DumpArgs,
    common: &Common,
) -> Result<Exit, Quit> {
    let findings = diagnosis.findings();
    let say = Say::new(common);
    if snapshot.debuginfo != DebugInfoLevel::Full {
        let words = text::debuginfo_words(snapshot.debuginfo, text::tokio_version(&snapshot));
        say.warn(&format!("debug info: {words}"));
    }
    let mut choice = Choice::new(args, &snapshot);
    let tasks: Vec<&Task> = snapshot.tasks.iter().filter(|task| choice.takes(task)).collect();
    if let Some(missing) = args.task.iter().find(|id| !tasks.iter().any(|task| task.id.id == **id)) {
        return Err(no_such_task(*missing, args).into());
    }
    let to_terminal = args.output.is_none() && io::stdout().is_terminal();
    let paint = output::paint(common, to_terminal);
    let list = !args.json && args.task.is_empty();
    output::whole(args.output.as_deref(), |out| match list {
        true => text::write(out, &snapshot, tasks.iter().copied(), text::Options { all: args.all, paint }),
        false if args.json => json::write(out, &snapshot, tasks.iter().copied(), &findings),
        false => {
            let sources = SourceFiles::new(common.src_path.clone(), built);
            cards(out, &snapshot, &tasks, &sources, paint)
        }
    })?;
    if list {
        tell(&findings, &snapshot, args, &say);
    }
    // The process is about to end: freeing 300,000 trees one by one would only make it wait.
    std::mem::forget(snapshot);
    Ok(Exit::Fine)
}

/// All that is known of each.
fn cards(
    out: &mut impl Write,
    snapshot: &Snapshot,
    tasks: &[&Task],
    sources: &SourceFiles,
    paint: Paint,
) -> io::Result<()> {
    let places = Places::of(&snapshot.frames);
    for (i, task) in tasks.iter().enumerate() {
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
            sources,
            kind: None,
            busy: None,
            now_ns: snapshot.t_ns,
        };
        write_with_tree(out, input, paint)?;
    }
    Ok(())
}

/// Findings that a list of tasks names; `diagnose` tells all of them.
const NAMED: usize = 3;

/// In short, below the list: it is what one would look for in it.
fn tell(found: &[&Finding], snapshot: &Snapshot, args: &DumpArgs, say: &Say) {
    if found.is_empty() {
        return;
    }
    let places = Places::of(&snapshot.frames);
    for finding in found.iter().take(NAMED) {
        say.warn(&findings::line(finding, &places));
    }
    let more = found.len().saturating_sub(NAMED) as u64;
    if let Some(target) = args.target.as_deref().filter(|_| args.replayed.is_none()) {
        let more = if more > 0 { format!(", and {} more", counted(more, "finding")) } else { String::new() };
        say.note(&format!("async-inspect diagnose {target} tells why{more}"));
    }
}

fn no_such_task(id: u64, args: &DumpArgs) -> Failure {
    Failure {
        exit: Exit::Plain,
        tried: format!("showing task #{id} of {}", args.subject()),
        why: match args.replayed {
            Some(_) => "no such task at that moment: it may have ended before, or been born later".into(),
            None => "no such task now: it may have ended".into(),
        },
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
