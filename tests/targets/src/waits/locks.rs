//! Locks that somebody unseen holds.

use std::sync::Arc;
use tokio::sync::{Mutex, RwLock, Semaphore};
use truth::resources::{Case, Wait, keep, start};

pub async fn start_all() {
    mutexes().await;
    rwlocks().await;
    semaphores();
}

async fn mutexes() {
    let lock = Arc::new(Mutex::new(0_u64));
    keep(lock.clone().lock_owned().await);
    let same = lock.clone();
    start("Mutex::lock", |case| async move {
        case.waits(Wait::of("mutex").at(&*same));
        case.stands();
        *same.lock().await += 1;
    });
    start("Mutex::lock_owned", |case| async move {
        case.waits(Wait::of("mutex").at(&*lock));
        case.stands();
        *lock.lock_owned().await += 1;
    });
}

async fn rwlocks() {
    let lock = Arc::new(RwLock::new(0_u64));
    keep(lock.clone().write_owned().await);
    let says = |case: Case, lock: &RwLock<u64>| {
        case.waits(Wait::of("rwlock").at(lock));
    };
    let same = lock.clone();
    start("RwLock::read", |case| async move {
        says(case, &same);
        case.stands();
        let _ = same.read().await;
    });
    let same = lock.clone();
    start("RwLock::write", |case| async move {
        says(case, &same);
        case.stands();
        *same.write().await += 1;
    });
    let same = lock.clone();
    start("RwLock::read_owned", |case| async move {
        says(case, &same);
        case.stands();
        let _ = same.read_owned().await;
    });
    start("RwLock::write_owned", |case| async move {
        says(case, &lock);
        case.stands();
        *lock.write_owned().await += 1;
    });
}

fn semaphores() {
    // In the order of their coming: the first waits for one more than there are, the others wait behind it.
    let semaphore = Arc::new(Semaphore::new(2));
    let says = |case: Case, semaphore: &Semaphore, wants: u32| {
        case.waits(Wait::of("semaphore").at(semaphore).words(&[&format!("wants {wants} ")]));
    };
    let same = semaphore.clone();
    start("Semaphore::acquire_many", |case| async move {
        says(case, &same, 7);
        case.stands();
        let _ = same.acquire_many(7).await;
    });
    let none = Arc::new(Semaphore::new(0));
    let same = none.clone();
    start("Semaphore::acquire", |case| async move {
        says(case, &same, 1);
        case.stands();
        let _ = same.acquire().await;
    });
    start("Semaphore::acquire_owned", |case| async move {
        says(case, &none, 1);
        case.stands();
        let _ = none.acquire_owned().await;
    });
    start("Semaphore::acquire_many_owned", |case| async move {
        says(case, &semaphore, 5);
        case.stands();
        let _ = semaphore.acquire_many_owned(5).await;
    });
}
