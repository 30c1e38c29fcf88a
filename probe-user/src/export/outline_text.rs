//! `analyze --show-call-graph`, for people: trees in a box, a legend, and what the graph answers.

use crate::outline::{Color, Excerpt, Summary};
use crate::present::bounds;
use crate::present::call_graph::{GraphLine, name, trees};
use crate::present::call_graph_summary::{Answer, answers, counts};
use crate::present::escape::escape;
use crate::present::names;
use crate::present::paint::Paint;
use crate::present::places::Places;
use crate::present::units::{count, counted};
use std::io::{self, Write};

#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub paint: Paint,
    /// Columns of the terminal.
    pub width: usize,
}

/// A tree of more is cut to the steps that fit.
const FUNCTIONS: usize = 300;
const EDGES: usize = 600;
/// Lines get no longer than this, however wide the terminal.
const WIDEST: usize = 140;
const NARROWEST: usize = 60;
/// What `awaits src/…` may take.
const HOW: usize = 44;
/// What a name needs before it.
const NAME: usize = 24;

pub fn write(
    out: &mut impl Write,
    excerpt: &Excerpt,
    program: &str,
    places: &Places,
    options: Options,
) -> io::Result<()> {
    let summary = Summary::of(excerpt);
    let (part, depth) = excerpt.at_most(FUNCTIONS, EDGES);
    let room = options.width.clamp(NARROWEST, WIDEST) - 4;
    let drawn = trees(&part, places, room / 2);
    let mut rows = tree_rows(&drawn.lines, room);
    let mut notes = left_out(excerpt, &part, depth);
    if drawn.left_out > 0 {
        notes.push(format!("{} more that there is no room for", counted(drawn.left_out as u64, "line")));
    }
    if drawn.plain_sync > 0 {
        let functions = counted(drawn.plain_sync as u64, "sync function");
        notes.push(format!("{functions} that nobody is known to call, with nothing async below"));
    }
    if rows.is_empty() {
        rows.push(Row::of(Ink::Plain, "no function to show"));
    }
    let title = format!("async call graph of {}", escape(program));
    let mut sections = vec![(title.chars().take(room - 4).collect(), rows)];
    if !notes.is_empty() {
        let rows = notes.iter().flat_map(|note| wrapped(Ink::Dim, note, "· ", "  ", room)).collect();
        sections.push(("not shown".into(), rows));
    }
    sections.push(("legend".into(), legend(room)));
    sections.push(("summary".into(), summary_rows(&summary, excerpt, places, room)));
    boxed(out, &sections, options.paint)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ink {
    Plain,
    Dim,
    Bold,
    Red,
    Green,
    Yellow,
}

/// Pieces from the left, and what stands in the column at the right.
#[derive(Clone, Debug, Default)]
struct Row {
    left: Vec<(Ink, String)>,
    right: String,
}

impl Row {
    fn of(ink: Ink, text: impl Into<String>) -> Row {
        Row { left: vec![(ink, text.into())], right: String::new() }
    }

    fn width(&self) -> usize {
        self.left.iter().map(|(_, text)| text.chars().count()).sum()
    }
}

/// Names fit before the column of `awaits …`; what does not goes below.
fn tree_rows(lines: &[GraphLine], room: usize) -> Vec<Row> {
    let widest = lines.iter().map(|line| line.how.chars().count()).max().unwrap_or(0);
    let how = widest.min(HOW).min(room * 2 / 5);
    let left = room - how - 2;
    let mut rows = Vec::new();
    for (nth, line) in lines.iter().enumerate() {
        if nth > 0 && line.branches.is_empty() {
            rows.push(Row::default());
        }
        line_rows(line, left, how, room, &mut rows);
    }
    rows
}

fn line_rows(line: &GraphLine, left: usize, how: usize, room: usize, rows: &mut Vec<Row>) {
    let mut row = Row { left: vec![(Ink::Dim, line.branches.clone())], right: tail(&line.how, how) };
    let mut after = Vec::new();
    if !line.name.is_empty() {
        let (ink, mark) = ink_and_mark(line);
        let kind = format!(" ({})", line.kind);
        let taken = row.width() + mark.chars().count() + kind.chars().count();
        let mut free = left.saturating_sub(taken);
        if free < NAME && names::short(&line.name).chars().count() > free {
            // So deep that what it does goes below.
            free = room - taken;
            let right = std::mem::take(&mut row.right);
            after.push(Row { left: vec![(Ink::Dim, line.below.clone())], right });
        }
        row.left.extend([(ink, format!("{mark}{}", name(&line.name, free))), (Ink::Dim, kind)]);
    }
    let below = format!("{}  ", line.below);
    let gap = if line.name.is_empty() { "" } else { "  " };
    let dim = (Ink::Dim, line.notes.join(" · "));
    // The colour alone does not say why.
    let why = (Ink::Yellow, line.warnings.join("; "));
    for (ink, note) in [dim, why].iter().filter(|(_, note)| !note.is_empty()) {
        let free = if row.right.is_empty() && after.is_empty() { room } else { left };
        if after.is_empty() && row.width() + gap.len() + note.chars().count() <= free {
            row.left.push((*ink, format!("{gap}{note}")));
        } else {
            after.extend(wrapped(*ink, note, &below, &below, room));
        }
    }
    rows.push(row);
    rows.append(&mut after);
}

fn ink_and_mark(line: &GraphLine) -> (Ink, &'static str) {
    match (line.own, line.kind, line.color) {
        (false, ..) => (Ink::Dim, ""),
        (true, _, Color::Yellow) => (Ink::Yellow, "▲ "),
        (true, "sync" | "", _) => (Ink::Plain, ""),
        (true, _, Color::Red) => (Ink::Red, "● "),
        (true, _, Color::Green) => (Ink::Green, "○ "),
    }
}

/// The end of a text says more of a place than its beginning.
fn tail(text: &str, width: usize) -> String {
    let long = text.chars().count().saturating_sub(width);
    if long == 0 {
        return text.to_owned();
    }
    let verb = text.split(' ').next().filter(|verb| *verb != text && verb.len() < width / 2);
    let start = verb.map_or(0, |verb| verb.len() + 1);
    let kept: String = text[start..].chars().skip(long + 1).collect();
    format!("{}…{kept}", &text[..start])
}

/// Rows of a text in at most `room` columns, broken between words.
fn wrapped(ink: Ink, text: &str, first: &str, rest: &str, room: usize) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    let mut now = String::new();
    let mut lead = first;
    for word in text.split(' ') {
        let taken = lead.chars().count() + now.chars().count() + 1 + word.chars().count();
        if !now.is_empty() && taken > room {
            rows.push(Row { left: vec![(Ink::Dim, lead.to_owned()), (ink, now)], right: String::new() });
            (now, lead) = (String::new(), rest);
        }
        let free = room.saturating_sub(lead.chars().count()).max(8);
        let word: String = match word.chars().count() {
            n if n > free => word.chars().take(free - 1).chain(['…']).collect(),
            _ => word.to_owned(),
        };
        if !now.is_empty() {
            now.push(' ');
        }
        now.push_str(&word);
    }
    rows.push(Row { left: vec![(Ink::Dim, lead.to_owned()), (ink, now)], right: String::new() });
    rows
}

