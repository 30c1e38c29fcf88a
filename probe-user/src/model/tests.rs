use super::sample::{MS, SECOND, Shop, tokio};
use super::*;
use crate::decode::{FrameId, RuntimeKind, Task, TaskId, waits_of};
use crate::trace::{Doer, PollEnd, TraceEvent};

fn model(shop: &Shop, mode: Mode) -> Model {
    Model::new(mode, shop.frames.clone(), SECOND, Limits::default())
}

fn poll(t_ns: u64, id: u64, end: PollEnd) -> TraceEvent {
    TraceEvent::Poll { t_ns, task: tokio(id), tid: 7, count: 1, duration_ns: Some(MS), end, off_cpu: None }
}

fn words(events: &[Event]) -> Vec<String> {
    let word = |event: &Event| match event {
        Event::Spawn { task, existing, .. } => format!("spawn {} existing={existing}", task.id),
        Event::Poll { task, count, .. } => format!("poll {} x{count}", task.id),
        Event::LongPoll { task, .. } => format!("long poll {}", task.id),
        Event::State { task, .. } => format!("state {}", task.id),
        Event::Parent { task, .. } => format!("parent {}", task.id),
        Event::Wake { task, .. } => format!("wake {}", task.id),
        Event::Delays { task, count, .. } => format!("delays {} x{count}", task.id),
        Event::Timed { of, .. } => format!("timed {} x{}", of.name, of.polls.count()),
        Event::Ended { task, how, .. } => format!("{how:?} {}", task.id),
        Event::Lost { count, .. } => format!("lost {count}"),
        Event::Budget { probes_in, .. } => format!("in={probes_in}"),
        Event::Looked { looks, .. } => format!("looked x{looks}"),
        Event::Sampled { task, hits, .. } => format!("ran {} x{hits}", task.id),
    };
    events.iter().map(word).collect()
}

#[test]
fn snapshots_alone_tell_places_but_no_polls() {
    let shop = Shop::new();
    let mut model = model(&shop, Mode::Snapshots);
    let mut out = vec![];
    model.snapshot_taken(Box::new(shop.snapshot(SECOND, vec![shop.fetching(1, &shop.sleeping())])), &mut out);
    let two = vec![shop.fetching(1, &shop.reading()), shop.fetching(2, &shop.sleeping())];
    model.snapshot_taken(Box::new(shop.snapshot(2 * SECOND, two)), &mut out);
    assert_eq!(words(&out), ["spawn 1 existing=true", "state 1", "spawn 2 existing=false"]);

    let one = model.get(tokio(1)).unwrap();
    assert_eq!((one.polls, one.busy_ns), (None, None), "unknown, not zero");
    assert_eq!(one.idle_for(3 * SECOND), Some((SECOND, Known::About)));
    assert_eq!(one.age(3 * SECOND), (2 * SECOND, Known::AtLeast));
    assert_eq!(model.get(tokio(2)).unwrap().age(3 * SECOND), (SECOND, Known::About));
    assert_eq!(model.totals().polls, None);
}

#[test]
fn a_task_missing_once_is_kept_and_missing_twice_is_gone() {
    let shop = Shop::new();
    let mut model = model(&shop, Mode::Snapshots);
    let mut out = vec![];
    model.snapshot_taken(Box::new(shop.snapshot(SECOND, vec![shop.fetching(1, &shop.sleeping())])), &mut out);
    model.snapshot_taken(Box::new(shop.snapshot(2 * SECOND, vec![])), &mut out);
    assert!(!model.get(tokio(1)).unwrap().has_ended());
    assert!(model.in_snapshot(tokio(1)).is_none());
    model.snapshot_taken(Box::new(shop.snapshot(3 * SECOND, vec![])), &mut out);
    assert_eq!(words(&out), ["spawn 1 existing=true", "Unseen 1"]);
    assert_eq!(model.totals().gone, 1);
    assert_eq!(model.live_count(), 0);
}

