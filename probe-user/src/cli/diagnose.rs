//! `diagnose`: which bugs a target has.

use super::args::Common;
use super::attach::{self, Wanted, Watch};
use super::child::Keep;
use super::diagnose_args::DiagnoseArgs;
use super::feed::Feed;
use super::output::{self, Quit, Say};
use super::profiled::{Profiled, profiled};
use super::watch::Begun;
use super::{Exit, Failure, live, replay};
use crate::analysis::{Bottlenecks, Case, CriticalPath, Diagnosis, Lookout};
use crate::decode::{Certainty, Coverage, RuntimeKind, Snapshot, TaskId};
use crate::export::findings as json;
use crate::present::bottlenecks;
use crate::present::findings::write;
use crate::present::places::Places;
use crate::present::units::{count, counted};
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
        tell(&mut out, &found, paint, &say)?;
    }
    out.flush()?;
    Ok(args.verdict(&found.diagnosis))
}

/// Whether a file is meant, and no process: names of those have no slash in them, and no extension.
pub(super) fn is_recording(target: &str) -> bool {
    let path = Path::new(target);
    let looks_like = target.contains('/') || path.extension().is_some();
    looks_like && path.exists() && !replay::is_program(path)
        || path.extension().is_some_and(|extension| extension == "rec")
}

impl DiagnoseArgs {
    fn verdict(&self, diagnosis: &Diagnosis) -> Exit {
        let counts = |certainty| certainty == Certainty::Proven || self.fail_on_possible;
        let fires = |finding: &&crate::analysis::Finding| {
            counts(finding.certainty) && self.fail_on.iter().any(|lint| lint.takes(finding.lint))
        };
        if diagnosis.findings().iter().any(fires) { Exit::Finding } else { Exit::Fine }
    }
}

/// From two readings of memory: nothing is put into the target.
fn at_once(args: &DiagnoseArgs, common: &Common) -> Result<Found, Quit> {
    let progress = output::ProgressLine::new(common);
    let mut source = live::open(&args.target, &common.open_options(), &progress)?;
    progress.done();
    let first = source.snapshot()?;
    let (snapshot, diagnosis) = looked_twice(first, || source.snapshot());
    Ok(Found {
        pid: snapshot.pid,
        diagnosis,
        places: Places::of(&snapshot.frames),
        coverage: Some(snapshot.coverage),
        bottlenecks: None,
        path: None,
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
    let task = args.task.map(|id| TaskId { runtime: RuntimeKind::Tokio, id });
    let mut lookout = Lookout::new().following(task).answers_within(args.no_timeout_after);
    let Profiled { model, profile, .. } = profiled(&mut begun, feed, say, |model| drop(lookout.news(model)));
    lookout.look(&model);
    let (diagnosis, path) = lookout.into_parts();
    Found {
        pid: begun.process.pid,
        diagnosis,
        coverage: model.snapshot().map(|snapshot| snapshot.coverage.clone()),
        places: Places::of(&begun.frames),
        bottlenecks: Some(Bottlenecks::of(&profile, &model)),
        path,
    }
}

fn tell(
    out: &mut impl Write,
    found: &Found,
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
        writeln!(out, "{}", paint.good(format!("nothing found in {}", counted(tasks, "task"))))?;
    }
    if let Some(all) = &found.bottlenecks {
        bottlenecks::write(out, all, &found.places, paint)?;
    }
    if let Some(path) = &found.path {
        bottlenecks::write_path(out, path, &found.places, paint)?;
    }
    // What follows goes to stderr.
    out.flush()?;
    if decoded < tasks {
        say.warn(&format!("{} of them could not be decoded", counted(tasks - decoded, "task")));
    }
    if found.diagnosis.not_kept() > 0 {
        say.warn(&format!("{} more were found and not kept", count(found.diagnosis.not_kept())));
    }
    let blind: Vec<&str> = found.diagnosis.blind().map(|(lint, _)| lint).collect();
    if !blind.is_empty() {
        say.note(&format!(
            "not looked for, as it does not show in this way: {} (--json says why)",
            blind.join(", ")
        ));
    }
    Ok(())
}
