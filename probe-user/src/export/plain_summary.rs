//! What was seen from beginning to end.

use super::text::{too_old, unseen_tasks};
use crate::decode::RuntimeKind;
use crate::model::{End, Mode, Model};
use crate::present::cost;
use crate::present::paint::Paint;
use crate::present::samples::{self, busy_span};
use crate::present::units::{count, counted, span};
use std::io::{self, Write};

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
        End::Left => "you left".into(),
        End::Failed(why) => crate::present::escape::escape(why).into_owned(),
    };
    writeln!(out, "{}", paint.bold(format!("watched for {}; {why}", span(watched_ns))))?;
    // Polls of tasks that cannot be told apart are counted by their kind alone.
    let unseen = totals.tasks_seen == 0 && model.snapshot().and_then(unseen_tasks).is_some();
    let mut tasks = if unseen { format!("not known ({})", too_old()) } else { seen(model) };
    let roots =
        model.tasks().filter(|task| task.id.runtime == RuntimeKind::BlockOn && !task.has_ended()).count();
    if roots > 0 {
        tasks += &format!("; beside them {} in block_on", counted(roots as u64, "future"));
    }
    writeln!(out, "  tasks      {tasks}")?;
    if unseen && totals.polls.is_some() {
        of_kinds(out, model)?;
    } else {
        of_tasks(out, model)?;
    }
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

fn seen(model: &Model) -> String {
    let totals = model.totals();
    let mut words = format!(
        "{} seen, {} of them there before; {} spawned, ",
        count(totals.tasks_seen),
        count(totals.existing),
        count(totals.spawned),
    );
    words += &match model.mode() {
        // No end of a poll is seen.
        Mode::EntryOnly if totals.completed == 0 => "completed: unknown".into(),
        _ => format!("{} completed", count(totals.completed)),
    };
    for (n, word) in
        [(totals.cancelled, "cancelled"), (totals.panicked, "panicked"), (totals.gone, "gone unseen")]
    {
        if n > 0 {
            words += &format!(", {} {word}", count(n));
        }
    }
    words
}

/// What polls of tasks that cannot be told apart add up to.
fn of_kinds(out: &mut impl Write, model: &Model) -> io::Result<()> {
    let kinds = model.kind_times();
    let polls: u64 = kinds.iter().map(|kind| kind.polls.count()).sum();
    let busy = kinds.iter().fold(0_u64, |sum, kind| sum.saturating_add(kind.polls.sum_ns));
    let polls = count(polls);
    writeln!(
        out,
        "  polls      {polls}, busy {}, of tasks that cannot be told apart",
        busy_span(busy, model.mode())
    )
}

fn of_tasks(out: &mut impl Write, model: &Model) -> io::Result<()> {
    let totals = model.totals();
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
    Ok(())
}