#[test]
fn polls_of_tasks_that_no_probe_sees_are_unknown() {
    let shop = Shop::new();
    let mut model = model(&shop, Mode::Session);
    let mut out = vec![];
    let other = |id| TaskId { runtime: RuntimeKind::AsyncTask, id };
    let on_smol = |path: &[FrameId]| Task { id: other(1), ..shop.fetching(1, path) };
    let first = vec![shop.fetching(1, &shop.sleeping()), on_smol(&shop.sleeping())];
    model.snapshot_taken(Box::new(shop.snapshot(SECOND, first)), &mut out);
    let second = vec![shop.fetching(1, &shop.reading()), on_smol(&shop.reading())];
    model.snapshot_taken(Box::new(shop.snapshot(2 * SECOND, second)), &mut out);
    assert_eq!(model.get(tokio(1)).unwrap().polls, Some(0));
    assert_eq!(model.get(other(1)).unwrap().polls, None);
    let moved: Vec<_> = out
        .iter()
        .filter_map(|event| if let Event::State { task, .. } = event { Some(*task) } else { None })
        .collect();
    assert_eq!(moved, [other(1)], "moves of tokio's tasks are the trace's to tell");
}

#[test]
fn traced_polls_add_up_and_completion_ends_a_task() {
    let shop = Shop::new();
    let mut model = model(&shop, Mode::Session);
    let mut out = vec![];
    let name = "shop::api::fetch_user".into();
    let spawn =
        TraceEvent::Spawn { t_ns: 2 * SECOND, task: tokio(9), name, parent: Some(Doer::Task(tokio(1))) };
    let state = TraceEvent::State {
        t_ns: 2 * SECOND + MS,
        task: tokio(9),
        from: shop.unresumed().into(),
        to: shop.sleeping().into(),
    };
    let done = poll(3 * SECOND, 9, PollEnd::Complete);
    for event in [spawn, poll(2 * SECOND + MS, 9, PollEnd::Pending), state, done] {
        model.trace(event, &mut out);
    }
    assert_eq!(words(&out), ["spawn 9 existing=false", "poll 9 x1", "state 9", "poll 9 x1", "Complete 9"]);
    let task = model.get(tokio(9)).unwrap();
    assert_eq!((task.polls, task.busy_ns), (Some(2), Some(2 * MS)));
    assert_eq!(task.phase, TaskPhase::Ended(Ending::Complete));
    assert_eq!(task.age(9 * SECOND), (SECOND, Known::Exact));
    assert_eq!(task.history.len(), 2, "where it started, and where it slept");
    assert_eq!(task.parent, Some(Doer::Task(tokio(1))));
    let totals = model.totals();
    assert_eq!((totals.spawned, totals.completed, totals.polls), (1, 1, Some(2)));
}

#[test]
fn a_late_snapshot_does_not_revive_an_ended_task() {
    let shop = Shop::new();
    let mut model = model(&shop, Mode::Multi);
    let mut out = vec![];
    model.snapshot_taken(Box::new(shop.snapshot(SECOND, vec![shop.fetching(1, &shop.sleeping())])), &mut out);
    model.trace(poll(3 * SECOND, 1, PollEnd::Complete), &mut out);
    let late = shop.snapshot(2 * SECOND, vec![shop.fetching(1, &shop.sleeping())]);
    model.snapshot_taken(Box::new(late), &mut out);
    assert_eq!(words(&out), ["spawn 1 existing=true", "poll 1 x1", "Complete 1"]);
    assert_eq!(model.live_count(), 0);
}

