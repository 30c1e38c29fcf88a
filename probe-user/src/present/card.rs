//! All that is known of one task, on one card.

use super::escape::escape;
use super::long_polls;
use super::names;
use super::paint::Paint;
use super::places::Places;
use super::queues;
use super::reasons::Reasons;
use super::samples;
use super::source::SourceText;
use super::times;
use super::tree;
use super::units::{count, counted, known_span, span};
use crate::decode::{
    Certainty, FrameId, Frames, Hold, HoldRole, Node, Task, TaskId, place_of, wait_of_chain,
};
use crate::model::{Ending, KindTimes, Known, Stop, TaskEntry, TaskPhase, primary_chain};
use crate::sample::Estimate;
use crate::trace::OffCpu;
use std::io::{self, Write};

/// What a card is made of; what is absent is left off the card.
#[derive(Clone, Copy)]
pub struct CardInput<'a> {
    pub id: TaskId,
    pub name: &'a str,
    /// The model's row: history, polls, times.
    pub entry: Option<&'a TaskEntry>,
    /// The task in a snapshot: its await tree.
    pub task: Option<&'a Task>,
    pub frames: &'a Frames,
    pub places: &'a Places,
    pub sources: &'a dyn SourceText,
    /// What is known of all tasks of its name.
    pub kind: Option<&'a KindTimes>,
    /// By looks, where it is sampled.
    pub busy: Option<Estimate>,
    /// CLOCK_MONOTONIC; what "now" means on this card. None: not known, as of a core file.
    pub now_ns: Option<u64>,
}

/// Everything on it is escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    pub id: String,
    pub name: String,
    pub status: String,
    pub rows: Vec<Row>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub label: &'static str,
    pub text: String,
    /// A line of source.
    pub quote: Option<String>,
}

impl Row {
    fn new(label: &'static str, text: String) -> Row {
        Row { label, text, quote: None }
    }
}

/// Column at which a card's status begins, if the name leaves room.
const STATUS_COLUMN: usize = 56;
/// Steps of the history that are shown, the latest ones.
const STEPS: usize = 7;
/// Branches and guards shown of one task.
const HOLDS: usize = 6;
const REASONS: usize = 4;
/// Less time off CPU within polls is not shown, ns.
const WORTH_TELLING: u64 = 1_000_000;

pub fn card(input: CardInput) -> Card {
    let mut rows = Vec::new();
    let tree = input.task.and_then(|task| task.tree.as_ref());
    let long_poll = input.entry.and_then(|entry| entry.long_poll.as_ref());
    let mut held_up = long_poll.map(|poll| Row::new("reason", long_polls::words(poll, input.places)));
    if let Some(tree) = tree.filter(|_| !has_moved(&input)) {
        place_rows(tree, &input, &mut rows);
        rows.extend(held_up.take());
        let reasons = says(&input).of(input.task.map_or(&[], |task| &task.waits));
        // What it waited for before it was polled.
        if !reasons.is_empty() && long_poll.is_none() {
            rows.push(Row::new("reason", reasons.join("; ")));
        }
        let holds = holds(input.task.map_or(&[], |task| &task.holds), &input);
        if !holds.is_empty() {
            rows.push(Row::new("holds", holds.join("; ")));
        }
    } else if let Some(path) = input.entry.and_then(TaskEntry::path) {
        path_rows(&path.frames, path.place, &input, &mut rows);
    }
    rows.extend(held_up);
    rows.extend(queued(&input).map(|text| Row::new("queued", text)));
    let spawned_at = input.task.and_then(|task| task.spawned_at.as_ref()).map(|line| input.places.show(line));
    let spawned_by = input.entry.and_then(|entry| entry.parent).map(|by| format!("by {}", names::doer(by)));
    let spawned: Vec<String> = spawned_at.into_iter().chain(spawned_by).collect();
    if !spawned.is_empty() {
        rows.push(Row::new("spawned", spawned.join(" ")));
    }
    rows.extend(input.entry.and_then(|entry| woken(entry, &input)).map(|text| Row::new("woken", text)));
    let time = input.entry.and_then(|entry| times::accounts(entry, input.now_ns));
    rows.extend(time.map(|text| Row::new("time", text)));
    let like_it = input.kind.and_then(times::kind);
    rows.extend(like_it.map(|text| Row::new("all such", text)));
    if let Some(entry) = input.entry.filter(|entry| !entry.history.is_empty()) {
        rows.push(Row::new("history", history(entry, &input)));
    }
    Card { id: format!("#{}", input.id.id), name: names::function(input.name), status: status(&input), rows }
}

