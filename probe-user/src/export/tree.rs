//! An await tree as indented lines: what the dump, the card screen and the tests of both show.

use super::names;
use super::paint::Paint;
use super::places::Places;
use crate::decode::{Frame, FrameKind, FrameState, Frames, Node, SourceLine};
use std::io::{self, Write};

/// One future of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeLine {
    pub depth: usize,
    /// Kept by its parent, but not being awaited.
    pub held: bool,
    /// Shortened and escaped.
    pub function: String,
    /// Shortened and escaped `file:line`, or a word such as `not started`.
    pub place: String,
    /// The macro the await stands in.
    pub expanded_from: Option<String>,
    pub own_code: bool,
    /// The innermost await in the user's own code of the whole tree.
    pub here: bool,
    pub source: Option<SourceLine>,
}

/// Lines of one tree that are made at most.
const LINES: usize = 500;

/// The tree's lines, outermost first; the second value counts futures that were left out.
pub fn lines(root: &Node, frames: &Frames, places: &Places) -> (Vec<TreeLine>, usize) {
    let mut out = Vec::new();
    let mut left_out = 0;
    push(root, 0, false, frames, places, &mut out, &mut left_out);
    if let Some(here) = here(root, frames).and_then(|index| out.get_mut(index)) {
        here.here = true;
    }
    (out, left_out)
}

fn push(
    node: &Node,
    depth: usize,
    held: bool,
    frames: &Frames,
    places: &Places,
    out: &mut Vec<TreeLine>,
    left_out: &mut usize,
) {
    if out.len() >= LINES {
        *left_out += 1;
    } else {
        let frame = frames.get(node.frame);
        out.push(TreeLine {
            depth,
            held,
            function: names::function(&frame.function),
            place: place(&frame, places),
            expanded_from: frame.expanded_from.as_ref().map(|line| places.show(line)),
            own_code: frame.own_code,
            here: false,
            source: frame.line.clone(),
        });
    }
    for child in &node.awaiting {
        push(child, depth + 1, false, frames, places, out, left_out);
    }
    for child in &node.held {
        push(child, depth + 1, true, frames, places, out, left_out);
    }
}

fn place(frame: &Frame, places: &Places) -> String {
    let word = match (frame.state, frame.kind) {
        (FrameState::Unresumed, _) => "not started",
        (FrameState::Running, _) => "running",
        (FrameState::Returned, _) => "finished",
        (FrameState::Panicked, _) => "panicked",
        (FrameState::Unknown, FrameKind::AsyncFn | FrameKind::AsyncBlock | FrameKind::AsyncClosure) => {
            "state unknown"
        }
        (FrameState::Suspended | FrameState::Unknown, _) => "",
    };
    match &frame.line {
        Some(line) if word.is_empty() => places.show(line),
        Some(line) => format!("{} ({word})", places.show(line)),
        None if word.is_empty() => String::new(),
        None => format!("({word})"),
    }
}

/// Tree lines are not indented further than this many levels.
const DEEPEST: usize = 16;
/// Column of `file:line`, if the function leaves room.
const PLACE_COLUMN: usize = 60;

pub fn write(out: &mut impl Write, lines: &[TreeLine], paint: Paint) -> io::Result<()> {
    for line in lines {
        let mark = if line.here { "→" } else { " " };
        let function = line.indented();
        let room = " ".repeat(PLACE_COLUMN.saturating_sub(function.chars().count()).max(2));
        let room = if line.place.is_empty() { "" } else { &room };
        if line.here {
            write!(out, "  {} {}{room}{}", paint.bold(mark), paint.bold(function), paint.bold(&line.place))?;
        } else if line.own_code {
            write!(out, "  {mark} {function}{room}{}", line.place)?;
        } else {
            write!(out, "  {mark} {}{room}{}", paint.dim(function), paint.dim(&line.place))?;
        }
        match &line.expanded_from {
            Some(place) => writeln!(out, "{}", paint.dim(format!("  (macro at {place})")))?,
            None => writeln!(out)?,
        }
    }
    Ok(())
}

impl TreeLine {
    /// Indentation and function.
    pub fn indented(&self) -> String {
        let held = if self.held { "holds " } else { "" };
        format!("{}{held}{}", "  ".repeat(self.depth.min(DEEPEST)), self.function)
    }
}

/// Index, in preorder, of the innermost await in the user's own code along the first branch that has one.
fn here(root: &Node, frames: &Frames) -> Option<usize> {
    fn walk(node: &Node, frames: &Frames, next: &mut usize) -> Option<usize> {
        let mine = *next;
        *next += 1;
        let mut found = None;
        for child in &node.awaiting {
            let deeper = walk(child, frames, next);
            found = found.or(deeper);
        }
        for child in &node.held {
            walk(child, frames, next);
        }
        found.or_else(|| {
            let frame = frames.get(node.frame);
            (frame.own_code && frame.line.is_some()).then_some(mine)
        })
    }
    walk(root, frames, &mut 0)
}
