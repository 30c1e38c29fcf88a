use super::*;
use crate::model::sample::{MS, SECOND, Shop, tokio};
use crate::model::{Limits, Mode, Model, sample_long_poll};
use crate::trace::{Histogram, OffCpu, PollEnd, Timed, TraceEvent};
use std::sync::Arc;

/// Quotes a line for one file only.
struct Quote;

impl SourceText for Quote {
    fn text(&self, line: &crate::decode::SourceLine) -> Option<String> {
        line.file.ends_with("api.rs").then(|| "let posts = client.execute(\x1b).await;".into())
    }
}

fn shown(model: &Model, id: u64, now_ns: u64) -> String {
    let id = tokio(id);
    let entry = model.get(id).unwrap();
    let places = Places::of(model.frames());
    let kind = model.times_of(&entry.name);
    let input = CardInput {
        id,
        name: &entry.name,
        entry: Some(entry),
        task: model.in_snapshot(id),
        frames: model.frames(),
        places: &places,
        busy: None,
        kind: kind.as_ref(),
        sources: &Quote,
        now_ns: Some(now_ns),
    };
    let mut out = vec![];
    write_with_tree(&mut out, input, Paint { color: false }).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn traced_from_birth() {
    let shop = Shop::new();
    let mut model = Model::new(Mode::Session, shop.frames.clone(), SECOND, Limits::default());
    let mut out = vec![];
    let t = 2 * SECOND;
    let task = tokio(42);
    model.trace(
        TraceEvent::Spawn { t_ns: t, task, name: "shop::api::fetch_user".into(), parent: None },
        &mut out,
    );
    let poll = |t_ns, end| TraceEvent::Poll {
        t_ns,
        task,
        tid: 7,
        count: 1,
        duration_ns: Some(600_000),
        end,
        off_cpu: None,
    };
    let step =
        |t_ns, from: Vec<_>, to: Vec<_>| TraceEvent::State { t_ns, task, from: from.into(), to: to.into() };
    model.trace(poll(t + MS, PollEnd::Pending), &mut out);
    model.trace(step(t + MS, shop.unresumed(), shop.sleeping()), &mut out);
    model.trace(poll(t + 2 * MS, PollEnd::Pending), &mut out);
    model.trace(step(t + 2 * MS, shop.sleeping(), shop.reading()), &mut out);
    let snapshot = shop.snapshot(t + 3 * MS, vec![shop.fetching(42, &shop.reading())]);
    model.snapshot_taken(Box::new(snapshot), &mut out);
    insta::assert_snapshot!(shown(&model, 42, t + 2300 * MS));

    let (idle_ns, poll_max_ns) = (Some(500_000), Some(600_000));
    let delays = TraceEvent::Delays {
        t_ns: t + 2 * MS,
        task,
        count: 1,
        sum_ns: 9000,
        max_ns: 9000,
        idle_ns,
        poll_max_ns,
    };
    model.trace(delays, &mut out);
    let of = Timed {
        name: "shop::api::fetch_user".into(),
        at: Some(shop.sleeping().into()),
        polls: Histogram::of([600_000, 600_000]),
        delays: Histogram::of([9000]),
        idle_ns: 500_000,
    };
    model.trace(TraceEvent::Timed { t_ns: t + 3 * MS, of: Box::new(of) }, &mut out);
    insta::assert_snapshot!("times", shown(&model, 42, t + 2300 * MS));

    model.trace(poll(t + 2400 * MS, PollEnd::Panicked), &mut out);
    insta::assert_snapshot!("panicked", shown(&model, 42, t + 5 * SECOND));
}

#[test]
fn held_up_within_a_poll() {
    let shop = Shop::new();
    let mut model = Model::new(Mode::Session, shop.frames.clone(), SECOND, Limits::default());
    let (mut out, task, t) = (vec![], tokio(42), 2 * SECOND);
    let snapshot = shop.snapshot(t, vec![shop.fetching(42, &shop.sleeping())]);
    model.snapshot_taken(Box::new(snapshot), &mut out);
    let off_cpu = Some(OffCpu { blocked_ns: 9 * MS, preempted_ns: MS });
    let (count, duration_ns, end) = (1, Some(12 * MS), PollEnd::Pending);
    model.trace(TraceEvent::Poll { t_ns: t + MS, task, tid: 7, count, duration_ns, end, off_cpu }, &mut out);
    let (name, poll) = ("shop::api::fetch_user".into(), Arc::new(sample_long_poll(t + 2 * MS)));
    model.trace(TraceEvent::LongPoll { t_ns: t + 14 * MS, task, tid: 7, name, poll }, &mut out);
    insta::assert_snapshot!(shown(&model, 42, t + 20 * MS));
}

#[test]
fn from_snapshots_alone() {
    let shop = Shop::new();
    let mut model = Model::new(Mode::Snapshots, shop.frames.clone(), SECOND, Limits::default());
    let mut out = vec![];
    model.snapshot_taken(Box::new(shop.busy_day(SECOND)), &mut out);
    let mut later = shop.busy_day(2 * SECOND);
    let moved = later.tasks.iter_mut().find(|task| task.id.id == 10).unwrap();
    *moved = shop.fetching(10, &shop.sleeping());
    model.snapshot_taken(Box::new(later), &mut out);
    let cards: Vec<_> = [10, 1, 30, 40, 50].map(|id| shown(&model, id, 3 * SECOND)).into();
    insta::assert_snapshot!(cards.join("\n"));
}
