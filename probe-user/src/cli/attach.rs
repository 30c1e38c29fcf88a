//! `attach`: a target live, on a screen, as lines of text, or as JSON.

use super::args::{AttachArgs, Common};
use super::child::{self, Keep};
use super::feed::Feed;
use super::output::{self, ProgressLine, Quit, Say};
use super::source::TraceOptions;
use super::watch::{self, Begun, Updates, WatchOptions};
use super::{Exit, Failure, live};
use crate::analysis::Lookout;
use crate::export::plain::Plain;
use crate::export::stream::Stream;
use crate::export::text::unseen_tasks;
use crate::model::{Aside, End, Event, Limits, Mode, Model};
use crate::present::paint::Paint;
use crate::present::source::SourceFiles;
use crate::tui;
use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// How long to wait for an update before looking at the clock.
const WAIT: Duration = Duration::from_millis(100);
/// Between two tables of `--plain`, ns.
const TABLE_NS: u64 = 5_000_000_000;

/// What to watch, and how.
pub(super) struct Wanted<'a> {
    pub target: Option<&'a str>,
    /// Started first, where there is one.
    pub command: &'a [OsString],
    /// Where its output goes.
    pub keep: Keep,
    pub trace: TraceOptions,
    /// Looks a second, instead of probes.
    pub sample: Option<u32>,
    pub interval: Option<Duration>,
    pub duration: Option<Duration>,
}

/// A watch that has begun.
pub(super) struct Watch {
    pub begun: Begun,
    pub updates: Updates,
    /// The command, if we started one.
    pub child: Option<u32>,
}

pub fn run(args: &AttachArgs, common: &Common, stop: Arc<AtomicBool>) -> Result<Exit, Quit> {
    let say = Say::new(common);
    let screen = !args.plain && !args.json && is_screen();
    let wanted = Wanted {
        target: args.target.as_deref(),
        command: &args.command,
        keep: if screen { Keep::File } else { Keep::Stderr },
        trace: args.probes.options(),
        sample: args.probes.sample,
        interval: args.interval,
        duration: args.duration,
    };
    let Some(watch) = begin(&wanted, common, stop, &say)? else { return Ok(Exit::Fine) };
    let Watch { begun, mut updates, child } = watch;
    let end = if screen {
        on_screen(begun, &mut updates, common)?
    } else if args.json {
        json(output::stdout(), begun, &mut updates, &say, args.probes.each_wake())?
    } else {
        let paint = output::paint(common, io::stdout().is_terminal());
        plain(output::stdout(), begun, &mut updates, paint)?
    };
    // On the screen Ctrl-C is a key, and reaches us alone.
    let left = matches!(end, End::Duration | End::Left);
    if let Some(pid) = child.filter(|_| left) {
        say.note(&format!("process {pid} goes on running"));
    }
    finish(end)
}

/// Whether there is a terminal for a screen and its keys.
pub(super) fn is_screen() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// Starts the command if there is one, and watches. `None`: interrupted before it was ready.
pub(super) fn begin(
    wanted: &Wanted<'_>,
    common: &Common,
    stop: Arc<AtomicBool>,
    say: &Say,
) -> Result<Option<Watch>, Quit> {
    let Wanted { target, command, keep, trace, sample, interval, duration } = *wanted;
    let started = if command.is_empty() { None } else { Some(child::start(command, keep)?) };
    let (child, child_output) = started.map_or((None, None), |s| (Some(s.child), s.output));
    let child_pid = child.as_ref().map(std::process::Child::id);
    let target =
        child_pid.map(|pid| pid.to_string()).or_else(|| target.map(str::to_owned)).unwrap_or_default();
    if let Some(path) = &child_output {
        say.note(&format!("the command's output goes to {}", path.display()));
    }
    let open_options = common.open_options();
    let progress = ProgressLine::new(common);
    let open = move || {
        let source = match sample {
            None => live::open_to_trace(&target, &open_options, trace, &progress),
            Some(_) => live::open(&target, &open_options, &progress),
        };
        progress.done();
        source
    };
    match watch::begin(open, WatchOptions { trace, sample, interval, duration, stop, child }) {
        Ok(None) => Ok(None),
        Ok(Some((begun, updates))) => {
            if let Some(failure) = &begun.fallen_back {
                say.warn(&fallback(failure, sample.is_some()));
            }
            tell_unseen(&begun, say);
            Ok(Some(Watch { begun, updates, child: child_pid }))
        }
        Err(failure) => {
            if let Some(pid) = child_pid.filter(|_| failure.exit != Exit::NoTarget) {
                say.note(&format!("process {pid} goes on running"));
            }
            Err(failure.into())
        }
    }
}

/// What these views cannot show of a target, where that is most of it; and what was named and does not help.
pub(super) fn tell_unseen(begun: &Begun, say: &Say) {
    let Some(first) = &begun.first else { return };
    unseen_tasks(first).into_iter().for_each(|words| say.warn(&words));
    first.coverage.issues.iter().for_each(|issue| say.warn(issue));
}