fn says<'a>(input: &CardInput<'a>) -> Reasons<'a> {
    Reasons { frames: input.frames, places: input.places, now_ns: input.now_ns }
}

/// Whether the trace has seen the task move since the snapshot that has its tree.
pub fn has_moved(input: &CardInput) -> bool {
    let tree = input.task.and_then(|task| task.tree.as_ref());
    let path = input.entry.and_then(TaskEntry::path);
    tree.zip(path)
        .is_some_and(|(tree, path)| place_of(&primary_chain(tree, input.frames), input.frames) != path.place)
}

/// Where it stands in line, unless it was seen to go on since.
fn queued(input: &CardInput) -> Option<String> {
    let still = |entry: &TaskEntry| entry.phase == TaskPhase::Scheduled;
    let queue = input.task?.queue.filter(|_| input.entry.is_none_or(still) && !has_moved(input))?;
    Some(queues::words(queue))
}

impl Card {
    pub fn write(&self, out: &mut impl Write, paint: Paint) -> io::Result<()> {
        let who = format!("Task {}  {}", self.id, self.name);
        let room = " ".repeat(STATUS_COLUMN.saturating_sub(who.chars().count()).max(2));
        writeln!(out, "{}{room}{}", paint.name(who), self.status)?;
        for row in &self.rows {
            write!(out, "  {} {}", paint.dim(format!("{:<9}", row.label)), row.text)?;
            match &row.quote {
                Some(quote) => writeln!(out, "   {}", paint.dim(quote))?,
                None => writeln!(out)?,
            }
        }
        Ok(())
    }
}

/// `at`, `in` and `awaiting`, from a whole tree.
fn place_rows(tree: &Node, input: &CardInput, rows: &mut Vec<Row>) {
    let mut above: Vec<FrameId> = Vec::new();
    let mut at = tree;
    let mut here: Option<(&Node, usize)> = None;
    loop {
        let frame = input.frames.get(at.frame);
        if frame.own_code && frame.line.is_some() {
            here = Some((at, above.len()));
        }
        above.push(at.frame);
        // Where several are awaited, go on with the branch that leads to the user's own code.
        let next = at.awaiting.iter().find(|child| leads_home(child, input.frames));
        match next.or_else(|| at.awaiting.first()) {
            Some(next) => at = next,
            None => break,
        }
    }
    let (from, depth) = here.unwrap_or((tree, 0));
    at_row(from.frame, input, rows);
    in_row(&above[..depth], input, rows);
    let awaiting = awaiting(from, input.frames);
    if !awaiting.is_empty() {
        rows.push(Row::new("awaiting", awaiting));
    }
}

fn leads_home(node: &Node, frames: &Frames) -> bool {
    let frame = frames.get(node.frame);
    (frame.own_code && frame.line.is_some()) || node.awaiting.iter().any(|child| leads_home(child, frames))
}

/// The same rows from a chain alone, where no snapshot has the task.
fn path_rows(chain: &[FrameId], place: Option<FrameId>, input: &CardInput, rows: &mut Vec<Row>) {
    let depth = chain.iter().rposition(|id| Some(*id) == place).unwrap_or(0);
    let Some(from) = chain.get(depth) else { return };
    at_row(*from, input, rows);
    in_row(&chain[..depth], input, rows);
    let below: Vec<_> = chain[depth + 1..].iter().map(|id| input.frames.get(*id)).collect();
    if !below.is_empty() {
        rows.push(Row::new("awaiting", names::chain(below.iter().map(|frame| &*frame.function))));
    }
    let no_more = |entry: &TaskEntry| entry.has_ended() || entry.long_poll.is_some();
    let ended = input.entry.is_some_and(no_more);
    if let Some(wait) = wait_of_chain(chain, input.frames).filter(|_| !ended)
        && let Some(reason) = says(input).of(&[wait]).pop()
    {
        rows.push(Row::new("reason", reason));
    }
}

fn at_row(frame: FrameId, input: &CardInput, rows: &mut Vec<Row>) {
    let frame = input.frames.get(frame);
    let Some(line) = &frame.line else { return };
    let quote = input.sources.text(line).map(|text| escape(&text).into_owned());
    rows.push(Row { label: "at", text: input.places.show(line), quote });
    if let Some(macro_place) = &frame.expanded_from {
        rows.push(Row::new("macro", input.places.show(macro_place)));
    }
}

