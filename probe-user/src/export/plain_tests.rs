use super::*;
use crate::model::sample::{MS, SECOND, Shop, tokio};
use crate::model::{Limits, Mode};
use crate::trace::{Doer, Histogram, PollEnd, Timed, TraceEvent};

fn plain(out: &mut Vec<u8>) -> Plain<&mut Vec<u8>> {
    Plain::new(out, Paint { color: false }, SECOND)
}

#[test]
fn a_short_watch() {
    let shop = Shop::new();
    let mut model = Model::new(Mode::Session, shop.frames.clone(), SECOND, Limits::default());
    let mut out = vec![];
    let mut plain = plain(&mut out);
    let mut events = vec![];
    model.snapshot_taken(Box::new(shop.busy_day(SECOND)), &mut events);
    plain.table(&model).unwrap();
    let task = tokio(99);
    let t = 2 * SECOND;
    let name = "shop::api::fetch_user".into();
    let step = |t_ns, a: Vec<_>, b: Vec<_>| TraceEvent::State { t_ns, task, from: a.into(), to: b.into() };
    let timed = |t_ns, at, polls| {
        let (name, polls) = ("shop::api::fetch_user".into(), Histogram::of(polls));
        let of = Timed { name, at, polls, delays: Histogram::of([700]), idle_ns: MS };
        TraceEvent::Timed { t_ns, of: Box::new(of) }
    };
    for event in [
        TraceEvent::Spawn { t_ns: t, task, name, parent: Some(Doer::Task(tokio(1))) },
        step(t + MS, shop.unresumed(), shop.sleeping()),
        step(t + 2 * MS, shop.sleeping(), shop.reading()),
        step(t + 3 * MS, shop.reading(), shop.reading()[..3].to_vec()),
        TraceEvent::Lost { t_ns: t + 4 * MS, count: 1 },
        timed(t + 4 * MS, Some(shop.sleeping().into()), [MS / 2, 3000]),
        timed(t + 4 * MS, None, [2000, 1000]),
        TraceEvent::Poll {
            t_ns: t + 5 * MS,
            task,
            tid: 1,
            count: 3,
            duration_ns: Some(MS),
            end: PollEnd::Complete,
            off_cpu: None,
        },
    ] {
        model.trace(event, &mut events);
    }
    for event in &events {
        plain.event(event, &model);
    }
    model.tick(6 * SECOND);
    plain.table(&model).unwrap();
    plain.note(6 * SECOND, "a snapshot failed: \x1b[2J");
    plain.end(6 * SECOND, &End::Duration, &model).unwrap();
    insta::assert_snapshot!(String::from_utf8(out).unwrap());
}

#[test]
fn snapshots_alone_leave_polls_unknown() {
    let shop = Shop::new();
    let mut model = Model::new(Mode::Snapshots, shop.frames.clone(), SECOND, Limits::default());
    let mut out = vec![];
    let mut plain = plain(&mut out);
    model.snapshot_taken(Box::new(shop.busy_day(SECOND)), &mut vec![]);
    plain.table(&model).unwrap();
    plain.end(3 * SECOND, &End::TargetExited { status: None }, &model).unwrap();
    insta::assert_snapshot!(String::from_utf8(out).unwrap());
}

#[test]
fn a_flood_is_counted_and_not_printed() {
    let shop = Shop::new();
    let mut model = Model::new(Mode::Session, shop.frames.clone(), SECOND, Limits::default());
    let mut events = vec![];
    for id in 0..1_000 {
        let name = "shop::api::fetch_user".into();
        model
            .trace(TraceEvent::Spawn { t_ns: SECOND + id, task: tokio(id), name, parent: None }, &mut events);
    }
    let mut out = vec![];
    let mut plain = plain(&mut out);
    for event in &events {
        plain.event(event, &model);
    }
    plain.end(2 * SECOND, &End::Interrupted, &model).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert_eq!(text.lines().filter(|line| line.contains("spawned") && line.contains('#')).count(), 40);
    assert!(text.contains("… 960 more changes in this second (--json gives each)"), "{text}");
    assert!(text.contains("1,000 spawned"), "{text}");
}

#[test]
fn time_does_not_go_back_and_a_spawn_is_told_once() {
    let shop = Shop::new();
    let mut model = Model::new(Mode::Session, shop.frames.clone(), SECOND, Limits::default());
    let (mut out, mut events) = (vec![], vec![]);
    let mut plain = plain(&mut out);
    model.snapshot_taken(Box::new(shop.busy_day(SECOND)), &mut events);
    events.clear();
    // A snapshot tells of a task before the trace does.
    let reading = shop.reading();
    let mut second = shop.busy_day(SECOND + 200 * MS);
    second.tasks.push(shop.fetching(99, &reading));
    model.snapshot_taken(Box::new(second), &mut events);
    let name = || "shop::api::fetch_user".into();
    let parent = Some(Doer::Thread(7));
    let t_ns = SECOND + 150 * MS;
    for event in [
        TraceEvent::Spawn { t_ns, task: tokio(99), name: name(), parent },
        TraceEvent::Lost { t_ns: SECOND + 100 * MS, count: 1 },
    ] {
        model.trace(event, &mut events);
    }
    for event in &events {
        plain.event(event, &model);
    }
    plain.flush(SECOND + 800 * MS).unwrap();
    let text = String::from_utf8(out).unwrap();
    let lines: Vec<&str> =
        text.lines().filter(|line| line.contains("lost") || line.contains("#99")).collect();
    assert!(
        matches!(lines[..], [lost, spawned]
        if lost.starts_with("    0.100 s") && spawned.ends_with("0.150 s  #99 shop::api::fetch_user  spawned by thread 7")),
        "{text}"
    );
}

#[test]
fn polls_of_tasks_that_cannot_be_told_apart_are_counted_once() {
    let shop = Shop::new();
    let mut model = Model::new(Mode::Session, shop.frames.clone(), SECOND, Limits::default());
    let mut snapshot = shop.snapshot(SECOND, Vec::new());
    for runtime in &mut snapshot.runtimes {
        (runtime.version, runtime.tasks) = (Some("1.8.1".into()), 0);
    }
    model.snapshot_taken(Box::new(snapshot), &mut vec![]);
    let (name, polls) = ("shop::api::fetch_user".into(), Histogram::of([2000, 1000]));
    let of = Timed { name, at: None, polls, delays: Histogram::default(), idle_ns: MS };
    model.trace(TraceEvent::Timed { t_ns: 2 * SECOND, of: Box::new(of) }, &mut vec![]);
    let mut out = vec![];
    plain(&mut out).end(3 * SECOND, &End::Left, &model).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("watched for 2.0 s; you left"), "{text}");
    assert!(text.contains("tasks      not known (tokio older than 1.21)"), "{text}");
    assert!(text.contains("polls      2, busy 3.0 µs, of tasks that cannot be told apart"), "{text}");
    assert!(!text.contains("moves"), "{text}");
}
