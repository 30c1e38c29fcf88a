//! Bounded channels in which nothing moves: they are full, and who should empty them waits for something else.

use super::group::once_each;
use crate::analysis::{Answer, Case, Finding, FoundPlace, Lint, Part, Sentence, sentence};
use crate::decode::{Certainty, ResourceKind, Task, TaskId, TaskState, Wait};
use crate::target::Avma;
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

pub struct ChannelFull;

/// Shorter than this a receiver is away in any program.
const LONG: Duration = Duration::from_secs(1);
/// What a sender waits for (`tokio/src/sync/mpsc/bounded.rs`, `Sender::reserve`).
const ROOM: &str = "tokio::sync::batch_semaphore::Acquire";

/// Who waits for room in one channel.
#[derive(Default)]
struct Full {
    senders: Vec<usize>,
    receivers: HashSet<TaskId>,
}

impl Lint for ChannelFull {
    fn name(&self) -> &'static str {
        "channel-full"
    }

    fn what(&self) -> &'static str {
        "full channels whose receiver waits for something else"
    }

    fn needs_trees(&self) -> bool {
        true
    }

    fn look(&self, case: &Case<'_>) -> Answer {
        let mut findings = Vec::new();
        let mut again = None;
        for (channel, full) in full(case) {
            let Some(receiver) = away(case, channel, &full) else { continue };
            let long = LONG.as_nanos() as u64;
            match stood(case, receiver) {
                Some(ns) if ns >= long => findings.push(finding(case, channel, &full, receiver, ns)),
                stood => {
                    // Where that cannot be told, a reading more does no harm.
                    let after = Duration::from_nanos(long.saturating_sub(stood.unwrap_or(0)));
                    again = Some(again.map_or(after, |soonest: Duration| soonest.min(after)));
                }
            }
        }
        match again {
            Some(after) if findings.is_empty() => Answer::LookAgain(after),
            _ => Answer::of(findings),
        }
    }
}

/// How long the receiver has not been polled, ns; at least. None where it may have been.
fn stood(case: &Case<'_>, receiver: usize) -> Option<u64> {
    case.unmoved_since(receiver)?;
    let counted = case.watched.is_some_and(|model| model.mode().counts_polls() && model.probes_in());
    // Between two readings it may have been around its loop, and wait for the next of the same.
    let comes_once = |wait: &Wait| {
        use ResourceKind::{Join, Mutex, Oneshot, RwLock, Timer};
        matches!(wait.kind, Timer | Oneshot | Join | Mutex | RwLock)
    };
    let sure = counted || case.snapshot.tasks[receiver].waits.iter().all(comes_once);
    case.stands_for(receiver).filter(|_| sure)
}

/// Channels that somebody waits to send to, and of which a receiver is known.
fn full(case: &Case<'_>) -> BTreeMap<Avma, Full> {
    let mut channels: BTreeMap<Avma, Full> = BTreeMap::new();
    for (number, task) in case.snapshot.tasks.iter().enumerate() {
        for wait in task.waits.iter().filter(|wait| sends(case, wait)) {
            let Some(channel) = wait.address else { continue };
            let full = channels.entry(channel).or_default();
            full.senders.push(number);
            full.receivers.extend(wait.holders.iter().copied());
        }
    }
    channels
}

fn sends(case: &Case<'_>, wait: &Wait) -> bool {
    let of_channel = wait.kind == ResourceKind::Mpsc && !wait.holders.is_empty();
    of_channel && case.frames().get(wait.leaf).function.starts_with(ROOM)
}

fn sends_at(case: &Case<'_>, channel: Avma, task: &Task) -> FoundPlace {
    let wait = task.waits.iter().find(|wait| wait.address == Some(channel) && sends(case, wait));
    wait.map_or_else(|| case.place(task), |wait| case.place_of(task, wait))
}

/// The receiver, if it is the only one that is known and waits for other things alone.
fn away(case: &Case<'_>, channel: Avma, full: &Full) -> Option<usize> {
    let mut receivers = full.receivers.iter();
    let (Some(only), None) = (receivers.next(), receivers.next()) else { return None };
    let number = case.index(*only)?;
    let task = &case.snapshot.tasks[number];
    let receives = |wait: &Wait| wait.address == Some(channel) && !sends(case, wait);
    let idle = task.state == TaskState::Idle && !task.stale && !task.waits.is_empty();
    (idle && !task.waits.iter().any(receives)).then_some(number)
}

fn finding(case: &Case<'_>, channel: Avma, full: &Full, receiver: usize, ns: u64) -> Finding {
    let tasks = &case.snapshot.tasks;
    let task = &tasks[receiver];
    let senders = full.senders.iter().filter(|i| **i != receiver);
    let ids = [task.id].into_iter().chain(senders.clone().map(|i| tasks[*i].id));
    let places = [case.place(task)]
        .into_iter()
        .chain(senders.clone().take(16).map(|i| sends_at(case, channel, &tasks[*i])));
    let places: Vec<FoundPlace> = once_each(places);
    let count = full.senders.len() as u64;
    let wait = if count == 1 { " sender waits" } else { " senders wait" };
    let mut message = sentence![
        "a channel is full, ",
        Part::Count(count),
        wait,
        ", and its receiver ",
        Part::Task(task.id),
        " ",
        &task.name
    ];
    message.append(sentence![" has waited for something else for ", Part::Span(ns)]);
    Finding {
        lint: ChannelFull.name(),
        certainty: Certainty::Possible,
        tasks: ids.take(super::group::MAX_TASKS).collect(),
        places,
        resources: vec![channel],
        message,
        evidence: evidence(case, channel, task, full),
        remedy: "receive and work in different tasks, give what the receiver awaits a timeout, or use try_send where \
                 losing is better than waiting",
    }
}

fn evidence(case: &Case<'_>, channel: Avma, task: &Task, full: &Full) -> Vec<Sentence> {
    let mut keeps = sentence![
        Part::Task(task.id),
        " ",
        &task.name,
        " keeps the receiving end of ",
        Part::Thing(ResourceKind::Mpsc, channel)
    ];
    if let Some(line) = case.location(task) {
        keeps.append(sentence![" and awaits at ", &line]);
    }
    for (nth, wait) in task.waits.iter().take(4).enumerate() {
        keeps.append(sentence![if nth == 0 { " " } else { " or " }, wait.kind.as_str()]);
        match (&wait.detail, wait.address) {
            (Some(detail), _) => keeps.append(sentence![" (", Part::Name((**detail).into()), ")"]),
            (None, Some(address)) => keeps.append(sentence![format!(" {address}")]),
            (None, None) => {}
        }
    }
    let sender = &case.snapshot.tasks[full.senders[0]];
    let mut sends = sentence![Part::Task(sender.id), " ", &sender.name, " waits for room in it"];
    if let Some(line) = sends_at(case, channel, sender).line {
        sends.append(sentence![" at ", &line]);
    }
    vec![keeps, sends, sentence!["whether what it awaits is meant to take so long is not known"]]
}
