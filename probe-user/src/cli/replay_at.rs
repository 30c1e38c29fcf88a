//! `replay --at`: the dump at a moment of a recording.
//!
//! A snapshot is taken about once a second. Of the time since, the trace tells which tasks were born, polled or ended.

use super::args::{Common, DumpArgs};
use super::output::{Quit, Say};
use super::recording_args::ReplayArgs;
use super::replay::{self, Recording};
use super::watch::Begun;
use super::{Exit, Failure, dump};
use crate::analysis::{Case, Diagnosis};
use crate::decode::{FrameId, Frames, Node, Snapshot, Task, TaskState, place_of, waits_of};
use crate::model::{Limits, Model, TaskEntry, TaskPhase, Update, primary_chain};
use crate::present::units::span;
use crate::target::Avma;
use std::collections::HashSet;
use std::time::Duration;

/// Trace events come up to this much after the moment they speak of: they are put in order first, and sums of polls are
/// read once a second.
const LATE_NS: u64 = 2_000_000_000;

pub fn run(mut recording: Recording, at: Duration, args: &ReplayArgs, common: &Common) -> Result<Exit, Quit> {
    let begun = replay::begin(&mut recording);
    let built = begun.process.built;
    let moment = dump_at(&mut recording, begun, at, &Say::new(common));
    let (snapshot, diagnosis) = moment.ok_or_else(|| no_snapshot(args))?;
    let dump_args = DumpArgs {
        target: None,
        core: None,
        exe: None,
        json: args.json,
        task: args.task.clone(),
        filter: args.filter.clone(),
        all: args.all,
        output: None,
        replayed: Some(format!("{} --at {}", args.file.display(), at.as_secs_f64())),
    };
    dump::show(snapshot, &diagnosis, built, &dump_args, common)
}

/// The snapshot of a moment, `at` this long after the recording began, and what the lints say of it. None if no snapshot was
/// recorded until then.
pub(super) fn dump_at(
    recording: &mut Recording,
    begun: Begun,
    at: Duration,
    say: &Say,
) -> Option<(Snapshot, Diagnosis)> {
    let head = recording.head().clone();
    let wanted_ns = head.t_ns.saturating_add(at.as_nanos() as u64);
    let (model, t_ns) = model_at(recording, begun, wanted_ns, say);
    let since_ns = t_ns.saturating_sub(head.t_ns);
    if t_ns != wanted_ns {
        let edge = if t_ns < wanted_ns { "ends" } else { "has its first snapshot" };
        say.note(&format!("the recording {edge} {} after it began: shown is that", span(since_ns)));
    }
    let snapshot = model.snapshot()?.clone();
    Some(as_of(t_ns, &model, snapshot, head.began_at_ns.saturating_add(since_ns)))
}

fn no_snapshot(args: &ReplayArgs) -> Failure {
    let file = args.file.display();
    Failure {
        exit: Exit::NothingUsable,
        tried: format!("showing a moment of {file}"),
        why: "no snapshot was recorded before it".into(),
        next: format!("async-inspect replay {file} --plain"),
    }
}

/// What was known of the moment `t_ns`, or of the nearest one that the recording has: the second value says which.
fn model_at(recording: &mut Recording, mut begun: Begun, mut t_ns: u64, say: &Say) -> (Model, u64) {
    let mut events = Vec::new();
    let mut model = Model::new(begun.mode, begun.frames.clone(), begun.t_ns, Limits::default());
    if let Some(first) = begun.first.take() {
        t_ns = t_ns.max(first.t_ns.unwrap_or(0));
        model.snapshot_taken(first, &mut events);
    }
    for update in recording {
        let update = match update {
            Update::Trace(mut events) => {
                events.retain(|event| event.t_ns() <= t_ns);
                Update::Trace(events)
            }
            Update::Snapshot(snapshot) if snapshot.t_ns.is_some_and(|taken| taken <= t_ns) => {
                Update::Snapshot(snapshot)
            }
            Update::Samples(round) if round.t_ns <= t_ns => Update::Samples(round),
            Update::Tick(now) if now > t_ns.saturating_add(LATE_NS) => break,
            Update::Tick(now) => Update::Tick(now.min(t_ns)),
            Update::Note(text) => {
                say.warn(&text);
                continue;
            }
            Update::End { t_ns: end_ns, .. } => {
                t_ns = t_ns.min(end_ns.max(model.now_ns()));
                break;
            }
            Update::Snapshot(_) | Update::Samples(_) | Update::Cost(_) => continue,
        };
        model.apply(update, &mut events);
        events.clear();
    }
    (model, t_ns)
}

/// What changed between a snapshot and a later moment.
#[derive(Default)]
struct Since {
    ended: u64,
    polled: u64,
    born: u64,
}