/// What of `all` is not in `part`, and not in `all` itself.
pub(super) fn left_out(all: &Excerpt, part: &Excerpt, depth: Option<u32>) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(depth) = depth {
        notes.push(format!(
            "{} more than {} from where the trees begin: --root FN shows what is below one, -f html all of it",
            counted((part.left_out - all.left_out) as u64, "function"),
            counted(depth.into(), "step")
        ));
    }
    if all.left_out > 0 {
        notes.push(format!("{} outside of --root and --depth", counted(all.left_out as u64, "function")));
    }
    notes.extend(bounds::notes(&all.graph.bounds));
    if all.folded > 0 {
        notes.push(format!("{} of dependencies and std: --deps", counted(all.folded as u64, "function")));
    }
    notes
}

fn legend(room: usize) -> Vec<Row> {
    let lines = [
        (Ink::Red, "● red", "must be async: it awaits something"),
        (Ink::Green, "○ green", "could be sync: it awaits nothing"),
        (Ink::Yellow, "▲ yellow", "a bottleneck; why stands behind it"),
        (Ink::Dim, "⤷ ↺", "drawn above; calls itself, by whatever way"),
    ];
    let mut rows = Vec::new();
    for (ink, mark, words) in lines {
        let row =
            Row { left: vec![(ink, format!("{mark:<10}")), (Ink::Plain, words.into())], ..Row::default() };
        rows.push(row);
    }
    let edges = "awaits: suspends until it is done; spawns: as a task or thread of its own; calls: a plain call; \
                 blocks on: holds its thread until it is done; via: through code that is not yours; dyn, possible: one of \
                 those that a trait object can stand for";
    rows.extend(wrapped(Ink::Plain, edges, "", "", room));
    rows
}

