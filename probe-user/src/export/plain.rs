//! `attach --plain`: one readable line per transition, a table now and then, a summary at the end.

use super::plain_held::Held;
use super::plain_summary::summary;
use crate::analysis::{Diagnosis, Finding};
use crate::decode::{FrameId, TaskId};
use crate::model::{AwaitPath, End, Ending, Event, Model, TaskPhase};
use crate::present::card::phase_word;
use crate::present::cost;
use crate::present::findings;
use crate::present::long_polls;
use crate::present::names;
use crate::present::paint::Paint;
use crate::present::places::Places;
use crate::present::samples::{self, busy_span};
use crate::present::table;
use crate::present::units::{count, counted, known_span, or_dash, span};
use std::io::{self, Write};
use std::sync::Arc;

/// Lines per second a person may still follow; the rest is counted.
const LINES_PER_SECOND: u32 = 40;
/// What snapshots tell comes before what the trace tells of the time before them: for so long a line waits for older ones, ns.
const HOLD_NS: u64 = 300_000_000;
/// Rows of the table.
const ROWS: usize = 12;
const NAME_WIDTH: usize = 44;

pub struct Plain<W> {
    pub(super) out: W,
    held: Held,
    paint: Paint,
    started_ns: u64,
    places: Places,
    frames_known: usize,
    second: u64,
    lines: u32,
    left_out: u64,
    table_ns: u64,
    tables: u64,
    polls: Option<u64>,
}

impl<W: Write> Plain<W> {
    pub fn new(out: W, paint: Paint, started_ns: u64) -> Plain<W> {
        Plain {
            out,
            held: Held::default(),
            paint,
            started_ns,
            places: Places::default(),
            frames_known: 0,
            second: 0,
            lines: 0,
            left_out: 0,
            table_ns: started_ns,
            tables: 0,
            polls: None,
        }
    }

    pub fn event(&mut self, event: &Event, model: &Model) {
        // Those that were there already are in the first table; polls are in every table.
        let silent = matches!(
            event,
            Event::Poll { .. }
                | Event::Spawn { existing: true, .. }
                | Event::Budget { .. }
                | Event::Looked { .. }
                | Event::Sampled { .. }
                | Event::Wake { .. }
                | Event::Delays { .. }
                | Event::Timed { .. }
        );
        // There are few of them, and one does not want to miss any.
        let urgent = matches!(event, Event::LongPoll { .. });
        if silent || self.is_told(event) || !urgent && !self.within_budget(event.t_ns()) {
            return;
        }
        let (task, what) = self.words(event, model);
        let time = self.time(event.t_ns());
        let Some(task) = task else {
            let line = format!("{}  {}\n", self.paint.dim(time), self.paint.warn(what));
            return self.held.push(event.t_ns(), line);
        };
        let name = model.get(task).map_or_else(String::new, |task| names::short(&task.name));
        let who = format!("#{} {name}", task.id);
        let line = format!("{}  {}  {what}\n", self.paint.dim(time), self.paint.name(who));
        self.held.push_of(task, matches!(event, Event::Spawn { about: true, .. }), event.t_ns(), line);
    }

    /// The trace tells of a spawn that a snapshot has told of: once is enough. What it knows better goes into the line that
    /// still waits.
    fn is_told(&mut self, event: &Event) -> bool {
        matches!(event, Event::Parent { task, .. } if !self.held.forget_spawn(*task))
    }

    /// Whom a line is about, and what it says.
    fn words(&mut self, event: &Event, model: &Model) -> (Option<TaskId>, String) {
        match event {
            Event::Poll { task, count: n, .. } => (Some(*task), counted(*n, "poll")),
            Event::Sampled { task, busy_ns, .. } => {
                (Some(*task), format!("ran for about {}", span(*busy_ns)))
            }
            Event::Looked { looks, .. } => (None, counted(u64::from(*looks), "look")),
            Event::Spawn { task, parent, about, .. } => match parent {
                Some(parent) => (Some(*task), format!("spawned by {}", names::doer(*parent))),
                None if *about => (Some(*task), "spawned since the last snapshot".into()),
                None => (Some(*task), "spawned".into()),
            },
            Event::Parent { task, parent, .. } => {
                (Some(*task), format!("spawned by {}", names::doer(*parent)))
            }
            Event::State { task, from, to, .. } => {
                let old = from.as_ref();
                let from = old.map_or("?".into(), |from| self.place(from, model));
                let here = self.place(to, model);
                (Some(*task), moved(&from, &here, (old, to), model))
            }
            Event::Ended { task, how, at, .. } => {
                let at = at.as_ref().filter(|_| *how != Ending::Complete).and_then(|at| at.place);
                let at = at.map_or(String::new(), |at| format!(" at {}", self.frame_place(at, model)));
                (Some(*task), ended(*task, *how, model) + &at)
            }
            Event::LongPoll { t_ns, task, poll, .. } => {
                (Some(*task), long_polls::words_at(poll, *t_ns, self.places(model)))
            }
            Event::Wake { task, by, .. } => (Some(*task), format!("woken by {}", names::doer(*by))),
            Event::Delays { task, count: n, .. } => (Some(*task), counted(*n, "delay")),
            Event::Timed { of, .. } => {
                (None, format!("{} of {}", counted(of.polls.count(), "poll"), names::short(&of.name)))
            }
            Event::Budget { probes_in, .. } => {
                (None, if *probes_in { "the probes are in again" } else { "the probes are out" }.into())
            }
            Event::Lost { count: n, .. } => {
                (None, format!("{} lost: counts from here on are lower bounds", counted(*n, "event")))
            }
        }
    }

