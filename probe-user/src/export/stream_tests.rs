use super::*;
use crate::model::Limits;
use crate::model::sample::{MS, SECOND, Shop, tokio};
use crate::trace::{Doer, Histogram, OffCpu, Timed, TraceEvent};

#[test]
fn one_object_per_line() {
    let shop = Shop::new();
    let mut model = Model::new(Mode::Session, shop.frames.clone(), SECOND, Limits::default());
    let mut events = vec![];
    let first = shop.snapshot(SECOND, vec![shop.fetching(1, &shop.reading())]);
    model.snapshot_taken(Box::new(first), &mut events);
    model.trace(TraceEvent::Watches { t_ns: SECOND, wakes: true, off_cpu: true }, &mut events);
    let task = tokio(2);
    let t = 2 * SECOND;
    let name = "shop::api::fetch_user".into();
    let long = Arc::new(crate::model::sample_long_poll(t - 10 * MS));
    let spawn = TraceEvent::Spawn { t_ns: t, task, name, parent: Some(Doer::Task(tokio(1))) };
    let poll = |t_ns, end, duration_ns| TraceEvent::Poll {
        t_ns,
        task,
        tid: 9,
        count: 2,
        duration_ns,
        end,
        off_cpu: Some(OffCpu { blocked_ns: 7000, preempted_ns: 200 }),
    };
    let (from, to) = (shop.unresumed().into(), shop.sleeping().into());
    let timed = |at| {
        let (polls, delays) = (Histogram::of([MS, 2000, 2100]), Histogram::of([8000, 1000]));
        let of = Timed { name: "shop::api::fetch_user".into(), at, polls, delays, idle_ns: 12_000 };
        TraceEvent::Timed { t_ns: t + 2 * MS, of: Box::new(of) }
    };
    for event in [
        spawn,
        poll(t + MS, PollEnd::Pending, Some(MS)),
        TraceEvent::State { t_ns: t + MS, task, from, to },
        TraceEvent::Wake { t_ns: t + MS, task, by: Doer::Thread(77) },
        TraceEvent::Wake { t_ns: t + MS, task, by: Doer::Task(tokio(1)) },
        TraceEvent::Delays {
            t_ns: t + 2 * MS,
            task,
            count: 2,
            sum_ns: 9000,
            max_ns: 8000,
            idle_ns: Some(7),
            poll_max_ns: Some(9),
        },
        TraceEvent::LongPoll {
            t_ns: t + 2 * MS,
            task,
            tid: 9,
            name: "shop::api::fetch_user".into(),
            poll: long,
        },
        TraceEvent::Lost { t_ns: t + 2 * MS, count: 3 },
        timed(Some(shop.sleeping().into())),
        timed(None),
        poll(t + 3 * MS, PollEnd::Panicked, None),
    ] {
        model.trace(event, &mut events);
    }
    let mut out = vec![];
    let mut stream = Stream::new(&mut out, true);
    stream.start(4242, "/srv/shop", Mode::Session, None).unwrap();
    stream.ready(SECOND, 1).unwrap();
    for event in &events {
        stream.event(event, &model).unwrap();
    }
    let end = End::TargetExited { status: Some("exit status: 0".into()) };
    stream.end(t + SECOND, &end, &model).unwrap();
    let text = String::from_utf8(out).unwrap();
    for line in text.lines() {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(value["event"].is_string(), "{line}");
    }
    insta::assert_snapshot!(text);
}