fn summary_rows(summary: &Summary, excerpt: &Excerpt, places: &Places, room: usize) -> Vec<Row> {
    let mut rows = wrapped(Ink::Plain, &counts(summary), "", "  ", room);
    for answer in answers(summary, excerpt, places) {
        rows.extend(wrapped(Ink::Bold, &answer.text, "", "  ", room));
        rows.extend(answer_rows(&answer, room));
    }
    rows
}

fn answer_rows(answer: &Answer, room: usize) -> Vec<Row> {
    let mut rows = Vec::new();
    for item in &answer.items {
        let text =
            if item.place.is_empty() { item.text.clone() } else { format!("{}  {}", item.text, item.place) };
        rows.extend(wrapped(Ink::Plain, &text, "  · ", "    ", room));
    }
    if answer.left_out > 0 {
        rows.push(Row::of(Ink::Dim, format!("  · … and {} more", count(answer.left_out as u64))));
    }
    rows
}

fn boxed(out: &mut impl Write, sections: &[(String, Vec<Row>)], paint: Paint) -> io::Result<()> {
    let rows = || sections.iter().flat_map(|(_, rows)| rows);
    let right = rows().map(|row| row.right.chars().count()).max().unwrap_or(0);
    let column = rows().filter(|row| !row.right.is_empty()).map(Row::width).max().unwrap_or(0) + 2;
    let titles = sections.iter().map(|(title, _)| title.chars().count() + 2);
    let widest = rows().map(Row::width).chain(titles).chain([column + right]).max().unwrap_or(0);
    for (nth, (title, rows)) in sections.iter().enumerate() {
        let (from, to) = if nth == 0 { ('┌', '┐') } else { ('├', '┤') };
        let rule = "─".repeat((widest + 1).saturating_sub(title.chars().count() + 2));
        writeln!(out, "{}", paint.dim(format!("{from}─ {title} {rule}{to}")))?;
        for row in rows {
            boxed_row(out, row, column, widest, paint)?;
        }
    }
    writeln!(out, "{}", paint.dim(format!("└{}┘", "─".repeat(widest + 2))))
}

fn boxed_row(out: &mut impl Write, row: &Row, column: usize, widest: usize, paint: Paint) -> io::Result<()> {
    write!(out, "{} ", paint.dim("│"))?;
    for (ink, text) in &row.left {
        match ink {
            Ink::Plain => write!(out, "{text}")?,
            Ink::Dim => write!(out, "{}", paint.dim(text))?,
            Ink::Bold => write!(out, "{}", paint.bold(text))?,
            Ink::Red => write!(out, "{}", paint.bad(text))?,
            Ink::Green => write!(out, "{}", paint.good(text))?,
            Ink::Yellow => write!(out, "{}", paint.warn(text))?,
        }
    }
    let mut at = row.width();
    if !row.right.is_empty() {
        let gap = column.saturating_sub(at);
        write!(out, "{:gap$}{}", "", row.right)?;
        at += gap + row.right.chars().count();
    }
    writeln!(out, "{:1$} {2}", "", widest.saturating_sub(at), paint.dim("│"))
}

#[cfg(test)]
#[path = "outline_text_tests.rs"]
pub(super) mod tests;
