//! `diagnose`: which bugs a target has.

use super::args::Common;
use super::attach::{self, Wanted, Watch};
use super::child::Keep;
use super::diagnose_args::{DiagnoseArgs, FailOn};
use super::feed::Feed;
use super::output::{self, Quit, Say};
use super::profiled::{Profiled, profiled};
use super::watch::Begun;
use super::{Exit, Failure, live, replay};
use crate::analysis::{Bottlenecks, Case, CriticalPath, Diagnosis, LINTS, Lookout};
use crate::decode::{Certainty, Coverage, RuntimeKind, Snapshot, TaskId};
use crate::export::findings as json;
use crate::present::bottlenecks;
use crate::present::findings::write;
use crate::present::places::Places;
use crate::present::units::{count, counted, span};
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

/// Between two snapshots: what moves at all has moved by then.
const INTERVAL: Duration = Duration::from_millis(250);
/// Readings that do not watch: a third one where two of them did not tell for lack of time.
const READINGS: usize = 3;
/// A further reading that does not watch is made after at most so long.
const SOON: Duration = Duration::from_secs(1);

/// What was found, and in what.
struct Found {
    pid: u32,
    diagnosis: Diagnosis,
    coverage: Option<Coverage>,
    places: Places,
    /// None where nothing was watched.
    bottlenecks: Option<Bottlenecks>,
    path: Option<CriticalPath>,
    /// The target did not last until the end of the watch: how long it was watched, ns.
    target_ended: Option<u64>,
}

pub fn run(args: &DiagnoseArgs, common: &Common, stop: Arc<AtomicBool>) -> Result<Exit, Quit> {
    let say = Say::new(common);
    let recording = Path::new(&args.target);
    let found = if is_recording(&args.target) {
        of_recording(recording, args, &say)?
    } else if args.duration.is_zero() {
        at_once(args, common)?
    } else {
        match watched(args, common, stop, &say)? {
            Some(found) => found,
            None => return Ok(Exit::Fine),
        }
    };
    let mut out = output::stdout();
    if args.json {
        let Found { pid, diagnosis, coverage, bottlenecks, path, .. } = &found;
        let (coverage, bottlenecks, critical_path) = (coverage.as_ref(), bottlenecks.as_ref(), path.as_ref());
        json::write(&mut out, json::Told { pid: *pid, diagnosis, coverage, bottlenecks, critical_path })?;
    } else {
        let paint = output::paint(common, std::io::stdout().is_terminal());
        tell(&mut out, &found, args, paint, &say)?;
    }
    out.flush()?;
    args.verdict(&found)
}

/// Whether a file is meant, and no process: names of those have no slash in them, and no extension.
pub(super) fn is_recording(target: &str) -> bool {
    let path = Path::new(target);
    let looks_like = target.contains('/') || path.extension().is_some();
    looks_like && path.exists() || path.extension().is_some_and(|extension| extension == "rec")
}

impl DiagnoseArgs {
    /// A health check that saw nothing because it could not see is not healthy.
    fn verdict(&self, found: &Found) -> Result<Exit, Quit> {
        let diagnosis = &found.diagnosis;
        let counts = |certainty| certainty == Certainty::Proven || self.fail_on_possible;
        let fires =
            |finding: &&crate::analysis::Finding| counts(finding.certainty) && self.asks_for(finding.lint);
        if diagnosis.findings().iter().any(fires) {
            return Ok(Exit::Finding);
        }
        if let Some(why) = diagnosis.no_trees().filter(|_| self.asks_for_trees()) {
            let target = &self.target;
            let next = match is_recording(target) {
                true => String::new(),
                false => format!("async-inspect check {target}"),
            };
            let why = format!("nothing was found, and much of it would not have been seen: {why}");
            return Err(Failure {
                exit: Exit::NothingUsable,
                tried: format!("checking {target}"),
                why,
                next,
            }
            .into());
        }
        match &found.path {
            Some(path) if path.chains().is_empty() => Err(Failure {
                exit: Exit::Plain,
                tried: format!("following task {} of {}", path.task.id, self.target),
                why: "no such task was there".into(),
                next: format!("async-inspect dump --all {}", self.target),
            }
            .into()),
            _ => Ok(Exit::Fine),
        }
    }

    /// Whether a lint was asked for that rests on what tasks await.
    fn asks_for_trees(&self) -> bool {
        LINTS.iter().any(|lint| lint.needs_trees() && self.asks_for(lint.name()))
    }

    fn asks_for(&self, lint: &str) -> bool {
        self.fail_on.iter().any(|asked| asked.takes(lint))
    }

    fn follows(&self) -> Option<TaskId> {
        self.task.map(|id| TaskId { runtime: RuntimeKind::Tokio, id })
    }
}

/// From two readings of memory: nothing is put into the target.
fn at_once(args: &DiagnoseArgs, common: &Common) -> Result<Found, Quit> {
    let progress = output::ProgressLine::new(common);
    let mut source = live::open(&args.target, &common.open_options(), &progress)?;
    progress.done();
    let first = source.snapshot()?;
    let mut path = args.follows().map(CriticalPath::new);
    let (snapshot, diagnosis) = looked_twice(first, || source.snapshot());
    path.iter_mut().for_each(|path| path.look(&Case::of_one(&snapshot)));
    Ok(Found {
        pid: snapshot.pid,
        diagnosis,
        places: Places::of(&snapshot.frames),
        coverage: Some(snapshot.coverage),
        bottlenecks: None,
        path,
        target_ended: None,
    })
}

