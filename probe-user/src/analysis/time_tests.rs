//! Lints of what time tells, over made-up readings.

use super::{Answer, Case, Diagnosis, LINTS, Sentence, sentence};
use crate::decode::{
    Certainty, CodeFrame, Queue, QueueKind, Snapshot, SourceLine, Task, TaskState, ThreadPoll,
};
use crate::model::sample::{MS, SECOND, Shop, tokio};
use crate::model::{Limits, Mode, Model, sample_cpu, sample_long_poll};
use crate::target::Avma;
use crate::trace::{Doing, LongPoll, OffCpu, PollEnd, TraceEvent};
use Certainty::{Possible, Proven};
use std::sync::Arc;

/// Worker 0, on thread 7, polls task `id`; `stack`: where it sleeps.
fn poll(id: u64, ran_ns: u64, tick: u32, stack: Option<&[CodeFrame]>) -> ThreadPoll {
    ThreadPoll {
        tid: 7,
        task: tokio(id),
        runtime: Some(0),
        worker: Some(0),
        tick: Some(tick),
        asleep: Some(stack.is_some()),
        system_call: stack.map(|_| "clock_nanosleep".into()),
        futex: None,
        ran_ns: Some(ran_ns),
        sp: stack.map(|_| Avma(0x7ffe_0000)),
        stack: stack.unwrap_or_default().into(),
    }
}

fn asleep() -> Box<[CodeFrame]> {
    sample_long_poll(0).stack
}

/// A task that runs, and one that is ready and stands in the slot of worker 0.
fn reading(shop: &Shop, t_ns: u64, poll: ThreadPoll) -> Snapshot {
    let running = Task { stale: true, state: TaskState::Running, ..shop.fetching(1, &shop.sleeping()) };
    let slot = Queue { kind: QueueKind::LifoSlot, worker: Some(0), position: 0, length: 1 };
    let ready = Task { state: TaskState::Scheduled, queue: Some(slot), ..shop.fetching(2, &shop.reading()) };
    let waiting = shop.fetching(3, &shop.sleeping());
    Snapshot { polls: Some(vec![poll]), ..shop.snapshot(t_ns, vec![running, ready, waiting]) }
}

fn told(diagnosis: &Diagnosis) -> Vec<(&'static str, Certainty, Vec<u64>)> {
    let mut all: Vec<_> = diagnosis
        .findings()
        .iter()
        .map(|finding| (finding.lint, finding.certainty, finding.tasks.iter().map(|task| task.id).collect()))
        .collect();
    all.sort();
    all
}

fn of_two(first: ThreadPoll, second: ThreadPoll) -> Vec<(&'static str, Certainty, Vec<u64>)> {
    let shop = Shop::new();
    let (before, now) = (reading(&shop, SECOND, first), reading(&shop, SECOND + 200 * MS, second));
    told(&Diagnosis::of(&Case::of_two(&before, &now)))
}

#[test]
fn a_thread_that_did_not_run_slept() {
    let stack = asleep();
    let found = of_two(poll(1, 5 * MS, 3, Some(&stack)), poll(1, 5 * MS, 3, Some(&stack)));
    assert_eq!(found, [("blocking-call", Proven, vec![1]), ("starved-task", Proven, vec![2, 1])]);
    // It slept twice, and went for no other task.
    let found = of_two(poll(1, 5 * MS, 3, Some(&stack)), poll(1, 6 * MS, 3, Some(&stack)));
    assert_eq!(found[0], ("blocking-call", Possible, vec![1]));
}

#[test]
fn another_poll_of_the_same_task_is_no_long_one() {
    let stack = asleep();
    assert_eq!(of_two(poll(1, 5 * MS, 3, Some(&stack)), poll(1, 6 * MS, 4, Some(&stack))), []);
    assert_eq!(of_two(poll(1, 5 * MS, 3, None), poll(1, 180 * MS, 9, None)), []);
    assert_eq!(of_two(poll(1, 5 * MS, 3, Some(&stack)), poll(3, 5 * MS, 3, Some(&stack))), []);
}

#[test]
fn who_gave_its_worker_away_holds_nobody_up() {
    let stack = asleep();
    let away = || ThreadPoll { tick: None, ..poll(1, 5 * MS, 3, Some(&stack)) };
    assert_eq!(of_two(away(), away()), []);
}

#[test]
fn a_poll_that_computes_is_possible_by_two_readings() {
    let found = of_two(poll(1, 5 * MS, 3, None), poll(1, 190 * MS, 3, None));
    assert_eq!(found, [("cpu-bound-poll", Possible, vec![1]), ("starved-task", Proven, vec![2, 1])]);
}

#[test]
fn a_runtime_whose_workers_are_all_held_looks_for_nothing() {
    let shop = Shop::new();
    let stack = asleep();
    let [before, now] = [SECOND, SECOND + 200 * MS].map(|t_ns| {
        let mut snapshot = reading(&shop, t_ns, poll(1, 5 * MS, 3, Some(&stack)));
        snapshot.runtimes[0].workers = Some(1);
        snapshot
    });
    let found = told(&Diagnosis::of(&Case::of_two(&before, &now)));
    assert!(found.contains(&("io-driver-stalled", Proven, vec![1])), "{found:?}");
}

