//! The trace against a target whose every state is known, on this machine's kernel.

mod harmless;
#[expect(dead_code, reason = "the bench uses the rest")]
mod toy;

use async_inspect::decode::FrameId;
use async_inspect::trace::{PollEnd, ProbeMode, TraceError, TraceEvent, Tracer};
use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};
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
    /// How it ended, or [`PollEnd::Unseen`] where only starts are seen.
    end: Option<PollEnd>,
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
                if *end != PollEnd::Pending {
                    assert!(seen.end.is_none_or(|before| before == PollEnd::Unseen), "it ends once");
                    seen.end = Some(*end);
                }
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
            TraceEvent::Stands { task, at, .. } => {
                let seen = tasks.entry(task.id).or_default();
                assert!(seen.paths.is_empty(), "told where nothing was");
                seen.paths.push(at.to_vec());
            }
            TraceEvent::Watches { .. }
            | TraceEvent::LongPoll { .. }
            | TraceEvent::LongPollLasts { .. }
            | TraceEvent::Wake { .. }
            | TraceEvent::Delays { .. }
            | TraceEvent::Timed { .. }
            | TraceEvent::Lost { .. }
            | TraceEvent::Paused { .. }
            | TraceEvent::Resumed { .. } => {}
        }
    }
    tasks
}

fn drain_all(tracer: &mut Tracer) -> Vec<TraceEvent> {
    let mut events = Vec::new();
    tracer.finish(&mut events).expect("the accounts can be read");
    events
}

/// Polls in histograms. Those of polls say what those of tasks do.
fn timed(events: &[TraceEvent]) -> u64 {
    let (mut count, mut timed_ns, mut busy_ns) = (0, 0, 0);
    for event in events {
        match event {
            TraceEvent::Timed { of, .. } => {
                count += of.polls.count();
                timed_ns += of.polls.sum_ns;
            }
            TraceEvent::Poll { duration_ns, .. } => busy_ns += duration_ns.unwrap_or(0),
            _ => {}
        }
    }
    assert_eq!(timed_ns, busy_ns);
    count
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
    let end = Some(PollEnd::Gone);
    let expected = Seen { spawned: 1, polls, end, paths: expected_paths(polls), gaps: 0 };
    for (id, seen) in seen {
        assert_eq!(seen, expected, "task {id}");
    }
    assert_eq!(timed(&events), total);
    let times: Vec<u64> = events.iter().map(TraceEvent::t_ns).collect();
    assert!(times.is_sorted(), "sorted by time");
    assert!(tracer.running().is_empty());
    drop(tracer);
    assert_eq!(toy.quit().code(), Some(7));
}

