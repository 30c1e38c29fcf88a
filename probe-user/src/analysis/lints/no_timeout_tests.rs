use super::no_timeout::NoTimeout;
use crate::analysis::{Answer, Case, Lint as _};
use crate::decode::{ResourceKind, Task, Wait};
use crate::model::sample::{MS, SECOND, Shop, tokio};
use crate::model::{Limits, Mode, Model};
use crate::trace::{PollEnd, TraceEvent};

/// `fetch_user`, reading over a connection of its own.
fn reading(shop: &Shop, id: u64) -> Task {
    let path = shop.reading();
    let wait = Wait { outgoing: true, fd: Some(7), ..Wait::of_kind(ResourceKind::Io, path[path.len() - 1]) };
    Task { waits: [wait].into(), ..shop.fetching(id, &path) }
}

/// What is told of tasks that were all polled at one second, and read at two and at the last one.
fn told(shop: &Shop, tasks: &[Task], mode: Mode, last: u64) -> Answer {
    let mut model = Model::new(mode, shop.frames.clone(), SECOND, Limits::default());
    let mut events = Vec::new();
    for task in tasks {
        let (end, duration_ns) = (PollEnd::Pending, Some(MS));
        let poll = TraceEvent::Poll {
            t_ns: SECOND,
            task: task.id,
            tid: 7,
            count: 1,
            duration_ns,
            end,
            off_cpu: None,
        };
        model.trace(poll, &mut events);
    }
    for second in [2, last] {
        model.snapshot_taken(shop.snapshot(second * SECOND, tasks.to_vec()).into(), &mut events);
    }
    NoTimeout.look(&Case::of_model(&model).expect("it has a snapshot"))
}

#[test]
fn who_waits_long_for_an_answer_is_told_once_per_place() {
    let shop = Shop::new();
    let tasks = [reading(&shop, 1), reading(&shop, 2)];
    let Answer::Found(found) = told(&shop, &tasks, Mode::Session, 12) else { panic!("not found") };
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].tasks, [tokio(1), tokio(2)]);
    assert_eq!(found[0].places[0].line.as_ref().map(|line| line.line), Some(171));
    assert_eq!(told(&shop, &tasks, Mode::Session, 9), Answer::Fine, "not yet");
    assert!(matches!(told(&shop, &tasks, Mode::Snapshots, 12), Answer::Blind(_)));
}

#[test]
fn a_timer_beside_it_or_a_connection_from_outside_or_a_librarys_own_task_is_healthy() {
    let shop = Shop::new();
    let mut timed = reading(&shop, 1);
    let leaf = timed.waits[0].leaf;
    timed.waits = timed.waits.iter().cloned().chain([Wait::of_kind(ResourceKind::Timer, leaf)]).collect();
    let mut accepted = reading(&shop, 2);
    accepted.waits[0].outgoing = false;
    let path = shop.reading();
    let of_library = Task { waits: reading(&shop, 3).waits, ..shop.fetching(3, &path[2..]) };
    assert_eq!(told(&shop, &[timed, accepted, of_library], Mode::Session, 60), Answer::Fine);
}
