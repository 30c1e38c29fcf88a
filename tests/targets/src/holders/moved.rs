//! Guards that were handed on: who has them now is not who took them.

use super::stale::{both, takes};
use super::waiter;
use std::future::pending;
use std::sync::Arc;
use tokio::sync::{Mutex, OwnedMutexGuard};
use truth::resources::{Claim, keep, start};

struct Keeper {
    guard: OwnedMutexGuard<u64>,
}

pub fn start_all() {
    consumed();
    to_tasks();
    within_the_task();
    unseen();
}

fn consumed() {
    fn consume(mut guard: OwnedMutexGuard<u64>) {
        *guard += 1;
    }
    both("given to a function that is over", |case, lock| async move {
        takes(case, &lock);
        let mut guard = lock.lock.clone().lock_owned().await;
        *guard += 1;
        consume(guard);
        lock.now_unseen();
        case.stands();
        pending::<()>().await;
    });
    both("given to a task that is over", |case, lock| async move {
        takes(case, &lock);
        let mut guard = lock.lock.clone().lock_owned().await;
        *guard += 1;
        tokio::spawn(async move { drop(guard) }).await.expect("it does not panic");
        lock.now_unseen();
        case.stands();
        pending::<()>().await;
    });
}

fn to_tasks() {
    let lock = Arc::new(Mutex::new(0_u64));
    let (sender, receiver) = tokio::sync::oneshot::channel::<OwnedMutexGuard<u64>>();
    let same = lock.clone();
    start("moved into another task", |case| async move {
        case.takes("mutex", "exclusive", &*same, Claim::Possible);
        let mut guard = same.clone().lock_owned().await;
        *guard += 1;
        let _ = sender.send(guard);
        case.stands();
        pending::<()>().await;
    });
    let same = lock.clone();
    let holder = start("got it from another task", |case| async move {
        let guard = receiver.await.expect("it is sent");
        case.keeps("mutex", "exclusive", &*same, Claim::Told);
        case.stands();
        pending::<()>().await;
        drop(guard);
    });
    // The first task's stale bytes may be suspected as well.
    waiter("moved into another task", lock, holder, Claim::Any);
}

fn within_the_task() {
    async fn keeps(case: truth::resources::Case, guard: OwnedMutexGuard<u64>) {
        case.stands();
        pending::<()>().await;
        drop(guard);
    }
    let lock = Arc::new(Mutex::new(0_u64));
    let same = lock.clone();
    let holder = start("moved into a struct", |case| async move {
        case.takes("mutex", "exclusive", &*same, Claim::Told);
        let mut guard = same.clone().lock_owned().await;
        *guard += 1;
        let keeper = Keeper { guard };
        case.stands();
        pending::<()>().await;
        std::hint::black_box(*keeper.guard);
    });
    waiter("moved into a struct", lock, holder, Claim::Told);
    let lock = Arc::new(Mutex::new(0_u64));
    let same = lock.clone();
    let holder = start("moved into an inner future", |case| async move {
        case.takes("mutex", "exclusive", &*same, Claim::Told);
        let mut guard = same.clone().lock_owned().await;
        *guard += 1;
        keeps(case, guard).await;
    });
    waiter("moved into an inner future", lock, holder, Claim::Told);
    start("two of one name, both held", |case| async move {
        let (one, two) = (Mutex::new(1_u64), Mutex::new(2_u64));
        case.takes("mutex", "exclusive", &one, Claim::Any);
        let guard = one.lock().await;
        std::hint::black_box(*guard);
        case.takes("mutex", "exclusive", &two, Claim::Any);
        let guard = two.lock().await;
        std::hint::black_box(*guard);
        case.stands();
        pending::<()>().await;
    });
}

/// The lock is really held, by nobody who can be found.
fn unseen() {
    let lock = Arc::new(Mutex::new(0_u64));
    let same = lock.clone();
    let suspect = start("moved into spawn_blocking", |case| async move {
        case.takes("mutex", "exclusive", &*same, Claim::Possible);
        let mut guard = same.clone().lock_owned().await;
        *guard += 1;
        let thread = tokio::task::spawn_blocking(move || {
            std::thread::park_timeout(std::time::Duration::from_secs(3600));
            drop(guard);
        });
        keep(thread);
        case.stands();
        pending::<()>().await;
    });
    waiter("moved into spawn_blocking", lock, suspect, Claim::Possible);

    let lock = Arc::new(Mutex::new(0_u64));
    let same = lock.clone();
    let suspect = start("mem::forget", |case| async move {
        case.takes("mutex", "exclusive", &*same, Claim::Possible);
        let mut guard = same.lock().await;
        *guard += 1;
        std::mem::forget(guard);
        case.stands();
        pending::<()>().await;
    });
    waiter("mem::forget", lock, suspect, Claim::Possible);

    static SHELF: std::sync::Mutex<Option<OwnedMutexGuard<u64>>> = std::sync::Mutex::new(None);
    let lock = Arc::new(Mutex::new(0_u64));
    let same = lock.clone();
    let suspect = start("moved into a static", |case| async move {
        case.takes("mutex", "exclusive", &*same, Claim::Possible);
        let mut guard = same.clone().lock_owned().await;
        *guard += 1;
        *SHELF.lock().expect("nobody panics") = Some(guard);
        case.stands();
        pending::<()>().await;
    });
    waiter("moved into a static", lock, suspect, Claim::Possible);
}
