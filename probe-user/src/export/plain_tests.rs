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
        plain.event(event, &model).unwrap();
    }
    model.tick(6 * SECOND);
    plain.table(&model).unwrap();
    plain.note(6 * SECOND, "a snapshot failed: \x1b[2J").unwrap();
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
        plain.event(event, &model).unwrap();
    }
    plain.end(2 * SECOND, &End::Interrupted, &model).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert_eq!(text.lines().filter(|line| line.contains("spawned") && line.contains('#')).count(), 40);
    assert!(text.contains("… 960 more changes in this second (--json gives each)"), "{text}");
    assert!(text.contains("1,000 spawned"), "{text}");
}
