//! Locks of threads, held by tasks: std's guards are not Send, so their tasks are of a LocalSet.

use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::{Mutex, RwLock};
use tokio::task::{LocalSet, spawn_local};
use truth::resources::{Case, Claim};

fn start_local<F>(name: &str, root: impl FnOnce(Case) -> F)
where
    F: Future<Output = ()> + 'static,
{
    let case = Case::named(name);
    let future: Pin<Box<dyn Future<Output = ()>>> = Box::pin(root(case));
    case.in_runtime(1).tells_of(&spawn_local(future));
}

/// On a thread of their own; returns when all are started.
pub fn start_all() {
    let (started, all_started) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        LocalSet::new().block_on(&runtime, async {
            of_std();
            of_parking_lot();
            started.send(()).expect("somebody waits");
            pending::<()>().await;
        });
    });
    all_started.recv().expect("the thread starts them");
}

fn of_std() {
    start_local("std::sync::MutexGuard", |case| async move {
        let lock = Mutex::new(0_u64);
        case.takes("mutex", "exclusive", &lock, Claim::Told);
        let guard = lock.lock().expect("nobody panics");
        case.stands();
        pending::<()>().await;
        drop(guard);
    });
    start_local("std::sync::RwLockReadGuard", |case| async move {
        let lock = RwLock::new(0_u64);
        case.takes("rwlock", "shared", &lock, Claim::Told);
        let guard = lock.read().expect("nobody panics");
        case.stands();
        pending::<()>().await;
        drop(guard);
    });
    start_local("std::sync::RwLockWriteGuard", |case| async move {
        let lock = RwLock::new(0_u64);
        case.takes("rwlock", "exclusive", &lock, Claim::Told);
        let guard = lock.write().expect("nobody panics");
        case.stands();
        pending::<()>().await;
        drop(guard);
    });
    start_local("std::sync::MutexGuard, dropped", |case| async move {
        let lock = Mutex::new(0_u64);
        case.takes("mutex", "exclusive", &lock, Claim::Possible);
        let mut guard = lock.lock().expect("nobody panics");
        *guard += 1;
        drop(guard);
        case.stands();
        pending::<()>().await;
        drop(lock);
    });
    start_local("std::sync::MutexGuard, dropped, while it is held unseen", |case| async move {
        let lock: &'static Mutex<u64> = Box::leak(Box::new(Mutex::new(0)));
        case.takes("mutex", "exclusive", lock, Claim::Possible);
        let mut guard = lock.lock().expect("nobody panics");
        *guard += 1;
        drop(guard);
        std::mem::forget(lock.lock());
        case.stands();
        pending::<()>().await;
    });
}

fn of_parking_lot() {
    start_local("parking_lot::MutexGuard", |case| async move {
        let lock = parking_lot::Mutex::new(0_u64);
        case.takes("mutex", "exclusive", &lock, Claim::Told);
        let guard = lock.lock();
        case.stands();
        pending::<()>().await;
        drop(guard);
    });
    start_local("parking_lot::RwLockReadGuard", |case| async move {
        let lock = parking_lot::RwLock::new(0_u64);
        case.takes("rwlock", "shared", &lock, Claim::Told);
        let guard = lock.read();
        case.stands();
        pending::<()>().await;
        drop(guard);
    });
    start_local("parking_lot::RwLockWriteGuard", |case| async move {
        let lock = parking_lot::RwLock::new(0_u64);
        case.takes("rwlock", "exclusive", &lock, Claim::Told);
        let guard = lock.write();
        case.stands();
        pending::<()>().await;
        drop(guard);
    });
    start_local("parking_lot::MutexGuard, dropped", |case| async move {
        let lock = parking_lot::Mutex::new(0_u64);
        case.takes("mutex", "exclusive", &lock, Claim::Possible);
        let mut guard = lock.lock();
        *guard += 1;
        drop(guard);
        case.stands();
        pending::<()>().await;
        drop(lock);
    });
    start_local("parking_lot::MutexGuard, dropped, while it is held unseen", |case| async move {
        let lock: &'static parking_lot::Mutex<u64> = Box::leak(Box::new(parking_lot::Mutex::new(0)));
        case.takes("mutex", "exclusive", lock, Claim::Possible);
        let mut guard = lock.lock();
        *guard += 1;
        drop(guard);
        std::mem::forget(lock.lock());
        case.stands();
        pending::<()>().await;
    });
}
