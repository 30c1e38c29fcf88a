use super::*;
use crate::model::sample::{MS, SECOND, Shop, tokio};
use crate::model::{Limits, Mode, Update};
use crate::sample::Run;
use crate::trace::{PollEnd, TraceEvent};

fn model(shop: &Shop) -> Model {
    Model::new(Mode::Sample { hz: 1000 }, shop.frames.clone(), SECOND, Limits::default())
}

fn round(t_ns: u64, runs: &[(u64, u32)]) -> Update {
    let runs = runs.iter().map(|(task, hits)| Run { task: *task, tid: 7, path: None, hits: *hits }).collect();
    Update::Samples(Round { t_ns, period_ns: MS, looks: 100, missed: 10, threads: 2, runs })
}

fn snapshot(shop: &Shop, t_ns: u64, tasks: &[(u64, &[FrameId])]) -> Update {
    let tasks = tasks.iter().map(|(id, path)| shop.fetching(*id, path)).collect();
    Update::Snapshot(Box::new(shop.snapshot(t_ns, tasks)))
}

#[test]
fn looks_are_booked_where_a_task_last_rested() {
    let (shop, mut out) = (Shop::new(), vec![]);
    let mut model = model(&shop);
    let (sleeping, reading) = (shop.sleeping(), shop.reading());
    model.apply(snapshot(&shop, SECOND, &[(1, &sleeping), (2, &sleeping)]), &mut out);
    model.apply(round(SECOND + 100 * MS, &[(1, 40)]), &mut out);
    model.apply(snapshot(&shop, SECOND + 100 * MS, &[(1, &reading), (2, &sleeping)]), &mut out);
    model.apply(round(SECOND + 200 * MS, &[(1, 10)]), &mut out);

    let task = model.get(tokio(1)).expect("it lives");
    assert_eq!((task.polls, task.busy_ns), (None, Some(55 * MS)), "polls are unknown, not zero");
    let busy = model.busy(task).expect("sampled");
    assert_eq!((busy.hits, busy.looks, busy.missed, busy.span_ns), (50, 200, 20, 220 * MS));
    assert_eq!(busy.ns(), 55 * MS, "in what was missed it was as in the rest");
    let [first, second] = model.times(task)[..] else { panic!("two places: {:?}", model.times(task)) };
    assert_ne!(first.at, second.at);
    assert_eq!((first.busy.hits, second.busy.hits), (40, 10));
    assert_eq!((first.wait.hits, first.wait.looks, first.wait.span_ns), (1, 2, 200 * MS));

    let idle = model.get(tokio(2)).expect("it lives");
    assert_eq!((idle.busy_ns, model.busy(idle).map(|busy| busy.hits)), (Some(0), Some(0)));
    assert_eq!(model.times(idle)[0].wait.hits, 2);
    assert_eq!(model.totals().busy_ns, Some(55 * MS));
    let looks = model.looks().expect("sampled");
    assert_eq!((looks.looks, looks.missed, looks.span_ns()), (200, 20, 220 * MS));
}

#[test]
fn what_looks_tell_of_a_place_counts_more_than_an_old_snapshot() {
    let (shop, mut out) = (Shop::new(), vec![]);
    let mut model = model(&shop);
    let (sleeping, reading) = (shop.sleeping(), shop.reading());
    model.apply(snapshot(&shop, SECOND, &[(1, &sleeping)]), &mut out);
    let run = |path: Option<&Vec<FrameId>>, hits| Run {
        task: 1,
        tid: 7,
        path: path.map(|path| path[..].into()),
        hits,
    };
    let runs =
        vec![run(None, 5), run(Some(&sleeping), 1), run(Some(&reading), 30), run(Some(&shop.unresumed()), 2)];
    let round = Round { t_ns: SECOND + 100 * MS, period_ns: MS, looks: 100, missed: 0, threads: 2, runs };
    model.apply(Update::Samples(round), &mut out);
    let task = model.get(tokio(1)).expect("it lives");
    let place =
        |path: &[FrameId]| Spot::Await(crate::decode::place_of(path, &shop.frames).expect("it awaits"));
    let times: Vec<_> = model.times(task).iter().map(|time| (time.at, time.busy.hits)).collect();
    assert_eq!(times, [(place(&reading), 30), (place(&sleeping), 6), (Spot::Start, 2)]);
    assert_eq!(
        task.path().and_then(|path| path.place).map(Spot::Await),
        Some(place(&sleeping)),
        "where it rests"
    );
}

