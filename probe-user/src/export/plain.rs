//! `attach --plain`: one readable line per transition, a table now and then, a summary at the end.

use crate::analysis::{Diagnosis, Finding};
use crate::decode::{FrameId, RuntimeKind, TaskId};
use crate::model::{AwaitPath, End, Ending, Event, Mode, Model, TaskPhase};
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
/// Rows of the table.
const ROWS: usize = 12;
const NAME_WIDTH: usize = 44;

pub struct Plain<W> {
    pub(super) out: W,
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

    pub fn event(&mut self, event: &Event, model: &Model) -> io::Result<()> {
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
        if silent || !urgent && !self.within_budget(event.t_ns())? {
            return Ok(());
        }
        let (task, what) = self.words(event, model);
        let time = self.time(event.t_ns());
        let Some(task) = task else {
            return writeln!(self.out, "{}  {}", self.paint.dim(time), self.paint.warn(what));
        };
        let name = model.get(task).map_or_else(String::new, |task| names::short(&task.name));
        let who = format!("#{} {name}", task.id);
        writeln!(self.out, "{}  {}  {what}", self.paint.dim(time), self.paint.name(who))
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
        self.say_left_out()?;
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
        writeln!(self.out, "{}  {}", self.paint.dim(self.time(now)), self.paint.bold(head))?;
        self.tables += 1;
        if rows.is_empty() {
            return self.out.flush();
        }
        if self.tables == 1 {
            return self.first_rows(&rows, model);
        }
        let titles = format!(
            "{:>9} {:>9} {:>9} {:>9}  {:<NAME_WIDTH$}  LOCATION",
            "TASKS", "POLLS", "BUSY", "IDLE", "NAME"
        );
        writeln!(self.out, "{}", self.paint.dim(titles))?;
        for row in rows.iter().take(ROWS) {
            let busy = row.busy_ns.map(|ns| busy_span(ns, model.mode()));
            let polls = row.polls.map(count);
            let idle = row.longest_idle.map(known_span);
            let name = names::fit(&row.name, NAME_WIDTH);
            let place = row.place.map(|place| self.frame_place(place, model));
            writeln!(
                self.out,
                "{:>9} {:>9} {:>9} {:>9}  {name:<NAME_WIDTH$}  {}",
                count(row.tasks),
                or_dash(polls),
                or_dash(busy),
                or_dash(idle),
                or_dash(place)
            )?;
        }
        self.left_over(&rows, 32)?;
        self.out.flush()
    }

    /// When nothing has been counted yet: who is where.
    fn first_rows(&mut self, rows: &[table::PlaceRow], model: &Model) -> io::Result<()> {
        let titles = format!("{:>9}  {:<NAME_WIDTH$}  LOCATION", "TASKS", "NAME");
        writeln!(self.out, "{}", self.paint.dim(titles))?;
        for row in rows.iter().take(ROWS) {
            let name = names::fit(&row.name, NAME_WIDTH);
            let place = or_dash(row.place.map(|place| self.frame_place(place, model)));
            writeln!(self.out, "{:>9}  {name:<NAME_WIDTH$}  {place}", count(row.tasks))?;
        }
        self.left_over(rows, 0)?;
        self.out.flush()
    }

    /// How many rows are not shown; `columns`: the width of those between.
    fn left_over(&mut self, rows: &[table::PlaceRow], columns: usize) -> io::Result<()> {
        if rows.len() <= ROWS {
            return Ok(());
        }
        let rest: u64 = rows[ROWS..].iter().map(|row| row.tasks).sum();
        let more = counted((rows.len() - ROWS) as u64, "place");
        writeln!(self.out, "{:>9} {:>columns$}  at {more} more", count(rest), "")
    }

    /// CLOCK_MONOTONIC ns of the last table.
    pub fn last_table_ns(&self) -> u64 {
        self.table_ns
    }

    pub fn note(&mut self, t_ns: u64, text: &str) -> io::Result<()> {
        let text = crate::present::escape::escape(text);
        writeln!(self.out, "{}  {}", self.paint.dim(self.time(t_ns)), self.paint.warn(text))
    }

    /// In a line when it is found; [`Plain::findings`] says all at the end.
    pub fn finding(&mut self, finding: &Finding, model: &Model) -> io::Result<()> {
        let time = self.time(model.now_ns());
        let words = findings::line(finding, self.places(model));
        writeln!(self.out, "{}  {}", self.paint.dim(time), self.paint.warn(words))
    }

    pub fn findings(&mut self, diagnosis: &Diagnosis) -> io::Result<()> {
        for finding in diagnosis.findings() {
            writeln!(self.out)?;
            findings::write(&mut self.out, finding, &self.places, self.paint)?;
        }
        self.out.flush()
    }

    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    pub fn end(&mut self, t_ns: u64, end: &End, model: &Model) -> io::Result<()> {
        self.say_left_out()?;
        writeln!(self.out)?;
        summary(&mut self.out, t_ns.saturating_sub(self.started_ns), end, model, self.paint)?;
        self.busiest_tasks(model)?;
        self.slowest_kinds(model)?;
        self.longest_running_places(model)?;
        self.busiest_places(model)?;
        self.out.flush()
    }