/// The user's own functions that lead to the place.
fn in_row(above: &[FrameId], input: &CardInput, rows: &mut Vec<Row>) {
    let own = above.iter().map(|id| input.frames.get(*id)).filter(|frame| frame.own_code);
    let words: Vec<_> = own
        .map(|frame| match &frame.line {
            Some(line) => format!("{} ({})", names::short(&frame.function), input.places.show(line)),
            None => names::short(&frame.function),
        })
        .collect();
    if !words.is_empty() {
        rows.push(Row::new("in", words.join(" → ")));
    }
}

/// The chain below `node`; where it branches, each branch.
fn awaiting(node: &Node, frames: &Frames) -> String {
    let mut chain = Vec::new();
    let mut at = node;
    while let [next] = &*at.awaiting {
        chain.push(frames.get(next.frame));
        at = next;
    }
    let mut text = names::chain(chain.iter().map(|frame| &*frame.function));
    if at.awaiting.is_empty() {
        return text;
    }
    if !text.is_empty() {
        text += " → ";
    }
    let leaf = |mut node: &Node| {
        let mut functions = vec![frames.get(node.frame)];
        while let Some(next) = node.awaiting.first() {
            functions.push(frames.get(next.frame));
            node = next;
        }
        names::chain(functions.iter().map(|frame| &*frame.function))
    };
    let mut branches: Vec<(String, u64)> = Vec::new();
    for branch in at.awaiting.iter().map(leaf) {
        match branches.iter_mut().find(|(known, _)| *known == branch) {
            Some((_, times)) => *times += 1,
            None => branches.push((branch, 1)),
        }
    }
    let more: u64 = branches.iter().skip(REASONS).map(|(_, times)| times).sum::<u64>() + u64::from(at.more);
    let times = |(branch, times): (String, u64)| match times {
        1 => branch,
        _ => format!("{} × {branch}", count(times)),
    };
    let mut words: Vec<_> = branches.into_iter().take(REASONS).map(times).collect();
    words.extend((more > 0).then(|| format!("{} more", count(more))));
    text + "{ " + &words.join(" | ") + " }"
}

/// Guards and permits that the task keeps; ends of channels hold nobody up by being there.
fn holds(holds: &[Hold], input: &CardInput) -> Vec<String> {
    let words = |hold: &Hold| {
        let how = match hold.role {
            HoldRole::Shared => " for reading".to_owned(),
            HoldRole::Permits(n) => format!(", {}", counted(n.into(), "permit")),
            _ => String::new(),
        };
        let since = hold.acquired_at.as_ref().map(|line| format!(" since {}", input.places.show(line)));
        let possibly = if hold.certainty == Certainty::Possible { "possibly " } else { "" };
        let (kind, since) = (hold.kind.as_str(), since.unwrap_or_default());
        format!("{possibly}{kind} {}{how}{since} ({})", hold.address, escape(&hold.local))
    };
    holds.iter().filter(|hold| hold.role.is_guard()).take(HOLDS).map(words).collect()
}

/// `by task #3, 2.1 s ago; 17 wakes, polled 12 µs later on average, 40 µs at most`.
fn woken(entry: &TaskEntry, input: &CardInput) -> Option<String> {
    let (t_ns, by) = entry.wakes.last?;
    let ago = input.now_ns.map(|now| format!(", {} ago", span(now.saturating_sub(t_ns))));
    let delays = entry.wakes.delays;
    let waited = delays
        .mean_ns()
        .map(|mean| format!(", polled {} later on average, {} at most", span(mean), span(delays.max_ns)));
    let times = counted(entry.wakes.count, "wake");
    let (ago, waited) = (ago.unwrap_or_default(), waited.unwrap_or_default());
    Some(format!("by {}{ago}; {times}{waited}", names::doer(by)))
}