#[test]
fn a_snapshot_does_not_repeat_what_the_trace_told() {
    let shop = Shop::new();
    let mut model = model(&shop, Mode::Session);
    let mut out = vec![];
    let (sleeping, reading) = (shop.sleeping(), shop.reading());
    model.snapshot_taken(Box::new(shop.snapshot(SECOND, vec![shop.fetching(1, &sleeping)])), &mut out);
    // The trace's chain is cut short of what a snapshot sees.
    let (from, to) = (sleeping[..1].into(), reading[..2].into());
    model.trace(TraceEvent::State { t_ns: 2 * SECOND, task: tokio(1), from, to }, &mut out);
    model.snapshot_taken(Box::new(shop.snapshot(3 * SECOND, vec![shop.fetching(1, &reading)])), &mut out);
    assert_eq!(words(&out), ["spawn 1 existing=true", "state 1"]);
    let task = model.get(tokio(1)).unwrap();
    assert_eq!(task.history.len(), 2);
    assert_eq!(task.path().unwrap().frames.len(), reading.len(), "the longer chain describes it better");
    assert_eq!(task.history[1].since, Since { t_ns: 2 * SECOND, known: Known::Exact });
}

/// Each snapshot found it being polled, and it never moves.
#[test]
fn a_task_that_only_the_trace_saw_at_rest() {
    let shop = Shop::new();
    let mut model = model(&shop, Mode::Session);
    let mut out = vec![];
    let mut spinning = shop.fetching(1, &shop.sleeping());
    spinning.stale = true;
    model.snapshot_taken(Box::new(shop.snapshot(SECOND, vec![spinning])), &mut out);
    assert_eq!(model.get(tokio(1)).unwrap().path(), None);
    for (t_ns, at) in [(2 * SECOND, shop.sleeping()), (3 * SECOND, shop.reading())] {
        model.trace(TraceEvent::Stands { t_ns, task: tokio(1), at: at.into() }, &mut out);
    }
    assert_eq!(words(&out), ["spawn 1 existing=true"], "it did not move");
    let task = model.get(tokio(1)).unwrap();
    assert_eq!(task.path().unwrap().frames[..], shop.sleeping()[..], "what is known already stays");
    assert_eq!(task.history[0].since, Since { t_ns: SECOND, known: Known::AtLeast });
}

#[test]
fn lost_events_and_unknown_tasks_are_said() {
    let shop = Shop::new();
    let mut model = model(&shop, Mode::Session);
    let mut out = vec![];
    model.trace(TraceEvent::Lost { t_ns: 2 * SECOND, count: 12 }, &mut out);
    model.trace(poll(3 * SECOND, 77, PollEnd::Pending), &mut out);
    assert_eq!(words(&out), ["lost 12", "spawn 77 existing=true", "poll 77 x1"]);
    assert_eq!(model.totals().lost, 12);
    assert_eq!(&*model.get(tokio(77)).unwrap().name, "?");
    // A later snapshot tells its name.
    model.snapshot_taken(
        Box::new(shop.snapshot(4 * SECOND, vec![shop.fetching(77, &shop.sleeping())])),
        &mut out,
    );
    assert_eq!(&*model.get(tokio(77)).unwrap().name, "shop::api::fetch_user");
}

#[test]
fn every_table_is_bounded_and_says_what_it_dropped() {
    let shop = Shop::new();
    let limits = Limits { live: 2, ended: 1, history: 2, ..Limits::default() };
    let mut model = Model::new(Mode::Session, shop.frames.clone(), SECOND, limits);
    let mut out = vec![];
    for id in 1..=3 {
        let name = "shop::api::fetch_user".into();
        model.trace(TraceEvent::Spawn { t_ns: SECOND, task: tokio(id), name, parent: None }, &mut out);
    }
    model.trace(poll(2 * SECOND, 3, PollEnd::Pending), &mut out);
    assert_eq!((model.live_count(), model.totals().not_kept, model.totals().tasks_seen), (2, 1, 3));
    assert_eq!(model.totals().polls, Some(1), "counted even when its task is not kept");
    for step in 0..4 {
        let (a, b) = (shop.sleeping().into(), shop.reading().into());
        let (from, to) = if step % 2 == 0 { (a, b) } else { (b, a) };
        let t_ns = 3 * SECOND + step;
        model.trace(TraceEvent::State { t_ns, task: tokio(1), from, to }, &mut out);
    }
    let task = model.get(tokio(1)).unwrap();
    assert!(task.history.len() == 2 && task.history_cut);
    model.trace(poll(4 * SECOND, 1, PollEnd::Panicked), &mut out);
    model.trace(poll(4 * SECOND, 2, PollEnd::Cancelled), &mut out);
    assert_eq!(model.tasks().count(), 1, "one ended task is kept");
    model.tick(60 * SECOND);
    assert_eq!(model.tasks().count(), 0, "and not for ever");
}