/// The snapshot with what the trace knows of the time since, and what the lints say of all readings until then.
fn as_of(t_ns: u64, model: &Model, mut snapshot: Snapshot, realtime_ns: u64) -> (Snapshot, Diagnosis) {
    let taken_ns = snapshot.t_ns.unwrap_or(t_ns);
    let (mut since, mut gone) = (Since::default(), HashSet::new());
    let seen: HashSet<_> = snapshot.tasks.iter().map(|task| task.id).collect();
    snapshot.tasks.retain_mut(|task| {
        // A finished task whose handle is kept is in no table of living ones, and still in memory.
        if matches!(task.state, TaskState::Complete | TaskState::Cancelled) {
            return true;
        }
        let Some(entry) = model.get(task.id).filter(|entry| !entry.has_ended()) else {
            gone.insert(task.id);
            return false;
        };
        since.polled += u64::from(follow(task, entry, taken_ns, model.frames()));
        true
    });
    for task in &mut snapshot.tasks {
        // Whom it waited for is no longer there. What it did then, nobody saw.
        let waited_for = task.waits.iter().flat_map(|wait| wait.task.iter().chain(&wait.holders));
        task.stale |= waited_for.into_iter().any(|id| gone.contains(id));
    }
    since.ended = gone.len() as u64;
    let mut born: Vec<Task> = model
        .tasks()
        .filter(|entry| !entry.has_ended() && !seen.contains(&entry.id))
        .map(|entry| newborn(entry, model.frames()))
        .collect();
    born.sort_by_key(|task| task.id);
    since.born = born.len() as u64;
    snapshot.tasks.extend(born);
    snapshot.coverage.tasks_found = snapshot.tasks.len() as u64;
    snapshot.coverage.tasks_decoded = snapshot.tasks.iter().filter(|task| task.tree.is_some()).count() as u64;
    // As of the latest reading: how long something lasts is known until then.
    let diagnosis = Diagnosis::of(&Case::of_moment(model, &snapshot));
    (snapshot.t_ns, snapshot.taken_at_ns) = (Some(t_ns), realtime_ns);
    let age = span(t_ns.saturating_sub(taken_ns));
    if !model.mode().counts_polls() {
        snapshot.tasks.iter_mut().for_each(|task| task.stale = true);
        if t_ns > taken_ns {
            snapshot.coverage.issues.push(format!("read {age} before this moment; nobody watched since"));
        }
        return (snapshot, diagnosis);
    }
    snapshot
        .coverage
        .issues
        .extend(since.words().map(|since| format!("read {age} before this moment; since then {since}")));
    (snapshot, diagnosis)
}

impl Since {
    /// None where nothing has changed: then it is no issue.
    fn words(&self) -> Option<String> {
        let Since { ended, polled, born } = self;
        let counts = [
            (ended, "ended (left out)"),
            (polled, "polled (marked stale: the trace tells where they stand, not what they hold)"),
            (born, "born (marked stale as well)"),
        ];
        let told = counts.iter().filter(|(count, _)| **count > 0);
        let words: Vec<String> = told.map(|(count, what)| format!("{count} {what}")).collect();
        (!words.is_empty()).then(|| words.join(", "))
    }
}

/// Brings a task up to where the trace saw it last. Whether it was polled since the snapshot: then what that says of its
/// waits and guards is over, even if it stands at the same place again.
fn follow(task: &mut Task, entry: &TaskEntry, taken_ns: u64, frames: &Frames) -> bool {
    let polled = entry.idle.is_some_and(|idle| idle.t_ns > taken_ns);
    if polled && entry.phase == TaskPhase::Idle {
        task.state = TaskState::Idle;
    }
    if polled {
        task.queue = None;
    }
    let (Some(tree), Some(path)) = (&mut task.tree, entry.path()) else { return false };
    let chain = primary_chain(tree, frames);
    // The trace may cut the same chain at another depth.
    let deeper = chain.starts_with(&path.frames);
    let same = path.place == place_of(&chain, frames) || deeper || path.frames.starts_with(&chain);
    if !polled && same {
        return false;
    }
    if deeper {
        tree.address = Avma::default();
    } else {
        task.tree = chain_of(&path.frames);
    }
    task.waits = task.tree.as_ref().map(|tree| waits_of(tree, frames)).unwrap_or_default().into();
    task.holds = Box::default();
    task.queue = None;
    task.stale = true;
    true
}

/// A task that no snapshot has seen.
fn newborn(entry: &TaskEntry, frames: &Frames) -> Task {
    let tree = entry.path().and_then(|path| chain_of(&path.frames));
    Task {
        id: entry.id,
        address: Avma::default(),
        state: if entry.phase == TaskPhase::Idle { TaskState::Idle } else { TaskState::Scheduled },
        stale: true,
        name: entry.name.clone(),
        owner: None,
        waits: tree.as_ref().map(|tree| waits_of(tree, frames)).unwrap_or_default().into(),
        tree,
        spawned_at: None,
        queue: None,
        wakers: None,
        holds: Box::default(),
    }
}

/// A path as a tree of one branch. Where its futures lie is not known, and no view tells.
fn chain_of(path: &[FrameId]) -> Option<Node> {
    path.iter().rfold(None, |below, frame| {
        let awaiting = below.into_iter().collect();
        Some(Node { frame: *frame, more: 0, address: Avma::default(), awaiting, held: Box::default() })
    })
}