    fn within_budget(&mut self, t_ns: u64) -> io::Result<bool> {
        let second = t_ns.saturating_sub(self.started_ns) / 1_000_000_000;
        if second != self.second {
            self.say_left_out()?;
            self.second = second;
            self.lines = 0;
        }
        self.lines += 1;
        let within = self.lines <= LINES_PER_SECOND;
        self.left_out += u64::from(!within);
        Ok(within)
    }

    fn say_left_out(&mut self) -> io::Result<()> {
        let n = std::mem::take(&mut self.left_out);
        if n == 0 {
            return Ok(());
        }
        let text = format!("… {} in this second (--json gives each)", counted(n, "more change"));
        writeln!(self.out, "           {}", self.paint.dim(text))
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

/// What was seen from beginning to end.
pub fn summary(
    out: &mut impl Write,
    watched_ns: u64,
    end: &End,
    model: &Model,
    paint: Paint,
) -> io::Result<()> {
    let totals = model.totals();
    let why = match end {
        End::TargetExited { status: Some(status) } => format!("the target ended ({status})"),
        End::TargetExited { status: None } => "the target ended".into(),
        End::Execed => "the target exec'ed and is another program now".into(),
        End::Duration => "time is up".into(),
        End::Interrupted => "interrupted".into(),
        End::Failed(why) => crate::present::escape::escape(why).into_owned(),
    };
    writeln!(out, "{}", paint.bold(format!("watched for {}; {why}", span(watched_ns))))?;
    let mut tasks = format!(
        "  tasks      {} seen, {} of them there before; {} spawned, ",
        count(totals.tasks_seen),
        count(totals.existing),
        count(totals.spawned),
    );
    tasks += &match model.mode() {
        // No end of a poll is seen.
        Mode::EntryOnly if totals.completed == 0 => "completed: unknown".into(),
        _ => format!("{} completed", count(totals.completed)),
    };
    for (n, word) in
        [(totals.cancelled, "cancelled"), (totals.panicked, "panicked"), (totals.gone, "gone unseen")]
    {
        if n > 0 {
            tasks += &format!(", {} {word}", count(n));
        }
    }
    let roots =
        model.tasks().filter(|task| task.id.runtime == RuntimeKind::BlockOn && !task.has_ended()).count();
    if roots > 0 {
        tasks += &format!("; beside them {} in block_on", counted(roots as u64, "future"));
    }
    writeln!(out, "{tasks}")?;
    let least = if totals.lost > 0 { "at least " } else { "" };
    let polls = match totals.polls {
        Some(polls) => format!("{least}{}", count(polls)),
        None if model.mode().samples() => "unknown (looks do not count them)".into(),
        None => "unknown (snapshots do not see them)".into(),
    };
    let busy = totals.busy_ns.map(|ns| format!(", busy {}", busy_span(ns, model.mode()))).unwrap_or_default();
    let off_cpu = totals.off_cpu.filter(|off_cpu| off_cpu.sum_ns() > 0).map(|off_cpu| {
        format!(" ({} of it off CPU, {} asleep)", span(off_cpu.sum_ns()), span(off_cpu.blocked_ns))
    });
    writeln!(out, "  polls      {polls}{busy}{}", off_cpu.unwrap_or_default())?;
    if let Some(looks) = model.looks() {
        writeln!(out, "  looks      {}", samples::looks(looks))?;
        if !model.mode().samples() {
            let (busy, of) = (samples::about(looks.busy_ns), span(looks.span_ns()));
            writeln!(out, "             while the probes were out: tasks were busy for {busy} in {of}")?;
        }
    }
    if let Some(wakes) = totals.wakes {
        let delays = totals.delays;
        let mean = delays.mean_ns().map(|mean| {
            let (mean, max) = (span(mean), span(delays.max_ns));
            format!(", polled {mean} later on average, {max} at most")
        });
        writeln!(out, "  wakes      {least}{}{}", count(wakes), mean.unwrap_or_default())?;
    }
    writeln!(out, "  moves      {least}{} from one await to another", count(totals.transitions))?;
    if totals.lost > 0 {
        writeln!(out, "  {}       {}", paint.warn("lost"), counted(totals.lost, "event"))?;
    } else if totals.polls.is_some() {
        let until = if matches!(end, End::Failed(_)) { ", up to there" } else { "" };
        writeln!(out, "  lost       nothing{until}")?;
    }
    if let Some(cost) = model.cost() {
        let own = cost.own_ns.map(|ns| format!("we {} of CPU time", span(ns)));
        let words: Vec<_> = [cost::words(cost, watched_ns), own].into_iter().flatten().collect();
        writeln!(out, "  cost       {}", words.join("; "))?;
    }
    if totals.not_kept > 0 {
        writeln!(out, "  not kept   {}: the table was full", counted(totals.not_kept, "task"))?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "plain_tests.rs"]
mod tests;
