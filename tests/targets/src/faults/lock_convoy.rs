//! Many tasks go through one lock, or through one each.

use super::Case;
use super::told::{Fault, ready_soon_and_wait, runtime};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, RwLock, Semaphore};

pub const CASES: &[Case] = &[
    ("lock-convoy-mutex", || many(true)),
    ("lock-convoy-mutex-not", || many(false)),
    ("lock-convoy-nested", nested),
    ("lock-convoy-pool", pool),
    ("lock-convoy-readers-not", readers),
    ("lock-convoy-few-not", few),
];

const TASKS: usize = 20;

/// All through one, or each through its own.
fn many(one: bool) {
    let runtime = runtime(2);
    let shared = Arc::new(Mutex::new(0_u64));
    for _ in 0..TASKS {
        let lock = if one { shared.clone() } else { Arc::new(Mutex::new(0)) };
        runtime.spawn(async move {
            loop {
                let mut guard = lock.lock().await;
                tokio::time::sleep(Duration::from_millis(7)).await;
                *guard += 1;
            }
        });
    }
    if one {
        Fault::proven("lock-convoy").lines([line!() - 7]).is_here();
    }
    ready_soon_and_wait()
}

/// The function that has the lock awaits another one meanwhile.
fn nested() {
    let runtime = runtime(2);
    let shared = Arc::new(Mutex::new(0_u64));
    for _ in 0..TASKS / 2 {
        let lock = shared.clone();
        runtime.spawn(async move {
            loop {
                refresh(&lock).await;
            }
        });
    }
    let takes = format!("lock_convoy.rs:{} in faults::lock_convoy::refresh, which awaits at ", line!() + 6);
    Fault::proven("lock-convoy").lines([line!() + 5, line!() + 6, line!() + 11]).says(takes).is_here();
    ready_soon_and_wait()
}

async fn refresh(lock: &Mutex<u64>) {
    let mut guard = lock.lock().await;
    upstream().await;
    *guard += 1;
}

async fn upstream() {
    tokio::time::sleep(Duration::from_millis(150)).await;
}

/// Through a pool of two.
fn pool() {
    let runtime = runtime(2);
    let permits = Arc::new(Semaphore::new(2));
    for _ in 0..TASKS {
        let permits = permits.clone();
        runtime.spawn(async move {
            loop {
                let _permit = permits.acquire().await;
                tokio::time::sleep(Duration::from_millis(7)).await;
            }
        });
    }
    let fault = Fault::proven("lock-convoy").lines([line!() - 5]);
    fault.says("2 at a time").says("more permits").is_here();
    ready_soon_and_wait()
}

/// They do not keep each other out.
fn readers() {
    let runtime = runtime(2);
    let lock = Arc::new(RwLock::new(0_u64));
    for _ in 0..TASKS {
        let lock = lock.clone();
        runtime.spawn(async move {
            loop {
                let guard = lock.read().await;
                tokio::time::sleep(Duration::from_millis(7 + *guard)).await;
            }
        });
    }
    ready_soon_and_wait()
}

/// Two meet now and then.
fn few() {
    let runtime = runtime(2);
    let lock = Arc::new(Mutex::new(0_u64));
    for nth in 0..3_u64 {
        let lock = lock.clone();
        runtime.spawn(async move {
            loop {
                let mut guard = lock.lock().await;
                tokio::time::sleep(Duration::from_millis(5)).await;
                *guard += 1;
                drop(guard);
                tokio::time::sleep(Duration::from_millis(5 + nth)).await;
            }
        });
    }
    ready_soon_and_wait()
}