fn fallback(failure: &Failure, sampling: bool) -> String {
    if sampling {
        return format!("no looks ({}: {}): taking snapshots instead", failure.tried, failure.why);
    }
    let next = failure.next.lines().next().unwrap_or_default();
    // On a kernel that is too old the next command is another way to look at it.
    let leads_to_probes = !next.is_empty() && failure.exit != Exit::Kernel;
    let hint = if leads_to_probes { format!(" (for probes: {next})") } else { String::new() };
    format!(
        "no probes ({}: {}): taking snapshots instead; states and places are seen as far as its debug information goes, \
         single polls are not{hint}",
        failure.tried, failure.why
    )
}

pub(super) fn finish(end: End) -> Result<Exit, Quit> {
    match end {
        End::TargetExited { .. } | End::Execed | End::Duration | End::Interrupted | End::Left => {
            Ok(Exit::Fine)
        }
        End::Failed(why) => {
            let tried = "watching the target".into();
            Err(Failure { exit: Exit::Plain, tried, why, next: String::new() }.into())
        }
    }
}

fn model_of(begun: &mut Begun, events: &mut Vec<Event>) -> Model {
    let mut model = Model::new(begun.mode, begun.frames.clone(), begun.t_ns, Limits::default());
    if let Some(first) = begun.first.take() {
        model.snapshot_taken(first, events);
    }
    model
}

/// The screen, and when it is left a summary and what was found.
pub(super) fn on_screen(mut begun: Begun, feed: &mut dyn Feed, common: &Common) -> Result<End, Quit> {
    let model = model_of(&mut begun, &mut Vec::new());
    let sources = SourceFiles::new(common.src_path.clone(), begun.process.built);
    let target = tui::Target { pid: begun.process.pid, exe: begun.process.exe, because: begun.because };
    let color = output::paint(common, true).color;
    let mut screen = tui::Screen::new(target, model, Box::new(sources), color);
    let shown = tui::run(&mut screen, &mut |timeout| feed.next(timeout));
    let (t_ns, end) = shown.map_err(|error| output::plain("using the terminal", &error))?;
    let (model, mut findings) = screen.into_parts();
    findings.look(&model);
    // What the other views tell at their end.
    let mut plain = Plain::new(output::stdout(), output::paint(common, true), model.started_ns());
    plain.end(t_ns, &end, &model)?;
    plain.findings(findings.diagnosis())?;
    Ok(end)
}

pub(super) fn json(
    out: impl Write,
    mut begun: Begun,
    feed: &mut dyn Feed,
    say: &Say,
    each_wake: bool,
) -> Result<End, Quit> {
    let mut events = Vec::new();
    let mut model = model_of(&mut begun, &mut events);
    let mut stream = Stream::new(out, each_wake);
    stream.start(begun.process.pid, &begun.process.exe, begun.mode, begun.because.as_deref())?;
    stream.ready(model.now_ns(), model.live_count())?;
    let mut findings = Lookout::new();
    loop {
        for event in events.drain(..) {
            stream.event(&event, &model)?;
        }
        for finding in findings.news(&model) {
            stream.finding(model.now_ns(), &finding)?;
        }
        stream.flush()?;
        let Some(update) = feed.next(WAIT) else { continue };
        match model.apply(update, &mut events) {
            Some(Aside::Note(text)) => say.warn(&text),
            Some(Aside::End { t_ns, end }) => {
                for finding in findings.look(&model) {
                    stream.finding(t_ns, &finding)?;
                }
                stream.end(t_ns, &end, &model)?;
                return Ok(end);
            }
            Some(Aside::Cost(_)) | None => {}
        }
    }
}

pub(super) fn plain(
    out: impl Write,
    mut begun: Begun,
    feed: &mut dyn Feed,
    paint: Paint,
) -> Result<End, Quit> {
    let mut out = out;
    let mut events = Vec::new();
    let mut model = model_of(&mut begun, &mut events);
    let process = &begun.process;
    let mode = match begun.mode {
        Mode::Snapshots => "by snapshots".to_owned(),
        Mode::Sample { hz } => format!("by looks, {hz} a second"),
        Mode::EntryOnly => "by entry probes".to_owned(),
        Mode::Session | Mode::Multi | Mode::PerfEvents => "by probes".to_owned(),
    };
    let exe = crate::present::escape::escape(&process.exe);
    writeln!(out, "{}", paint.bold(format!("watching pid {} {mode}: {exe}", process.pid)))?;
    let mut plain = Plain::new(out, paint, begun.t_ns);
    plain.table(&model)?;
    let mut findings = Lookout::new();
    loop {
        for event in events.drain(..) {
            plain.event(&event, &model);
        }
        for finding in findings.news(&model) {
            plain.finding(&finding, &model);
        }
        if model.now_ns().saturating_sub(plain.last_table_ns()) >= TABLE_NS {
            plain.table(&model)?;
        }
        plain.flush(model.now_ns())?;
        let Some(update) = feed.next(WAIT) else { continue };
        match model.apply(update, &mut events) {
            Some(Aside::Note(text)) => plain.note(model.now_ns(), &text),
            Some(Aside::End { t_ns, end }) => {
                findings.look(&model);
                plain.end(t_ns, &end, &model)?;
                plain.findings(findings.diagnosis())?;
                return Ok(end);
            }
            Some(Aside::Cost(_)) | None => {}
        }
    }
}

#[cfg(test)]
#[path = "attach_tests.rs"]
mod tests;