fn status(input: &CardInput) -> String {
    let Some(entry) = input.entry else {
        return match input.task {
            Some(task) if task.stale => format!("{}, read while it ran", phase_word(task.state.into())),
            Some(task) => phase_word(task.state.into()).into(),
            None => String::new(),
        };
    };
    let mut words = match input.now_ns.and_then(|now| entry.idle_for(now)) {
        Some(idle) => format!("idle {}", known_span(idle)),
        None => phase_word(entry.phase).to_owned(),
    };
    if let Some(polls) = entry.polls {
        words += &format!(", {}", counted(polls, "poll"));
        if entry.born.known == Known::AtLeast {
            words += " since we look";
        }
    }
    let alone = input.busy.filter(|_| entry.polls.is_none());
    if let Some(busy) = alone {
        words += &format!(", busy {}", samples::length(busy));
    } else if let Some(busy) = entry.busy_ns.filter(|_| entry.polls != Some(entry.unmeasured)) {
        let at_least = if entry.unmeasured > 0 { ">" } else { "" };
        let off_cpu = entry.off_cpu.map_or(0, OffCpu::sum_ns);
        words += &format!(", busy {at_least}{}", span(busy.saturating_sub(off_cpu)));
        if off_cpu >= WORTH_TELLING {
            words += &format!(", off CPU {}", span(off_cpu));
        }
    }
    if let Some(busy) = input.busy.filter(|busy| alone.is_none() && busy.looks > 0) {
        words += &format!(", and {} while the probes were out", samples::length(busy));
    }
    words
}

/// tokio-console's words for a task's state.
pub fn phase_word(phase: TaskPhase) -> &'static str {
    match phase {
        TaskPhase::Running => "running",
        TaskPhase::Scheduled => "scheduled",
        TaskPhase::Idle => "idle",
        TaskPhase::Ended(Ending::Complete) => "completed",
        TaskPhase::Ended(Ending::Cancelled) => "cancelled",
        TaskPhase::Ended(Ending::Panicked) => "panicked",
        TaskPhase::Ended(Ending::Unseen) => "gone",
        TaskPhase::Unknown => "-",
    }
}

/// `start → api.rs:155 (0.4 ms) → api.rs:156 (2.3 s, now)`.
fn history(entry: &TaskEntry, input: &CardInput) -> String {
    let end = entry.ended_ns.or(input.now_ns).unwrap_or_default();
    let mut steps: Vec<String> = Vec::new();
    // Consecutive paths of one place are one step to a reader.
    let stops: Vec<&Stop> = entry.history.iter().collect();
    let runs: Vec<&[&Stop]> = stops.chunk_by(|a, b| a.path.place == b.path.place).collect();
    let skipped = runs.len().saturating_sub(STEPS);
    if entry.history_cut || skipped > 0 {
        steps.push("…".into());
    }
    for (i, run) in runs.iter().enumerate().skip(skipped) {
        let Some(first) = run.first() else { continue };
        let left = runs.get(i + 1).and_then(|next| next.first()).map(|stop| stop.since);
        let ns = left.map_or(end, |since| since.t_ns).saturating_sub(first.since.t_ns);
        let Some(place) = first.path.place else {
            steps.push("start".into());
            continue;
        };
        let known = match (first.since.known, left.map(|since| since.known)) {
            (Known::Exact, Some(Known::About)) => Known::About,
            (known, _) => known,
        };
        let now = if left.is_none() && !entry.has_ended() { ", now" } else { "" };
        steps.push(format!("{} ({}{now})", short_place(place, input), known_span((ns, known))));
    }
    if entry.has_ended() {
        steps.push(phase_word(entry.phase).into());
    }
    steps.join(" → ")
}

/// `api.rs:155`: the file's name is enough where the row above has the path.
fn short_place(place: FrameId, input: &CardInput) -> String {
    let frame = input.frames.get(place);
    match &frame.line {
        Some(line) => {
            let shown = input.places.show(line);
            shown.rsplit('/').next().unwrap_or(&shown).to_owned()
        }
        None => names::short(&frame.function),
    }
}

/// The card and, below it, the whole await tree.
pub fn write_with_tree(out: &mut impl Write, input: CardInput, paint: Paint) -> io::Result<()> {
    card(input).write(out, paint)?;
    let Some(tree) = input.task.and_then(|task| task.tree.as_ref()) else { return Ok(()) };
    let title = if has_moved(&input) { "await tree, before its last move" } else { "await tree" };
    writeln!(out, "\n  {}", paint.dim(title))?;
    let (lines, _) = tree::lines(tree, input.frames, input.places);
    tree::write(out, &lines, paint)
}

#[cfg(test)]
#[path = "card_tests.rs"]
mod tests;
