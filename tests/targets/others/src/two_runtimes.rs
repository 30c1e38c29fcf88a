//! tokio and smol in one process, joined by a channel.

use std::time::Duration;
use truth::{Trail, here};

fn main() {
    let tokio = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_time()
        .build()
        .expect("a runtime with a worker");
    let (to_smol, from_tokio) = smol::channel::bounded(1);
    for _ in 0..3 {
        let at = Trail::root();
        at.is_task(0, &tokio.spawn(in_tokio(at, to_smol.clone())));
    }
    let at = Trail::root().is_task_of("async-task");
    smol::spawn(in_smol(at)).detach();
    let at = Trail::root().is_task_of("async-task");
    smol::spawn(receives(at, from_tokio)).detach();
    truth::tell_and_wait();
}

async fn in_tokio(at: Trail, sender: smol::channel::Sender<u64>) {
    here!(at);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let _ = sender.send(1).await;
}

async fn in_smol(at: Trail) {
    here!(at);
    smol::Timer::after(Duration::from_secs(3600)).await;
}

async fn receives(at: Trail, receiver: smol::channel::Receiver<u64>) {
    here!(at);
    let _ = receiver.recv().await;
}
