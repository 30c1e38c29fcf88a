//! An await tree as indented lines: what the dump, the card screen and the tests of both show.

use super::names;
use super::paint::Paint;
use super::places::Places;
use crate::decode::{Frame, FrameKind, FrameState, Frames, Node};
use std::io::{self, Write};

/// One future of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeLine {
    /// The branches it is under: `│ └ `.
    pub branches: String,
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
}

/// Lines of one tree that are made at most.
const LINES: usize = 500;
/// Branches are not drawn deeper than this.
const DEEPEST: usize = 20;

/// The tree's lines, outermost first; the second value counts futures that were left out.
///
/// A chain stays in one column, however long: only where a future awaits several does it go to the right.
pub fn lines(root: &Node, frames: &Frames, places: &Places) -> (Vec<TreeLine>, usize) {
    let mut tree = Tree { frames, places, out: Vec::new(), left_out: 0 };
    tree.push(root, "", "", false);
    let Tree { mut out, left_out, .. } = tree;
    if let Some(here) = here(root, frames).and_then(|index| out.get_mut(index)) {
        here.here = true;
    }
    (out, left_out)
}

struct Tree<'a> {
    frames: &'a Frames,
    places: &'a Places,
    out: Vec<TreeLine>,
    left_out: usize,
}

impl Tree<'_> {
    /// `first` goes before the node itself, `rest` before all below it.
    fn push(&mut self, node: &Node, first: &str, rest: &str, held: bool) {
        if self.out.len() >= LINES {
            self.left_out += 1;
        } else {
            let frame = self.frames.get(node.frame);
            self.out.push(TreeLine {
                branches: first.to_owned(),
                held,
                function: names::function(&frame.function),
                place: place(&frame, self.places),
                expanded_from: frame.expanded_from.as_ref().map(|line| self.places.show(line)),
                own_code: frame.own_code,
                here: false,
            });
        }
        if let ([next], []) = (&*node.awaiting, &*node.held) {
            return self.push(next, rest, rest, false);
        }
        let awaited = node.awaiting.iter().map(|child| (child, false));
        let children: Vec<_> = awaited.chain(node.held.iter().map(|child| (child, true))).collect();
        let deep = rest.chars().count() >= DEEPEST * 2;
        for (i, (child, held)) in children.iter().enumerate() {
            let last = i + 1 == children.len();
            let (first, below) = match () {
                () if deep => (rest.to_owned(), rest.to_owned()),
                () if last => (format!("{rest}└ "), format!("{rest}  ")),
                () => (format!("{rest}├ "), format!("{rest}│ ")),
            };
            self.push(child, &first, &below, *held);
        }
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

/// Where the column of `file:line` may begin.
const PLACE_COLUMN: std::ops::RangeInclusive<usize> = 40..=84;

/// The column of `file:line` that suits these lines.
pub fn place_column(lines: &[TreeLine]) -> usize {
    let widths = lines.iter().filter(|line| !line.place.is_empty()).map(|line| line.text().chars().count());
    let widest = widths.filter(|width| *width + 2 <= *PLACE_COLUMN.end()).max().unwrap_or(0);
    (widest + 2).max(*PLACE_COLUMN.start())
}

pub fn write(out: &mut impl Write, lines: &[TreeLine], paint: Paint) -> io::Result<()> {
    let column = place_column(lines);
    for line in lines {
        let mark = if line.here { "→" } else { " " };
        let function = line.text();
        let room = " ".repeat(column.saturating_sub(function.chars().count()).max(2));
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
    /// Branches and function.
    pub fn text(&self) -> String {
        let held = if self.held { "holds " } else { "" };
        format!("{}{held}{}", self.branches, self.function)
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
