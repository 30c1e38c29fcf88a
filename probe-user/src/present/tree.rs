//! An await tree as indented lines: what the dump, the card screen and the tests of both show.

use super::names;
use super::paint::Paint;
use super::places::Places;
use super::units::{count, counted};
use crate::decode::{Frame, FrameKind, FrameState, Frames, Node};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::{self, Write};

/// One future of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeLine {
    /// The branches it is under: `│ └ `.
    pub branches: String,
    /// Kept by its parent, but not being awaited.
    pub held: bool,
    /// Shortened and escaped; with `12 × ` before it where so many of its siblings look the same, and after it, of a
    /// collection, how many futures it has.
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
/// Siblings that look the same to a reader, with all below them, are one. A chain stays in one column, however long: only where a future awaits several does it go to the right.
pub fn lines(root: &Node, frames: &Frames, places: &Places) -> (Vec<TreeLine>, usize) {
    let here = here(root, frames);
    let mut tree = Tree { frames, places, here, out: Vec::new(), left_out: 0 };
    tree.push(&Alike { node: root, held: false, times: 1 }, "", "");
    (tree.out, tree.left_out)
}

struct Tree<'a> {
    frames: &'a Frames,
    places: &'a Places,
    here: Option<&'a Node>,
    out: Vec<TreeLine>,
    left_out: usize,
}

impl Tree<'_> {
    /// `first` goes before the node itself, `rest` before all below it.
    fn push(&mut self, alike: &Alike<'_>, first: &str, rest: &str) {
        let Alike { node, held, times } = *alike;
        if self.out.len() >= LINES {
            self.left_out += 1;
        } else {
            let frame = self.frames.get(node.frame);
            self.out.push(TreeLine {
                branches: first.to_owned(),
                held,
                function: counted_function(node, &frame, times),
                place: place(&frame, self.places),
                expanded_from: frame.expanded_from.as_ref().map(|line| self.places.show(line)),
                own_code: frame.own_code,
                here: self.here.is_some_and(|here| std::ptr::eq(here, node)),
            });
        }
        let children = alike_children(node);
        if let [next @ Alike { held: false, times: 1, .. }] = &*children {
            return self.push(next, rest, rest);
        }
        let deep = rest.chars().count() >= DEEPEST * 2;
        for (i, child) in children.iter().enumerate() {
            let last = i + 1 == children.len();
            let (first, below) = match () {
                () if deep => (rest.to_owned(), rest.to_owned()),
                () if last => (format!("{rest}└ "), format!("{rest}  ")),
                () => (format!("{rest}├ "), format!("{rest}│ ")),
            };
            self.push(child, &first, &below);
        }
    }
}

/// The first of some siblings that look the same, and how many they are.
struct Alike<'a> {
    node: &'a Node,
    held: bool,
    times: usize,
}

fn alike_children(node: &Node) -> Vec<Alike<'_>> {
    let mut known: HashMap<(bool, Vec<u32>), usize> = HashMap::new();
    let mut children: Vec<Alike<'_>> = Vec::new();
    let awaited = node.awaiting.iter().map(|child| (child, false));
    for (node, held) in awaited.chain(node.held.iter().map(|child| (child, true))) {
        let mut look = Vec::new();
        look_into(node, &mut look);
        match known.entry((held, look)) {
            Entry::Occupied(at) => children[*at.get()].times += 1,
            Entry::Vacant(at) => {
                at.insert(children.len());
                children.push(Alike { node, held, times: 1 });
            }
        }
    }
    children
}

/// All of a tree that a reader sees.
fn look_into(node: &Node, look: &mut Vec<u32>) {
    look.extend([node.frame.0, node.more, node.awaiting.len() as u32, node.held.len() as u32]);
    node.awaiting.iter().chain(&node.held).for_each(|child| look_into(child, look));
}

/// `12 × fetch`, `FuturesUnordered<F> (40 futures)`, `JoinSet<T> (3 tasks)`.
fn counted_function(node: &Node, frame: &Frame, times: usize) -> String {
    let name = names::function(&frame.function);
    let name = if times > 1 { format!("{} × {name}", count(times as u64)) } else { name };
    let shown = node.awaiting.len() as u64;
    let all = shown + u64::from(node.more);
    match frame.kind {
        FrameKind::Leaf if node.more > 0 => format!("{name} ({})", counted(all, "task")),
        FrameKind::Collection if node.more > 0 => {
            format!("{name} ({}, {} shown)", counted(all, "future"), count(shown))
        }
        FrameKind::Collection => format!("{name} ({})", counted(all, "future")),
        _ => name,
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

/// The innermost await in the user's own code along the first branch that has one.
fn here<'a>(node: &'a Node, frames: &Frames) -> Option<&'a Node> {
    node.awaiting.iter().find_map(|child| here(child, frames)).or_else(|| {
        let frame = frames.get(node.frame);
        (frame.own_code && frame.line.is_some()).then_some(node)
    })
}
