//! Full channels whose receiver is away, and such that are only busy.

use super::Case;
use super::told::{Fault, ready_soon_and_wait, runtime};
use std::time::Duration;
use tokio::sync::mpsc;

pub const CASES: &[Case] = &[
    ("channel-full-away", away),
    ("channel-full-busy-not", busy),
    ("channel-full-room-not", room),
    ("channel-full-thread-not", thread),
];

fn away() {
    let runtime = runtime(2);
    let (sender, mut receiver) = mpsc::channel::<u64>(2);
    let receives = runtime.spawn(async move {
        while let Some(_) = receiver.recv().await {
            tokio::time::sleep(Duration::from_secs(600)).await;
        }
    });
    let line = line!() - 3;
    let sends = [(); 3].map(|()| {
        let sender = sender.clone();
        runtime.spawn(async move {
            for number in 0.. {
                sender.send(number).await.unwrap();
            }
        })
    });
    let ids = sends.iter().map(|task| task.id()).chain([receives.id()]);
    Fault::possible("channel-full").tasks(ids).lines([line, line!() - 5]).says("3 senders wait").is_here();
    ready_soon_and_wait()
}

/// Full all the time, and emptied all the time.
fn busy() {
    let runtime = runtime(2);
    let (sender, mut receiver) = mpsc::channel::<u64>(2);
    runtime.spawn(async move {
        while let Some(_) = receiver.recv().await {
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    });
    for _ in 0..5 {
        let sender = sender.clone();
        runtime.spawn(async move {
            for number in 0.. {
                sender.send(number).await.unwrap();
            }
        });
    }
    ready_soon_and_wait()
}

/// The receiver is away, and nobody waits for it.
fn room() {
    let runtime = runtime(2);
    let (sender, mut receiver) = mpsc::channel::<u64>(8);
    runtime.spawn(async move {
        while let Some(_) = receiver.recv().await {
            tokio::time::sleep(Duration::from_secs(600)).await;
        }
    });
    runtime.spawn(async move {
        sender.send(1).await.unwrap();
        sender.send(2).await.unwrap();
        sender.closed().await;
    });
    ready_soon_and_wait()
}

/// No task has its receiver: what that is doing is not known.
fn thread() {
    let runtime = runtime(2);
    let (sender, receiver) = mpsc::channel::<u64>(1);
    runtime.spawn(async move {
        for number in 0.. {
            sender.send(number).await.unwrap();
        }
    });
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(600));
        drop(receiver);
    });
    ready_soon_and_wait()
}
