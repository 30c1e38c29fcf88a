//! Tasks spawned one after the other, or all at once.

use super::Case;
use super::told::{Fault, ready, runtime, wait};
use std::time::Duration;

pub const CASES: &[Case] = &[
    ("sequential-awaits-two", || runs(one_by_one())),
    ("sequential-awaits-loop", || runs(in_a_loop())),
    ("sequential-awaits-join-not", || runs(at_once())),
];

async fn answers(milliseconds: u64) -> u64 {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
    milliseconds
}

async fn one_by_one() {
    Fault::possible("sequential-awaits").lines([line!() + 3, line!() + 4]).is_here();
    ready();
    loop {
        let first = tokio::spawn(answers(20)).await;
        let second = tokio::spawn(answers(30)).await;
        // What is done between does not matter.
        let sum = first.unwrap_or(0) + second.unwrap_or(0);
        answers(sum / 50).await;
    }
}

async fn in_a_loop() {
    Fault::possible("sequential-awaits").lines([line!() + 5]).is_here();
    ready();
    loop {
        let mut sum = 0;
        for _ in 0..5 {
            sum += tokio::spawn(answers(20)).await.unwrap_or(0);
        }
        answers(sum / 50).await;
    }
}

async fn at_once() {
    ready();
    loop {
        let (first, second) = (tokio::spawn(answers(20)), tokio::spawn(answers(30)));
        let sum = first.await.unwrap_or(0) + second.await.unwrap_or(0);
        answers(sum / 50).await;
    }
}

fn runs(program: impl Future<Output = ()> + Send + 'static) {
    let runtime = runtime(2);
    runtime.spawn(program);
    wait()
}
