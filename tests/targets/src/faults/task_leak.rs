//! Tasks that become more and more, and such that are many and end or are needed.

use super::Case;
use super::told::{Fault, ready_soon_and_wait, runtime};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{interval, sleep};

pub const CASES: &[Case] = &[
    ("task-leak-forgotten", forgotten),
    ("task-leak-ends-not", ends),
    ("task-leak-pool-not", pool),
    ("task-leak-active-not", active),
];

const OFTEN: Duration = Duration::from_millis(10);

async fn spawns<F: Future<Output = ()> + Send + 'static>(task: impl Fn() -> F) {
    let mut often = interval(OFTEN);
    loop {
        often.tick().await;
        tokio::spawn(task());
    }
}

async fn waits_for_nothing(never: Arc<Notify>) {
    never.notified().await;
}

fn forgotten() {
    let runtime = runtime(2);
    let never = Arc::new(Notify::new());
    let line = line!() - 6;
    runtime.spawn(spawns(move || waits_for_nothing(never.clone())));
    Fault::possible("task-leak").lines([line]).says("waits_for_nothing").is_here();
    ready_soon_and_wait()
}

/// As many are born, and as many end.
fn ends() {
    let runtime = runtime(2);
    runtime.spawn(spawns(|| sleep(Duration::from_millis(300))));
    ready_soon_and_wait()
}

/// Many, and all from the beginning.
fn pool() {
    let runtime = runtime(2);
    let never = Arc::new(Notify::new());
    for _ in 0..200 {
        runtime.spawn(waits_for_nothing(never.clone()));
    }
    ready_soon_and_wait()
}

/// More and more, each of which does something.
fn active() {
    let runtime = runtime(2);
    runtime.spawn(spawns(|| async {
        let mut ticks = interval(Duration::from_millis(100));
        loop {
            ticks.tick().await;
        }
    }));
    ready_soon_and_wait()
}
