//! In which queue of its scheduler each scheduled task waits, and at which place.

use anyhow::{Context as _, Result, ensure};
use e2e::schema::{Dump, Queue, QueueKind, Task, TaskState};
use e2e::{Program, Tokio, Truth, Variant, inspector, rights};
use std::collections::{BTreeMap, BTreeSet};

/// What the program says of one task.
struct Told {
    queue: QueueKind,
    /// Of which of its runtimes, and who holds the thread.
    thread: (u32, u32),
    position: u32,
    length: u32,
}

fn told(program: &mut Program) -> Result<BTreeMap<String, Told>> {
    let mut tasks = BTreeMap::new();
    for truth in program.truth()? {
        let Truth::Queued { id, runtime, queue, thread, position, length } = truth else {
            anyhow::bail!("unexpected truth {truth:?}");
        };
        tasks.insert(id, Told { queue, thread: (runtime, thread), position, length });
    }
    Ok(tasks)
}

/// Every scheduled task is where the program says, or, if it is in a queue that `knows` does not have, nowhere.
fn check(dump: &Dump, told: &BTreeMap<String, Told>, knows: &dyn Fn(&Told) -> bool) -> Result<()> {
    let mut workers: BTreeMap<u32, BTreeSet<Option<u32>>> = BTreeMap::new();
    let mut scheduled = 0;
    for task in &dump.tasks {
        let Some(truth) = told.get(&task.id) else {
            ensure!(task.queue.is_none() && task.state != TaskState::Scheduled, "{task:?} waits for no poll");
            continue;
        };
        scheduled += 1;
        ensure!(task.state == TaskState::Scheduled, "{task:?} is scheduled");
        if !knows(truth) {
            ensure!(task.queue.is_none(), "{task:?} is in a queue that cannot be known");
            continue;
        }
        let queue = task.queue.with_context(|| format!("{task:?} is in no queue"))?;
        let expected =
            Queue { kind: truth.queue, worker: queue.worker, position: truth.position, length: truth.length };
        ensure!(queue == expected, "task {}: {queue:?}, not {expected:?}", task.id);
        let of_worker = truth.thread.0 == 0 && truth.queue != QueueKind::Injection;
        ensure!(queue.worker.is_some() == of_worker, "task {}: {queue:?}", task.id);
        if of_worker {
            workers.entry(truth.thread.1).or_default().insert(queue.worker);
        }
    }
    ensure!(scheduled == told.len(), "{scheduled} of {} scheduled tasks were found", told.len());
    // Each of the two threads is one worker, and not the other.
    let workers: Vec<Vec<Option<u32>>> =
        workers.into_values().map(|workers| workers.into_iter().collect()).collect();
    ensure!(workers == [[Some(0)], [Some(1)]] || workers == [[Some(1)], [Some(0)]], "workers: {workers:?}");
    Ok(())
}

fn dumped(tokio: Tokio, knows: &dyn Fn(&Told) -> bool) -> Result<(Program, Dump, BTreeMap<String, Told>)> {
    let executable = Variant::release(tokio).build(&["queues"])?.program("queues");
    let mut program = Program::start(&executable, &[])?;
    let told = told(&mut program)?;
    let dump = inspector::dump(program.pid())?;
    check(&dump, &told, knows).with_context(|| format!("{tokio:?}"))?;
    Ok((program, dump, told))
}

#[test]
fn every_scheduled_task_is_in_its_queue() {
    if !rights::root_or_skip("every_scheduled_task_is_in_its_queue") {
        return;
    }
    for tokio in Tokio::ALL {
        let (mut program, ..) = dumped(tokio, &|_| true).expect("all queues are known");
        assert!(program.finish().expect("it ends").success(), "{tokio:?}");
    }
}

/// Where tokio kept its scheduler's context in a thread-local of its own, that is not found: what is only in there (LIFO slots, the
/// queue of a current_thread scheduler) is unknown, and told as such.
#[test]
fn older_queues_are_known_in_part() {
    if !rights::root_or_skip("older_queues_are_known_in_part") {
        return;
    }
    let shared = |truth: &Told| match truth.queue {
        QueueKind::LifoSlot => false,
        QueueKind::Local => truth.thread.0 == 0,
        QueueKind::Injection => true,
    };
    for tokio in [Tokio::V1_28, Tokio::V1_21] {
        let (mut program, ..) = dumped(tokio, &shared).expect("shared queues are known");
        assert!(program.finish().expect("it ends").success(), "{tokio:?}");
    }
}

#[test]
fn people_read_where_it_stands_in_line() {
    if !rights::root_or_skip("people_read_where_it_stands_in_line") {
        return;
    }
    let (program, dump, _) = dumped(Tokio::Latest, &|_| true).expect("all queues are known");
    let pid = program.pid().to_string();
    let third = |task: &&Task| task.queue.is_some_and(|q| q.kind == QueueKind::Local && q.position == 2);
    let task = dump.tasks.iter().find(third).expect("a third in line");
    let queue = task.queue.expect("it has one");
    let words = match queue.worker {
        Some(worker) => format!("3rd of {} in worker {worker}'s queue", queue.length),
        None => format!("3rd of {} in the run queue", queue.length),
    };
    let card = inspector::run(&["dump", &pid, "--task", &task.id]).expect("runs").stdout;
    assert!(card.contains(&format!("queued    {words}\n")), "{card}");
    let all = inspector::run(&["dump", &pid, "--all"]).expect("runs").stdout;
    assert!(all.contains(&format!("scheduled, {words}\n")), "{all}");
}
