//! `locks TASKS LOCKS`: each lock has a task that holds it and waits for what never comes; all other tasks wait for the locks in turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::{Mutex, Notify};

static STANDING: AtomicUsize = AtomicUsize::new(0);

async fn holds(lock: Arc<Mutex<u64>>, bell: Arc<Notify>) {
    let guard = lock.lock().await;
    STANDING.fetch_add(1, Relaxed);
    bell.notified().await;
    drop(guard);
}

async fn wants(lock: Arc<Mutex<u64>>) {
    STANDING.fetch_add(1, Relaxed);
    *lock.lock().await += 1;
}

fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse().expect("a number"));
    let (tasks, locks) = (arguments.next().unwrap_or(1_000), arguments.next().unwrap_or(100));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime with two workers");
    let bell = Arc::new(Notify::new());
    let all: Vec<_> = (0..locks).map(|_| Arc::new(Mutex::new(0))).collect();
    for lock in &all {
        runtime.spawn(holds(lock.clone(), bell.clone()));
    }
    let wait_for = |standing| {
        while STANDING.load(Relaxed) < standing {
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    wait_for(locks);
    for nth in locks..tasks {
        runtime.spawn(wants(all[nth % locks].clone()));
    }
    wait_for(tasks);
    std::thread::sleep(Duration::from_millis(100));
    truth::ready();
    std::process::exit(0);
}