/// Threads are preempted in the middle of the programs, and others run the same programs on the same processor.
#[test]
fn more_threads_than_processors() {
    // All are drained at the end: as many records as the ring has room for (`RING_BYTES` in src/trace/prepared.rs).
    let (threads, polls) = (24, 1_500);
    for mode in [ProbeMode::Session, ProbeMode::Multi, ProbeMode::Perf] {
        let mut toy = Toy::start();
        let Some(mut tracer) = attach(&toy, mode, false) else { continue };
        toy.tell(&format!("polls {threads} 1 {polls}"));
        let events = drain_all(&mut tracer);
        let seen = by_task(&events);
        let hits = tracer.hits();
        assert_eq!(
            (hits.entries, hits.returns, tracer.lost()),
            (threads * polls, threads * polls, 0),
            "{mode}"
        );
        assert_eq!(timed(&events), threads * polls, "{mode}: threads add to the same histograms");
        assert_eq!((hits.unreadable, hits.end_unseen, hits.start_unseen), (0, 0, 0), "{mode}: {hits:?}");
        assert_eq!(seen.len() as u64, threads);
        let paths = expected_paths(polls);
        for (id, seen) in seen {
            assert_eq!((seen.polls, seen.gaps), (polls, 0), "{mode}, task {id}");
            assert_eq!(seen.paths, paths, "{mode}, task {id}");
        }
        assert_eq!(toy.quit().code(), Some(7));
    }
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

#[test]
fn entry_only_sees_the_state_at_the_next_poll() {
    for mode in [ProbeMode::Multi, ProbeMode::Perf] {
        let mut toy = Toy::start();
        let Some(mut tracer) = attach(&toy, mode, true) else { continue };
        assert!(tracer.entry_only());
        let polls = 43;
        toy.tell(&format!("polls 2 3 {polls}"));
        let seen = by_task(&drain_all(&mut tracer));
        assert_eq!(tracer.hits().returns, 0, "no return address is touched");
        assert_eq!(seen.len(), 6);
        for (id, seen) in seen {
            // Gone where another task stood at its address before we stopped looking.
            assert!(matches!(seen.end, Some(PollEnd::Unseen | PollEnd::Gone)), "{mode}, task {id}: {seen:?}");
            let expected = Seen { spawned: 1, polls, end: seen.end, paths: expected_paths(polls), gaps: 0 };
            assert_eq!(seen, expected, "{mode}, task {id}");
        }
    }
}

#[test]
fn polls_within_polls() {
    let mut toy = Toy::start();
    for mode in [ProbeMode::Session, ProbeMode::Multi, ProbeMode::Perf] {
        let Some(mut tracer) = attach(&toy, mode, false) else { continue };
        toy.tell("nested 50");
        let events = drain_all(&mut tracer);
        let hits = tracer.hits();
        assert_eq!(
            (hits.entries, hits.returns, hits.start_unseen, hits.end_unseen),
            (100, 100, 0, 0),
            "{mode}"
        );
        let seen = by_task(&events);
        let [outer, inner] = seen.values().collect::<Vec<_>>()[..] else { panic!("two tasks: {seen:?}") };
        assert_eq!((outer.polls, inner.polls), (50, 50), "{mode}");
        let busy = |id: &u64| -> u64 {
            let of = |event: &TraceEvent| match event {
                TraceEvent::Poll { task, duration_ns: Some(duration), .. } if task.id == *id => *duration,
                _ => 0,
            };
            events.iter().map(of).sum()
        };
        let busy: Vec<u64> = seen.keys().map(busy).collect();
        assert!(busy[1] < busy[0], "{mode}: {busy:?}: the inner polls are a part of the outer ones");
    }
}

#[test]
fn a_poll_that_never_returns_is_dropped_at_the_next() {
    let mut toy = Toy::start();
    let Some(mut tracer) = attach(&toy, ProbeMode::Auto, false) else { return };
    toy.tell("crossed 20");
    let hits = tracer.hits();
    assert_eq!((hits.entries, hits.returns, hits.not_followed), (21, 1, 0), "{hits:?}");
    assert_eq!((hits.end_unseen, hits.start_unseen), (20, 0), "{hits:?}");
    assert_eq!(by_task(&drain_all(&mut tracer)).values().map(|seen| seen.polls).sum::<u64>(), 1);
    assert!(tracer.running().is_empty());
}

#[test]
fn a_poll_that_takes_long_is_seen_before_it_ends() {
    let mut toy = Toy::start();
    let Some(mut tracer) = attach(&toy, ProbeMode::Auto, false) else { return };
    toy.order("blocking 500");
    let deadline = Instant::now() + Duration::from_secs(5);
    let running = loop {
        let running = tracer.running();
        if !running.is_empty() {
            break running;
        }
        assert!(Instant::now() < deadline, "it is never seen");
    };
    assert_eq!(running.len(), 1);
    assert_eq!((&*running[0].name, running[0].tid), ("toy_poll_blocking", toy.pid()));
    toy.wait_for_order();
    let events = drain_all(&mut tracer);
    let last = events.iter().rfind(|event| matches!(event, TraceEvent::Poll { .. }));
    let Some(TraceEvent::Poll { t_ns, duration_ns: Some(duration), task, .. }) = last else {
        panic!("{events:?}")
    };
    assert_eq!((running[0].task, running[0].since_ns), (*task, t_ns - duration));
    assert!(*duration >= 500_000_000, "{duration} ns");
    assert!(tracer.running().is_empty());
}

#[test]
fn a_full_ring_is_counted_and_then_forgotten() {
    let mut toy = Toy::start();
    let Some(mut tracer) = attach(&toy, ProbeMode::Auto, false) else { return };
    let polls = 300_000;
    toy.tell(&format!("polls 1 1 {polls}"));
    let mut events = Vec::new();
    // One call hands out a bounded number of records.
    loop {
        let before = events.len();
        tracer.finish(&mut events).expect("the accounts can be read");
        if events.len() == before {
            break;
        }
    }
    let told: u64 =
        events.iter().map(|e| if let TraceEvent::Lost { count, .. } = e { *count } else { 0 }).sum();
    let seen: u64 = by_task(&events).values().map(|seen| seen.polls).sum();
    assert!(told > 0, "the ring is smaller than that");
    assert_eq!(tracer.lost(), told);
    assert_eq!(seen, polls, "moves were lost, no polls: the sums tell them");

    toy.tell("polls 1 1 43");
    let after = drain_all(&mut tracer);
    let (_, task) = by_task(&after).pop_last().expect("one task");
    assert_eq!((task.polls, task.gaps, task.paths), (43, 0, expected_paths(43)));
}

#[test]
fn what_happens_while_the_probes_are_out_is_not_seen_and_costs_nothing() {
    let mut toy = Toy::start();
    let Some(mut tracer) = attach(&toy, ProbeMode::Auto, false) else { return };
    toy.tell("polls 1 3 7");
    tracer.pause();
    assert!(!tracer.is_live());
    let hits = tracer.hits();
    toy.tell("polls 1 5 11");
    assert_eq!(tracer.hits(), hits, "no probe was in");
    tracer.resume().expect("it worked before");
    assert!(tracer.is_live());
    toy.tell("polls 1 2 7");
    let events = drain_all(&mut tracer);
    let seen: Vec<u64> = by_task(&events).values().map(|task| task.polls).collect();
    assert_eq!(seen, [7, 7, 7, 7, 7]);
    assert!(by_task(&events).values().all(|task| task.gaps == 0 && task.paths == expected_paths(7)));
    assert_eq!((tracer.hits().entries, tracer.hits().returns), (35, 35));
}

/// 40,000 tasks, in parts that the ring holds.
fn many_short_lives(toy: &mut Toy, tracer: &mut Tracer, events: &mut Vec<TraceEvent>) {
    for _ in 0..8 {
        toy.tell("polls 2 2500 2");
        tracer.drain(events).expect("drains");
    }
}

/// More tasks than a quarter of the slots there are (131,072). Those at rest go when others end ten seconds later, until no
/// more than that are left; what they said stays.
/// How long all this takes is the machine's affair: nothing here counts seconds but to give up.
#[test]
fn accounts_make_room_and_nothing_is_lost_or_told_twice() {
    let mut toy = Toy::start();
    let Some(mut tracer) = attach(&toy, ProbeMode::Auto, false) else { return };
    let mut events = Vec::new();
    many_short_lives(&mut toy, &mut tracer, &mut events);
    let start = Instant::now();
    let mut later = 0;
    // 40,000 there are, none of which was looked at yet.
    while tracer.accounts() == 0 || tracer.accounts() > 1 << 15 {
        assert!(start.elapsed() < Duration::from_secs(90), "{} accounts are left", tracer.accounts());
        toy.tell("polls 1 1 5");
        later += 1;
        drain_for(&mut tracer, Duration::from_millis(500), &mut events);
    }
    many_short_lives(&mut toy, &mut tracer, &mut events);
    tracer.finish(&mut events).expect("the accounts can be read");
    assert_eq!(tracer.lost(), 0);
    let seen = by_task(&events);
    assert_eq!(seen.len(), 80_000 + later);
    for (place, (id, task)) in seen.into_iter().enumerate() {
        let polls = if (40_000..40_000 + later).contains(&place) { 5 } else { 2 };
        let end = Some(PollEnd::Gone);
        assert_eq!((task.spawned, task.polls, task.end, task.gaps), (1, polls, end, 0), "task {id}");
    }
}

fn drain_for(tracer: &mut Tracer, time: Duration, events: &mut Vec<TraceEvent>) {
    let start = Instant::now();
    while start.elapsed() < time {
        tracer.drain(events).expect("the accounts can be read");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn auto_takes_the_best_that_a_try_finds() {
    let toy = Toy::start();
    let Some(tracer) = attach(&toy, ProbeMode::Auto, false) else { return };
    let modes = async_inspect::trace::probe_modes();
    for (mode, outcome) in &modes {
        println!("{mode}: {outcome:?}");
    }
    let best = modes.iter().find(|(_, outcome)| outcome.is_ok()).expect("one of them was just used");
    assert_eq!(tracer.mode(), best.0);
    for (program, verified) in tracer.verified() {
        println!("{program}: {verified} instructions verified");
        // Far from the million that any kernel since 5.2 allows.
        assert!(verified < 500_000, "{program}: {verified}");
    }
}

#[test]
fn a_target_in_its_own_pid_namespace_has_our_thread_ids() {
    let Some(mut toy) = Toy::start_in_pid_namespace() else {
        eprintln!("\n=== SKIPPED, nothing was tested: unshare(1) cannot make a PID namespace here ===\n");
        return;
    };
    let Some(mut tracer) = attach(&toy, ProbeMode::Auto, false) else { return };
    toy.tell("nested 3");
    let events = drain_all(&mut tracer);
    let tids: Vec<u32> = events
        .iter()
        .filter_map(|event| if let TraceEvent::Poll { tid, .. } = event { Some(*tid) } else { None })
        .collect();
    assert!(!tids.is_empty());
    assert!(tids.iter().all(|tid| *tid == toy.pid()), "{tids:?}");
}

/// Runs itself as a user who may nothing.
#[test]
fn without_rights_the_error_names_them() {
    if std::env::var_os("TOY_UNPRIVILEGED").is_none() {
        let status = Command::new(std::env::current_exe().expect("we run"))
            .args(["--exact", "without_rights_the_error_names_them"])
            .env("TOY_UNPRIVILEGED", "1")
            .uid(65534)
            .gid(65534)
            .status();
        match status {
            Ok(status) => assert!(status.success()),
            Err(why) => {
                eprintln!("\n=== SKIPPED, nothing was tested: cannot become another user: {why} ===\n");
            }
        }
        return;
    }
    let toy = Toy::start();
    for mode in [ProbeMode::Auto, ProbeMode::Session, ProbeMode::Multi, ProbeMode::Perf] {
        match Tracer::attach(&toy.target(), &toy::plan(&toy), mode, false).err() {
            Some(TraceError::NotPermitted { missing, .. }) => assert_eq!(missing, ["CAP_PERFMON", "CAP_BPF"]),
            other => panic!("{mode}: {other:?}"),
        }
    }
}

#[test]
fn no_such_target() {
    let toy = Toy::start();
    let (mut target, plan) = (toy.target(), toy::plan(&toy));
    toy.quit();
    let refused = |target: &_| Tracer::attach(target, &plan, ProbeMode::Auto, false).err();
    assert!(matches!(refused(&target), Some(TraceError::TargetGone)), "{:?}", refused(&target));
    // Linux never hands out this one.
    target.pid = u32::MAX >> 2;
    assert!(matches!(refused(&target), Some(TraceError::TargetGone)), "{:?}", refused(&target));
}
