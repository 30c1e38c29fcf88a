//! What waits for tasks, tokens and timers of tokio and tokio-util.

use crate::{start, wait};
use futures::StreamExt;
use std::future::pending;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::time::DelayQueue;
use truth::{Trail, here};

const FOREVER: Duration = Duration::from_secs(3600);

pub fn start_all() {
    for count in [0, 1, 3, 40] {
        start(move |at| join_set(at, count));
    }
    start(tracker);
    start(token);
    start(owned_token);
    start(run_until);
    start(delays);
}

async fn join_set(at: Trail, count: usize) {
    let mut set = JoinSet::new();
    for _ in 0..count {
        let task = Trail::root();
        task.is_task(0, &set.spawn(joined(task)));
    }
    here!(at);
    while set.join_next().await.is_some() {}
    here!(at);
    pending::<()>().await;
}

async fn joined(at: Trail) {
    here!(at);
    pending::<()>().await;
}

async fn tracker(at: Trail) {
    let tracker = TaskTracker::new();
    for _ in 0..3 {
        let task = Trail::root();
        task.is_task(0, &tracker.spawn(joined(task)));
    }
    tracker.close();
    here!(at);
    tracker.wait().await;
}

async fn token(at: Trail) {
    let token = CancellationToken::new();
    here!(at);
    token.cancelled().await;
}

async fn owned_token(at: Trail) {
    let token = CancellationToken::new();
    here!(at);
    token.cancelled_owned().await;
}

async fn run_until(at: Trail) {
    let token = CancellationToken::new();
    let child = at.deeper();
    here!(at => child);
    token.run_until_cancelled(wait(child)).await;
}

async fn delays(at: Trail) {
    let mut queue = DelayQueue::new();
    for key in 0..3 {
        queue.insert(key, FOREVER);
    }
    here!(at);
    queue.next().await;
}
