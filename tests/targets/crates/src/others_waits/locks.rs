//! async-lock and event-listener.

use async_lock::{Barrier, Mutex, OnceCell, RwLock, Semaphore};
use event_listener::Event;
use std::future::pending;
use std::sync::Arc;
use truth::resources::{Claim, Wait, keep, standing, start};

pub async fn start_all() {
    mutexes().await;
    rwlocks().await;
    start("async-lock Semaphore::acquire", |case| async move {
        let semaphore = Semaphore::new(0);
        case.waits(Wait::of("semaphore").at(&semaphore));
        case.stands();
        let _ = semaphore.acquire().await;
    });
    start("async-lock Barrier::wait", |case| async move {
        let barrier = Barrier::new(2);
        case.waits(Wait::of("barrier").at(&barrier));
        case.stands();
        barrier.wait().await;
    });
    cells().await;
    start("event-listener", |case| async move {
        let event: Event = Event::new();
        let listener = event.listen();
        case.waits(Wait::of("notify"));
        case.stands();
        listener.await;
    });
    start("event-listener, on the stack", |case| async move {
        let event: Event = Event::new();
        event_listener::listener!(event => listener);
        case.waits(Wait::of("notify"));
        case.stands();
        listener.await;
    });
}

async fn mutexes() {
    let lock = Arc::new(Mutex::new(0_u64));
    let same = lock.clone();
    let holder = start("async-lock MutexGuard", |case| async move {
        case.takes("mutex", "exclusive", &*same, Claim::Told);
        let guard = same.lock().await;
        case.stands();
        pending::<()>().await;
        drop(guard);
    });
    standing(holder).await;
    let same = lock.clone();
    start("async-lock Mutex::lock", |case| async move {
        case.waits(Wait::of("mutex").at(&*same).held_by(&[holder], Claim::Told));
        case.stands();
        *same.lock().await += 1;
    });
    start("async-lock Mutex::lock_arc", |case| async move {
        case.waits(Wait::of("mutex").at(&*lock).held_by(&[holder], Claim::Told));
        case.stands();
        *lock.lock_arc().await += 1;
    });
}

async fn rwlocks() {
    let lock = Arc::new(RwLock::new(0_u64));
    keep(lock.write_arc().await);
    let same = lock.clone();
    start("async-lock RwLock::read", |case| async move {
        case.waits(Wait::of("rwlock").at(&*same));
        case.stands();
        let _ = same.read().await;
    });
    start("async-lock RwLock::write", |case| async move {
        case.waits(Wait::of("rwlock").at(&*lock));
        case.stands();
        *lock.write().await += 1;
    });
}

async fn cells() {
    let cell = Arc::new(OnceCell::<u64>::new());
    let same = cell.clone();
    let first = start("async-lock OnceCell, who makes the value", |case| async move {
        case.keeps("once_cell", "exclusive|permits", &*same, Claim::Possible);
        case.stands();
        same.get_or_init(pending).await;
    });
    standing(first).await;
    start("async-lock OnceCell, who waits for the value", |case| async move {
        case.waits(Wait::of("once_cell").at(&*cell));
        case.stands();
        cell.get_or_init(|| async { 8 }).await;
    });
}