#[test]
fn one_reading_asks_for_another_and_none_is_blind() {
    let shop = Shop::new();
    let stack = asleep();
    let once = reading(&shop, SECOND, poll(1, 5 * MS, 3, Some(&stack)));
    let diagnosis = Diagnosis::of(&Case::of_one(&once));
    assert!(told(&diagnosis).is_empty() && diagnosis.look_again_in().is_some());
    let silent = Snapshot { polls: None, ..once };
    let blind = Diagnosis::of(&Case::of_one(&silent));
    let names: Vec<&str> = blind.blind().map(|(lint, _)| lint).collect();
    assert!(["blocking-call", "never-yields", "starved-task", "busy-loop"].iter().all(|n| names.contains(n)));
    assert!(LINTS.iter().all(|lint| !matches!(lint.look(&Case::of_one(&silent)), Answer::Found(_))));
}

fn watched(shop: &Shop) -> Model {
    let mut model = Model::new(Mode::Session, shop.frames.clone(), SECOND, Limits::default());
    let tasks = vec![shop.fetching(1, &shop.sleeping())];
    model.snapshot_taken(Box::new(shop.snapshot(SECOND, tasks)), &mut Vec::new());
    model.trace(TraceEvent::Watches { t_ns: SECOND, wakes: true, off_cpu: true }, &mut Vec::new());
    model
}

fn found_by(model: &Model) -> Vec<(&'static str, Certainty, Vec<u64>)> {
    told(&Diagnosis::of(&Case::of_model(model).expect("a snapshot")))
}

#[test]
fn what_the_trace_told_of_a_long_poll_outlives_it() {
    let (shop, mut out) = (Shop::new(), Vec::new());
    let mut model = watched(&shop);
    let (since_ns, task, tid) = (2 * SECOND, tokio(1), 7);
    let long = Arc::new(sample_long_poll(since_ns));
    let told =
        TraceEvent::LongPoll { t_ns: since_ns + 12 * MS, task, tid, name: "f".into(), poll: long.clone() };
    model.trace(told, &mut out);
    assert_eq!(found_by(&model), [("blocking-call", Possible, vec![1])]);
    let off_cpu = Some(OffCpu { blocked_ns: 120 * MS, preempted_ns: 0 });
    let t_ns = since_ns + 125 * MS;
    let cpu = Default::default();
    model.trace(TraceEvent::LongPollLasts { t_ns, task, tid, since_ns, off_cpu, over: true, cpu }, &mut out);
    assert_eq!(found_by(&model), [("blocking-call", Proven, vec![1])]);
}

#[test]
fn what_computes_is_told_with_its_line() {
    let (shop, mut out) = (Shop::new(), Vec::new());
    let mut model = watched(&shop);
    let (since_ns, task, tid) = (2 * SECOND, tokio(1), 7);
    let (system_call, stack, off_cpu) = (None, Box::default(), Some(OffCpu::default()));
    let poll =
        LongPoll { since_ns, doing: Doing::Running, off_cpu, system_call, stack, cpu: sample_cpu(1, 0) };
    let (name, poll) = ("f".into(), Arc::new(poll));
    model.trace(TraceEvent::LongPoll { t_ns: since_ns + 12 * MS, task, tid, name, poll }, &mut out);
    let (t_ns, cpu) = (since_ns + 125 * MS, sample_cpu(8, 2));
    model.trace(TraceEvent::LongPollLasts { t_ns, task, tid, since_ns, off_cpu, over: true, cpu }, &mut out);
    let diagnosis = Diagnosis::of(&Case::of_model(&model).expect("a snapshot"));
    let [finding] = diagnosis.findings()[..] else { panic!("{:?}", told(&diagnosis)) };
    assert_eq!((finding.lint, finding.certainty), ("cpu-bound-poll", Proven));
    let line = SourceLine { file: "/srv/shop/src/api.rs".into(), line: 157 };
    let called: Arc<str> = "serde_json::to_vec".into();
    let at = sentence![", at ", &line, " (", &called, ")", " in ", 7_u64, " of ", 9_u64, " samples"];
    let said = |words: &Sentence| finding.message.0.windows(words.0.len()).any(|part| part == words.0);
    assert!(said(&at), "{:?}", finding.message);
    let unknown = sentence!["where it was in ", 2_u64, " of ", 9_u64, " samples is not known"];
    assert!(finding.evidence.contains(&unknown), "{:?}", finding.evidence);
}

#[test]
fn only_who_wakes_itself_and_does_nothing_else_spins() {
    let (shop, mut out) = (Shop::new(), Vec::new());
    let busy = |by: u64, poll_ns: u64, out: &mut Vec<_>| {
        let mut model = watched(&shop);
        let (task, t_ns) = (tokio(1), 2 * SECOND);
        let by = crate::trace::Doer::Task(tokio(by));
        (0..20_000).for_each(|_| model.trace(TraceEvent::Wake { t_ns, task, by }, out));
        let duration_ns = Some(20_000 * poll_ns);
        let (tid, count, end, off_cpu) = (7, 20_000, PollEnd::Pending, None);
        model.trace(TraceEvent::Poll { t_ns, task, tid, count, duration_ns, end, off_cpu }, out);
        found_by(&model)
    };
    assert_eq!(busy(1, 700, &mut out), [("busy-loop", Proven, vec![1])]);
    assert_eq!(busy(1, 10_000, &mut out), [("busy-loop", Possible, vec![1])]);
    assert_eq!(busy(2, 700, &mut out), []);
    assert_eq!(busy(1, 50_000, &mut out), []);
}