#[test]
fn a_task_seen_running_before_any_snapshot_gets_its_looks_later() {
    let (shop, mut out) = (Shop::new(), vec![]);
    let mut model = model(&shop);
    let sleeping = shop.sleeping();
    model.apply(snapshot(&shop, SECOND, &[(1, &sleeping)]), &mut out);
    model.apply(round(SECOND + 100 * MS, &[(1, 1)]), &mut out);
    model.apply(round(SECOND + 200 * MS, &[(8, 60), (9, 30)]), &mut out);
    assert!(model.get(tokio(8)).is_none(), "an id alone is no task");
    model.apply(snapshot(&shop, SECOND + 250 * MS, &[(1, &sleeping), (8, &sleeping)]), &mut out);

    let task = model.get(tokio(8)).expect("named by the snapshot");
    let busy = model.busy(task).expect("sampled");
    assert_eq!((busy.hits, busy.looks), (60, 100), "it was there for the looks that saw it");
    // 9 came and went between two snapshots.
    assert!(model.get(tokio(9)).is_none());
    assert_eq!(model.looks().expect("sampled").unnamed, 30);
    assert_eq!(model.totals().busy_ns, Some(67 * MS + MS / 10));
}

#[test]
fn beside_probes_estimates_stay_apart() {
    let (shop, mut out) = (Shop::new(), vec![]);
    let mut model = Model::new(Mode::Session, shop.frames.clone(), SECOND, Limits::default());
    let sleeping = shop.sleeping();
    let poll = |t_ns| TraceEvent::Poll {
        t_ns,
        task: tokio(1),
        tid: 7,
        count: 1,
        duration_ns: Some(3 * MS),
        end: PollEnd::Pending,
        off_cpu: None,
    };
    model.apply(snapshot(&shop, SECOND, &[(1, &sleeping)]), &mut out);
    model.apply(Update::Trace(vec![poll(SECOND + 10 * MS)]), &mut out);
    assert!(model.looks().is_none() && model.busy(model.get(tokio(1)).expect("it lives")).is_none());
    model.apply(Update::Trace(vec![TraceEvent::Paused { t_ns: SECOND + 20 * MS }]), &mut out);
    assert!(model.looks().is_none());
    // The snapshot was begun while they were in.
    model.apply(snapshot(&shop, SECOND + 15 * MS, &[(1, &sleeping)]), &mut out);
    model.apply(round(SECOND + 130 * MS, &[(1, 40)]), &mut out);
    model.apply(snapshot(&shop, SECOND + 130 * MS, &[(1, &sleeping)]), &mut out);
    assert!(model.looks().is_some_and(|looks| looks.now && looks.hz() == 1000));
    model.apply(Update::Trace(vec![TraceEvent::Resumed { t_ns: SECOND + 140 * MS }]), &mut out);
    model.apply(Update::Trace(vec![poll(SECOND + 150 * MS)]), &mut out);
    model.apply(snapshot(&shop, SECOND + 160 * MS, &[(1, &sleeping), (2, &sleeping)]), &mut out);

    let task = model.get(tokio(1)).expect("it lives");
    assert_eq!((task.polls, task.busy_ns), (Some(2), Some(6 * MS)), "what was measured");
    assert_eq!((model.totals().polls, model.totals().busy_ns), (Some(2), Some(6 * MS)));
    let looks = model.looks().expect("sampled");
    assert_eq!((looks.busy_ns, looks.span_ns(), looks.now), (44 * MS, 110 * MS, false));
    let [time] = model.times(task)[..] else { panic!("one place: {:?}", model.times(task)) };
    assert_eq!((time.busy.hits, time.busy.span_ns), (40, 110 * MS));
    assert_eq!((time.wait.hits, time.wait.looks, time.wait.span_ns), (1, 1, 110 * MS), "out for so long");
    let later = model.busy(model.get(tokio(2)).expect("it lives")).expect("sampled");
    assert_eq!((later.looks, later.span_ns), (0, 0), "it was not there then");
}

#[test]
fn looks_after_its_end_are_not_a_tasks_own() {
    let (shop, mut out) = (Shop::new(), vec![]);
    let mut model = model(&shop);
    let sleeping = shop.sleeping();
    model.apply(snapshot(&shop, SECOND, &[(1, &sleeping), (2, &sleeping)]), &mut out);
    model.apply(round(SECOND + 100 * MS, &[(2, 50)]), &mut out);
    for i in 1..=2 {
        model.apply(snapshot(&shop, SECOND + (100 + i) * MS, &[(1, &sleeping)]), &mut out);
    }
    model.apply(round(SECOND + 200 * MS, &[(2, 5)]), &mut out);
    let task = model.get(tokio(2)).expect("kept for a while");
    assert!(task.has_ended());
    assert_eq!(model.busy(task).map(|busy| (busy.hits, busy.looks)), Some((50, 100)));
    assert_eq!(model.looks().expect("sampled").unnamed, 5);
}

#[test]
fn places_beyond_the_bound_are_one_sum() {
    let mut sampled = Sampled::default();
    for i in 0..40 {
        sampled.stay(Spot::Await(FrameId(i))).ran += 1;
    }
    assert_eq!(sampled.stays.len(), STAYS + 1);
    assert_eq!(sampled.stays.last(), Some(&Stay { at: Spot::Elsewhere, ran: 24, rested: 0 }));
}
