//! Many tasks go through one lock, or through one each.

use super::Case;
use super::told::{Fault, ready_soon_and_wait, runtime};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, RwLock};

pub const CASES: &[Case] = &[
    ("lock-convoy-mutex", || many(true)),
    ("lock-convoy-mutex-not", || many(false)),
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
