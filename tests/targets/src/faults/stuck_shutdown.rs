//! Runtimes that cannot end, and such that only have much to do.

use super::Case;
use super::told::{Fault, ready_soon_and_wait, runtime};
use std::time::Duration;

pub const CASES: &[Case] = &[
    ("stuck-shutdown-closure", closure),
    ("stuck-shutdown-poll", poll),
    ("stuck-shutdown-open-not", open),
    ("stuck-shutdown-over-not", over),
];

fn sleeps() {
    std::thread::sleep(Duration::from_secs(600));
}

/// Line of the call.
const SLEEPS: u32 = line!() - 4;

fn closure() {
    let runtime = runtime(2);
    let task = runtime.spawn_blocking(sleeps);
    Fault::possible("stuck-shutdown").tasks([task.id()]).says("blocking closure").is_here();
    std::thread::sleep(Duration::from_millis(50));
    std::thread::spawn(move || drop(runtime));
    ready_soon_and_wait()
}

/// Of several workers another one would have taken its task out of all lists.
fn poll() {
    let runtime = runtime(1);
    let task = runtime.spawn(async { sleeps() });
    Fault::possible("stuck-shutdown").tasks([task.id()]).says("poll").is_here();
    Fault::proven("blocking-call").tasks([task.id()]).lines([SLEEPS]).says("std::thread::sleep").is_here();
    std::thread::sleep(Duration::from_millis(50));
    std::thread::spawn(move || drop(runtime));
    ready_soon_and_wait()
}

/// The same while nobody wants it to end.
fn open() {
    let runtime = runtime(2);
    runtime.spawn_blocking(sleeps);
    ready_soon_and_wait()
}

/// One has ended, with all it had; another goes on.
fn over() {
    let ended = runtime(2);
    ended.spawn(tokio_sleep());
    ended.spawn_blocking(|| std::thread::sleep(Duration::from_millis(20)));
    let handle = ended.handle().clone();
    drop(ended);
    let other = runtime(2);
    other.spawn_blocking(sleeps);
    other.spawn(async move {
        tokio_sleep().await;
        drop(handle);
    });
    ready_soon_and_wait()
}

async fn tokio_sleep() {
    tokio::time::sleep(Duration::from_secs(600)).await;
}
