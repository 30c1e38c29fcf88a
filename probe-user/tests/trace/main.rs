//! The trace against a target whose every state is known, on this machine's kernel.

mod toy;

use async_inspect::decode::FrameId;
use async_inspect::trace::{PollEnd, ProbeMode, TraceError, TraceEvent, Tracer};
use std::collections::BTreeMap;
use toy::Toy;

/// Attaches, or says loudly why this test cannot be one here.
fn attach(toy: &Toy, mode: ProbeMode, entry_only: bool) -> Option<Tracer> {
    match Tracer::attach(&toy.target(), &toy::plan(toy), mode, entry_only) {
        Ok(tracer) => Some(tracer),
        Err(why @ (TraceError::NotPermitted { .. } | TraceError::KernelTooOld { .. })) => {
            eprintln!("\n=== SKIPPED, nothing was tested: {why} ===\n");
            None
        }
        Err(other) => panic!("{mode}: {other}"),
    }
}

/// What the events say of each task, in order of their ids.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    spawned: u64,
    polls: u64,
    ends: Vec<PollEnd>,
    /// Paths, from the first on; a State whose `from` is not the one before it is a gap.
    paths: Vec<Vec<FrameId>>,
    gaps: u64,
}

fn by_task(events: &[TraceEvent]) -> BTreeMap<u64, Seen> {
    let mut tasks: BTreeMap<u64, Seen> = BTreeMap::new();
    for event in events {
        match event {
            TraceEvent::Spawn { task, .. } => tasks.entry(task.id).or_default().spawned += 1,
            TraceEvent::Poll { task, count, end, .. } => {
                let seen = tasks.entry(task.id).or_default();
                seen.polls += count;
                seen.ends.push(*end);
            }
            TraceEvent::State { task, from, to, .. } => {
                let seen = tasks.entry(task.id).or_default();
                match seen.paths.last() {
                    None => seen.paths.push(from.to_vec()),
                    Some(last) if last[..] != from[..] => seen.gaps += 1,
                    Some(_) => {}
                }
                seen.paths.push(to.to_vec());
            }
            TraceEvent::Lost { .. } => {}
        }
    }
    tasks
}

fn drain_all(tracer: &mut Tracer) -> Vec<TraceEvent> {
    let mut events = Vec::new();
    tracer.drain(&mut events);
    events
}

/// The paths of a task polled `polls` times, the last of which ended it.
fn expected_paths(polls: u64) -> Vec<Vec<FrameId>> {
    let mut paths = vec![toy::path_unresumed()];
    for poll in 0..polls - 1 {
        let path = toy::path_after(poll);
        if paths.last() != Some(&path) {
            paths.push(path);
        }
    }
    paths
}

fn counts_and_states(mode: ProbeMode) {
    let mut toy = Toy::start();
    let Some(mut tracer) = attach(&toy, mode, false) else { return };
    assert_eq!(tracer.mode(), mode);
    let (threads, tasks, polls) = (3, 7, 43);
    toy.tell(&format!("polls {threads} {tasks} {polls}"));
    let events = drain_all(&mut tracer);
    let hits = tracer.hits();
    let total = threads * tasks * polls;
    assert_eq!((hits.entries, hits.returns, tracer.lost()), (total, total, 0), "{hits:?}");
    assert_eq!((hits.unreadable, hits.end_unseen, hits.start_unseen), (0, 0, 0), "{hits:?}");
    let seen = by_task(&events);
    assert_eq!(seen.len() as u64, threads * tasks);
    let mut ends: Vec<_> = vec![PollEnd::Pending; polls as usize - 1];
    ends.push(PollEnd::Gone);
    let expected = Seen { spawned: 1, polls, ends, paths: expected_paths(polls), gaps: 0 };
    for (id, seen) in seen {
        assert_eq!(seen, expected, "task {id}");
    }
    let times: Vec<u64> = events.iter().map(TraceEvent::t_ns).collect();
    assert!(times.is_sorted(), "sorted by time");
    assert!(tracer.running().is_empty());
    drop(tracer);
    assert_eq!(toy.quit().code(), Some(7));
}

#[test]
fn session_counts_and_states() {
    counts_and_states(ProbeMode::Session);
}

#[test]
fn multi_counts_and_states() {
    counts_and_states(ProbeMode::Multi);
}

#[test]
fn perf_counts_and_states() {
    counts_and_states(ProbeMode::Perf);
}