    /// Living tasks by name and place, most numerous first.
    pub fn table(&mut self, model: &Model) -> io::Result<()> {
        let mut text = Vec::new();
        self.write_table(&mut text, model)?;
        self.held.push(model.now_ns(), String::from_utf8_lossy(&text).into_owned());
        // Who is there is told at once.
        if self.tables == 1 { self.release(u64::MAX) } else { Ok(()) }
    }

    fn write_table(&mut self, out: &mut Vec<u8>, model: &Model) -> io::Result<()> {
        self.say_left_out();
        let now = model.now_ns();
        let rows = table::by_place(model);
        let totals = model.totals();
        let per_second = self.polls.zip(totals.polls).map(|(before, polls)| {
            let ns = now.saturating_sub(self.table_ns).max(1);
            let rate = u128::from(polls - before) * 1_000_000_000 / u128::from(ns);
            format!(", {} polls/s", count(rate as u64))
        });
        self.table_ns = now;
        self.polls = totals.polls;
        let mut head = counted(model.live_count() as u64, "task");
        let phases = table::phases(model).words();
        if !phases.is_empty() {
            head += &format!(": {phases}");
        }
        head += &per_second.unwrap_or_default();
        if totals.lost > 0 {
            head += &format!(", {} lost", counted(totals.lost, "event"));
        }
        let watched_ns = now.saturating_sub(self.started_ns);
        if let Some(words) = model.cost().and_then(|cost| cost::words(cost, watched_ns)) {
            head += &format!(", {words}");
        }
        if let Some(words) = samples::meanwhile(model) {
            head += &format!("; {words}");
        }
        writeln!(out, "{}  {}", self.paint.dim(self.time(now)), self.paint.bold(head))?;
        self.tables += 1;
        if rows.is_empty() {
            return Ok(());
        }
        if self.tables == 1 {
            return self.first_rows(out, &rows, model);
        }
        let titles = format!(
            "{:>9} {:>9} {:>9} {:>9}  {:<NAME_WIDTH$}  LOCATION",
            "TASKS", "POLLS", "BUSY", "IDLE", "NAME"
        );
        writeln!(out, "{}", self.paint.dim(titles))?;
        for row in rows.iter().take(ROWS) {
            let busy = row.busy_ns.map(|ns| busy_span(ns, model.mode()));
            let polls = row.polls.map(count);
            let idle = row.longest_idle.map(known_span);
            let name = names::column(&row.name, NAME_WIDTH);
            let place = row.place.map(|place| self.frame_place(place, model));
            writeln!(
                out,
                "{:>9} {:>9} {:>9} {:>9}  {name:<NAME_WIDTH$}  {}",
                count(row.tasks),
                or_dash(polls),
                or_dash(busy),
                or_dash(idle),
                or_dash(place)
            )?;
        }
        left_over(out, &rows, 32)?;
        Ok(())
    }

    /// When nothing has been counted yet: who is where.
    fn first_rows(&mut self, out: &mut Vec<u8>, rows: &[table::PlaceRow], model: &Model) -> io::Result<()> {
        let titles = format!("{:>9}  {:<NAME_WIDTH$}  LOCATION", "TASKS", "NAME");
        writeln!(out, "{}", self.paint.dim(titles))?;
        for row in rows.iter().take(ROWS) {
            let name = names::column(&row.name, NAME_WIDTH);
            let place = or_dash(row.place.map(|place| self.frame_place(place, model)));
            writeln!(out, "{:>9}  {name:<NAME_WIDTH$}  {place}", count(row.tasks))?;
        }
        left_over(out, rows, 0)?;
        Ok(())
    }

    /// CLOCK_MONOTONIC ns of the last table.
    pub fn last_table_ns(&self) -> u64 {
        self.table_ns
    }

    pub fn note(&mut self, t_ns: u64, text: &str) {
        let text = crate::present::escape::escape(text);
        let line = format!("{}  {}\n", self.paint.dim(self.time(t_ns)), self.paint.warn(text));
        self.held.push(t_ns, line);
    }

    /// In a line when it is found; [`Plain::findings`] says all at the end.
    pub fn finding(&mut self, finding: &Finding, model: &Model) {
        let time = self.time(model.now_ns());
        let words = findings::line(finding, self.places(model));
        let line = format!("{}  {}\n", self.paint.dim(time), self.paint.warn(words));
        self.held.push(model.now_ns(), line);
    }

    pub fn findings(&mut self, diagnosis: &Diagnosis) -> io::Result<()> {
        for finding in diagnosis.findings() {
            writeln!(self.out)?;
            findings::write(&mut self.out, finding, &self.places, self.paint)?;
        }
        self.out.flush()
    }

