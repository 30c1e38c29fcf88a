//! Whether what was read can be given to a model. Checksums tell damage; they do not tell that a file was made in bad
//! faith, and views look frames up by index.

use super::payload::within;
use crate::decode::{Node, Task};
use crate::sample::Round;
use crate::trace::{CpuSamples, Path, TraceEvent};

/// More ns (52 days) or polls than one event tells; thousands of them can be added up.
const PLAUSIBLE: u64 = 1 << 52;
/// More than one round of looks takes, ns: at one a second it takes one second.
const ROUND_NS: u64 = 10_000_000_000;

/// Names every kind of event, so that whoever adds one has to think of what it refers to.
pub(super) fn event(event: &TraceEvent, frames: usize) -> bool {
    event.t_ns() < 1 << 63
        && match event {
            TraceEvent::State { from, to, .. } => within(from, frames) && within(to, frames),
            TraceEvent::Stands { at, .. } => within(at, frames),
            TraceEvent::Poll { count, duration_ns, off_cpu, .. } => {
                let off_cpu = off_cpu.map(|off_cpu| off_cpu.sum_ns());
                let times = [*duration_ns, off_cpu];
                *count < PLAUSIBLE && times.into_iter().flatten().all(|ns| ns < PLAUSIBLE)
            }
            TraceEvent::LongPoll { t_ns, poll, .. } => {
                let off_cpu = poll.off_cpu.is_none_or(|off_cpu| off_cpu.sum_ns() < PLAUSIBLE);
                poll.since_ns <= *t_ns && off_cpu && samples(&poll.cpu)
            }
            TraceEvent::LongPollLasts { t_ns, since_ns, off_cpu, cpu, .. } => {
                let off_cpu = off_cpu.is_none_or(|off_cpu| off_cpu.sum_ns() < PLAUSIBLE);
                since_ns <= t_ns && off_cpu && samples(cpu)
            }
            TraceEvent::Delays { count, sum_ns, max_ns, idle_ns, poll_max_ns, .. } => {
                [*count, *sum_ns, *max_ns, idle_ns.unwrap_or(0), poll_max_ns.unwrap_or(0)]
                    .iter()
                    .all(|n| *n < PLAUSIBLE)
            }
            TraceEvent::Timed { of, .. } => {
                of.at.as_ref().is_none_or(|at| within(at, frames))
                    && of.polls.is_sound(PLAUSIBLE)
                    && of.delays.is_sound(PLAUSIBLE)
                    && of.idle_ns < PLAUSIBLE
            }
            TraceEvent::Lost { count, .. } => *count < PLAUSIBLE,
            TraceEvent::Watches { .. }
            | TraceEvent::Spawn { .. }
            | TraceEvent::Wake { .. }
            | TraceEvent::Paused { .. }
            | TraceEvent::Resumed { .. } => true,
        }
}

fn samples(cpu: &CpuSamples) -> bool {
    let found = cpu.spots.iter().map(|spot| spot.count).fold(cpu.unknown, u64::saturating_add);
    cpu.count < PLAUSIBLE && found <= cpu.count
}

pub(super) fn round(round: &Round, frames: usize) -> bool {
    let looks = u64::from(round.looks);
    let hits: u64 = round.runs.iter().map(|run| u64::from(run.hits)).sum();
    let at = |path: &Option<Path>| path.as_ref().is_none_or(|path| within(path, frames));
    round.t_ns < 1 << 63
        && looks.saturating_mul(round.period_ns) <= ROUND_NS
        && hits <= looks.saturating_mul(u64::from(round.threads))
        && round.threads <= 1 << 12
        && round.runs.iter().all(|run| at(&run.path))
}

pub(super) fn task(task: &Task, frames: usize) -> bool {
    task.tree.as_ref().is_none_or(|tree| node(tree, frames))
        && task
            .waits
            .iter()
            .all(|wait| within(&[wait.leaf], frames) && wait.at.is_none_or(|at| within(&[at], frames)))
        && task.holds.iter().all(|hold| within(&[hold.frame], frames))
}

/// How much memory a task takes beside itself, in futures.
pub(super) fn parts(task: &Task) -> usize {
    // Each of these is about as large as four.
    let others = 4 * (task.waits.len() + task.holds.len());
    task.tree.as_ref().map_or(0, nodes) + others
}

fn nodes(at: &Node) -> usize {
    1 + at.awaiting.iter().chain(&at.held).map(nodes).sum::<usize>()
}

/// As deep as the decoder lets them be.
fn node(at: &Node, frames: usize) -> bool {
    within(&[at.frame], frames) && at.awaiting.iter().chain(&at.held).all(|below| node(below, frames))
}