#[test]
fn entry_probes_count_polls_and_leave_durations_unknown() {
    let shop = Shop::new();
    let mut model = model(&shop, Mode::EntryOnly);
    let mut out = vec![];
    let unseen = PollEnd::Unseen;
    model.trace(
        TraceEvent::Poll {
            t_ns: 2 * SECOND,
            task: tokio(1),
            tid: 7,
            count: 3,
            duration_ns: None,
            end: unseen,
            off_cpu: None,
        },
        &mut out,
    );
    let task = model.get(tokio(1)).unwrap();
    assert_eq!((task.polls, task.busy_ns, task.unmeasured), (Some(3), None, 3));
    assert_eq!(task.phase, TaskPhase::Unknown, "an entry alone does not tell whether it still runs");
}

#[test]
fn leaves_tell_the_kind_of_wait() {
    let shop = Shop::new();
    let kinds = |node| waits_of(&node, &shop.frames).iter().map(|w| w.kind.as_str()).collect::<Vec<_>>();
    assert_eq!(kinds(shop.chain(&shop.sleeping(), 0)), ["timer"]);
    assert_eq!(kinds(shop.chain(&shop.locked(), 0)), ["mutex"]);
    assert_eq!(kinds(shop.chain(&shop.reading(), 0)), ["io"]);
    assert_eq!(kinds(shop.selecting(0)), ["timer", "mpsc"]);
    assert!(kinds(shop.chain(&shop.unresumed(), 0)).is_empty(), "not begun: waits for nothing");
}

#[test]
fn same_inputs_same_events() {
    let run = || {
        let shop = Shop::new();
        let mut model = model(&shop, Mode::Snapshots);
        let mut out = vec![];
        model.snapshot_taken(Box::new(shop.busy_day(SECOND)), &mut out);
        for t in 2..4 {
            model.snapshot_taken(Box::new(shop.snapshot(t * SECOND, vec![])), &mut out);
        }
        words(&out)
    };
    assert_eq!(run(), run());
}

#[test]
fn a_wake_is_counted_and_makes_no_task() {
    let shop = Shop::new();
    let mut model = model(&shop, Mode::Session);
    let mut out = vec![];
    let wake = |t_ns, id| TraceEvent::Wake { t_ns, task: tokio(id), by: Doer::Thread(7) };
    let delays = TraceEvent::Delays {
        t_ns: SECOND,
        task: tokio(9),
        count: 2,
        sum_ns: 30,
        max_ns: 20,
        idle_ns: Some(7),
        poll_max_ns: Some(9),
    };
    model.trace(TraceEvent::Watches { t_ns: SECOND, wakes: true, off_cpu: false }, &mut out);
    model.trace(wake(SECOND, 9), &mut out);
    assert_eq!(model.live_count(), 0, "no other event told of it");
    for event in [
        poll(SECOND, 9, PollEnd::Pending),
        wake(SECOND + MS, 9),
        delays,
        poll(2 * SECOND, 9, PollEnd::Complete),
        wake(3 * SECOND, 9),
    ] {
        model.trace(event, &mut out);
    }
    assert_eq!(model.live_count(), 0, "it has ended");
    let wakes = model.get(tokio(9)).unwrap().wakes;
    assert_eq!((wakes.count, wakes.last), (2, Some((3 * SECOND, Doer::Thread(7)))));
    assert_eq!((wakes.delays.mean_ns(), wakes.delays.max_ns), (Some(15), 20));
    assert_eq!(model.totals().wakes, Some(3));
}