/// Lints over a snapshot; where they cannot tell yet, over another one soon after it, if there still is one to be had.
pub(super) fn looked_twice(
    first: Snapshot,
    mut again: impl FnMut() -> Result<Snapshot, Failure>,
) -> (Snapshot, Diagnosis) {
    let mut latest = None;
    let mut diagnosis = diagnosed(&Case::of_one(&first));
    for _ in 1..READINGS {
        let Some(after) = diagnosis.look_again_in().filter(|after| *after <= SOON) else { break };
        // In a core file nothing moves.
        if first.t_ns.is_some() {
            thread::sleep(after);
        }
        let Ok(snapshot) = again() else { break };
        diagnosis = diagnosed(&Case::of_two(&first, &snapshot));
        latest = Some(snapshot);
    }
    (latest.unwrap_or(first), diagnosis)
}

/// With `-v` it is told how long it took.
fn diagnosed(case: &Case<'_>) -> Diagnosis {
    let begin = Instant::now();
    let diagnosis = Diagnosis::of(case);
    let ms = begin.elapsed().as_secs_f64() * 1000.0;
    tracing::info!("the lints took {ms:.1} ms over {}", counted(case.snapshot.tasks.len() as u64, "task"));
    diagnosis
}

fn watched(
    args: &DiagnoseArgs,
    common: &Common,
    stop: Arc<AtomicBool>,
    say: &Say,
) -> Result<Option<Found>, Quit> {
    let wanted = Wanted {
        target: Some(&args.target),
        command: &[],
        keep: Keep::Stderr,
        trace: args.probes.options(),
        sample: args.probes.sample,
        interval: Some(INTERVAL),
        duration: Some(args.duration),
    };
    let Some(Watch { begun, mut updates, .. }) = attach::begin(&wanted, common, stop, say)? else {
        return Ok(None);
    };
    Ok(Some(until_the_end(begun, &mut updates, args, say)))
}

fn of_recording(path: &Path, args: &DiagnoseArgs, say: &Say) -> Result<Found, Quit> {
    let mut recording = replay::open(path, "diagnosing")?;
    let begun = replay::begin(&mut recording);
    let say = &say.about(&args.target);
    Ok(until_the_end(begun, &mut replay::at_once(recording), args, say))
}

/// Looks after each snapshot, until there are no more.
fn until_the_end(mut begun: Begun, feed: &mut dyn Feed, args: &DiagnoseArgs, say: &Say) -> Found {
    let mut lookout = Lookout::new().following(args.follows()).answers_within(args.no_timeout_after);
    let Profiled { model, profile, target_ended, .. } =
        profiled(&mut begun, feed, say, |model| drop(lookout.news(model)));
    lookout.look(&model);
    let (diagnosis, path) = lookout.into_parts();
    Found {
        pid: begun.process.pid,
        diagnosis,
        coverage: model.snapshot().map(|snapshot| snapshot.coverage.clone()),
        places: Places::of(&begun.frames),
        bottlenecks: Some(Bottlenecks::of(&profile, &model)),
        path,
        target_ended,
    }
}

fn tell(
    out: &mut impl Write,
    found: &Found,
    args: &DiagnoseArgs,
    paint: crate::present::paint::Paint,
    say: &Say,
) -> Result<(), Quit> {
    let all = found.diagnosis.findings();
    for (i, finding) in all.iter().enumerate() {
        if i > 0 {
            writeln!(out)?;
        }
        write(out, finding, &found.places, paint)?;
    }
    let tasks = found.coverage.as_ref().map_or(0, |coverage| coverage.tasks_found);
    let decoded = found.coverage.as_ref().map_or(0, |coverage| coverage.tasks_decoded);
    if all.is_empty() {
        let nothing = format!("nothing found in {}", counted(tasks, "task"));
        let nothing = match found.diagnosis.no_trees() {
            Some(why) => paint.warn(format!("{nothing}, but {why}")),
            None => paint.good(nothing),
        };
        writeln!(out, "{nothing}")?;
    }
    if let Some(all) = &found.bottlenecks {
        bottlenecks::write(out, all, &found.places, paint)?;
    }
    if let Some(path) = &found.path {
        bottlenecks::write_path(out, path, &found.places, paint)?;
    }
    // What follows goes to stderr.
    out.flush()?;
    if let Some(ns) = found.target_ended {
        say.warn(&format!("the target ended after {}: what is told is of that time", span(ns)));
    }
    if decoded < tasks {
        say.warn(&format!("what it awaits is not known of {}", counted(tasks - decoded, "task")));
    }
    if found.diagnosis.not_kept() > 0 {
        say.warn(&format!("{} more were found and not kept", count(found.diagnosis.not_kept())));
    }
    let (asked, others): (Vec<_>, Vec<_>) =
        found.diagnosis.blind().partition(|(lint, _)| args.fail_on.contains(&FailOn::Lint(lint)));
    for (lint, why) in asked {
        say.warn(&format!("{lint} was not looked for: {why}"));
    }
    if !others.is_empty() {
        let others: Vec<&str> = others.into_iter().map(|(lint, _)| lint).collect();
        say.note(&format!(
            "not looked for, as it does not show in this way: {} (--json says why)",
            others.join(", ")
        ));
    }
    Ok(())
}