    /// Writes what nothing older can follow any more. `now_ns`: CLOCK_MONOTONIC.
    pub fn flush(&mut self, now_ns: u64) -> io::Result<()> {
        self.release(now_ns.saturating_sub(HOLD_NS))
    }

    fn release(&mut self, until_ns: u64) -> io::Result<()> {
        for line in self.held.until(until_ns) {
            self.out.write_all(line.as_bytes())?;
        }
        self.out.flush()
    }

    pub fn end(&mut self, t_ns: u64, end: &End, model: &Model) -> io::Result<()> {
        self.say_left_out();
        self.release(u64::MAX)?;
        writeln!(self.out)?;
        summary(&mut self.out, t_ns.saturating_sub(self.started_ns), end, model, self.paint)?;
        self.busiest_tasks(model)?;
        self.slowest_kinds(model)?;
        self.longest_running_places(model)?;
        self.busiest_places(model)?;
        self.out.flush()
    }

    fn within_budget(&mut self, t_ns: u64) -> bool {
        let second = t_ns.saturating_sub(self.started_ns) / 1_000_000_000;
        // What comes late counts to the second that it comes in.
        if second > self.second {
            self.say_left_out();
            self.second = second;
            self.lines = 0;
        }
        self.lines += 1;
        let within = self.lines <= LINES_PER_SECOND;
        self.left_out += u64::from(!within);
        within
    }

    fn say_left_out(&mut self) {
        let n = std::mem::take(&mut self.left_out);
        if n == 0 {
            return;
        }
        let text = format!("… {} in this second (--json gives each)", counted(n, "more change"));
        let until_ns = self.started_ns.saturating_add((self.second + 1).saturating_mul(1_000_000_000));
        self.held.push(until_ns - 1, format!("           {}\n", self.paint.dim(text)));
    }

    /// Seconds since watching began, right-aligned.
    fn time(&self, t_ns: u64) -> String {
        let ms = t_ns.saturating_sub(self.started_ns) / 1_000_000;
        format!("{:>5}.{:03} s", ms / 1000, ms % 1000)
    }

    fn place(&mut self, path: &AwaitPath, model: &Model) -> String {
        match path.place {
            Some(place) => self.frame_place(place, model),
            None => "start".into(),
        }
    }

    pub(super) fn frame_place(&mut self, place: FrameId, model: &Model) -> String {
        let frame = model.frames().get(place);
        let places = self.places(model);
        frame.line.as_ref().map_or_else(|| "-".into(), |line| places.show(line))
    }

    fn places(&mut self, model: &Model) -> &Places {
        let known = model.frames().len();
        if known != self.frames_known {
            self.places = Places::of(model.frames());
            self.frames_known = known;
        }
        &self.places
    }
}

/// How many rows are not shown; `columns`: the width of those between.
fn left_over(out: &mut Vec<u8>, rows: &[table::PlaceRow], columns: usize) -> io::Result<()> {
    if rows.len() <= ROWS {
        return Ok(());
    }
    let rest: u64 = rows[ROWS..].iter().map(|row| row.tasks).sum();
    let more = counted((rows.len() - ROWS) as u64, "place");
    writeln!(out, "{:>9} {:>columns$}  at {more} more", count(rest), "")
}

/// From one line to another; within one line, what is awaited there before and after.
fn moved(from: &str, here: &str, (old, to): (Option<&Arc<AwaitPath>>, &AwaitPath), model: &Model) -> String {
    if from != here {
        return format!("{from} → {here}");
    }
    let leaves = (old.map_or_else(String::new, |old| leaf(old, model)), leaf(to, model));
    if leaves.0 != leaves.1 {
        return format!("{here}: {} → {}", leaves.0, leaves.1);
    }
    let points = (old.map_or_else(String::new, |old| points(old, model)), points(to, model));
    format!("{here}: {}, await {} → await {}", leaves.1, points.0, points.1)
}

/// Which of each function's awaits, outermost first: `0.2.1`.
fn points(path: &AwaitPath, model: &Model) -> String {
    let points = path.frames.iter().filter_map(|id| model.frames().get(*id).suspend_point);
    points.map(|point| point.to_string()).collect::<Vec<_>>().join(".")
}

fn leaf(path: &AwaitPath, model: &Model) -> String {
    let last = path.frames.last().map(|id| model.frames().get(*id));
    last.map_or_else(String::new, |frame| names::short(&frame.function))
}

fn ended(id: TaskId, how: Ending, model: &Model) -> String {
    let mut words = phase_word(TaskPhase::Ended(how)).to_owned();
    let Some(task) = model.get(id) else { return words };
    words += &format!(" after {}", known_span(task.age(model.now_ns())));
    if let Some(polls) = task.polls {
        words += &format!(", {}", counted(polls, "poll"));
    }
    if let Some(busy) = task.busy_ns.filter(|_| task.unmeasured == 0) {
        words += &format!(", busy {}", busy_span(busy, model.mode()));
    }
    words
}

#[cfg(test)]
#[path = "plain_tests.rs"]
mod tests;
