//! Channels without a bound that fill, and such that are worked off.

use super::Case;
use super::told::{Fault, ready_soon_and_wait, runtime};
use std::time::Duration;
use tokio::sync::mpsc;

pub const CASES: &[Case] = &[
    ("channel-filling", fills),
    ("channel-filling-bursts-not", bursts),
    ("channel-filling-idle-not", idle),
    ("channel-filling-bounded-not", bounded),
];

const TICK: Duration = Duration::from_millis(10);

/// Five come while one is worked off.
fn fills() {
    let runtime = runtime(2);
    let (sender, mut receiver) = mpsc::unbounded_channel::<u64>();
    let receives = runtime.spawn(async move {
        while let Some(_) = receiver.recv().await {
            tokio::time::sleep(TICK).await;
        }
    });
    let line = line!() - 3;
    runtime.spawn(async move {
        loop {
            (0..5).for_each(|number| assert!(sender.send(number).is_ok()));
            tokio::time::sleep(TICK).await;
        }
    });
    Fault::possible("channel-filling").tasks([receives.id()]).lines([line]).says("has no bound").is_here();
    ready_soon_and_wait()
}

/// Many at once, now and then, and then there is time for them.
fn bursts() {
    let runtime = runtime(2);
    let (sender, mut receiver) = mpsc::unbounded_channel::<u64>();
    runtime.spawn(async move {
        let mut messages = Vec::new();
        while receiver.recv_many(&mut messages, 50).await > 0 {
            messages.clear();
            tokio::time::sleep(TICK).await;
        }
    });
    runtime.spawn(async move {
        loop {
            (0..500).for_each(|number| assert!(sender.send(number).is_ok()));
            tokio::time::sleep(TICK * 60).await;
        }
    });
    ready_soon_and_wait()
}

/// Filled once, and nobody is in a hurry.
fn idle() {
    let runtime = runtime(2);
    let (sender, mut receiver) = mpsc::unbounded_channel::<u64>();
    (0..10_000).for_each(|number| assert!(sender.send(number).is_ok()));
    runtime.spawn(async move {
        tokio::time::sleep(Duration::from_secs(600)).await;
        receiver.recv().await
    });
    let _sender = sender;
    ready_soon_and_wait()
}

/// Full at once, and then whoever sends has to wait.
fn bounded() {
    let runtime = runtime(2);
    let (sender, mut receiver) = mpsc::channel::<u64>(10_000);
    runtime.spawn(async move {
        while let Some(_) = receiver.recv().await {
            tokio::time::sleep(TICK).await;
        }
    });
    runtime.spawn(async move {
        loop {
            for number in 0..5 {
                sender.send(number).await.unwrap();
            }
            tokio::time::sleep(TICK).await;
        }
    });
    ready_soon_and_wait()
}
