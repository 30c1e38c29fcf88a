//! Guards of locks for which threads wait, kept across an await, and such that are gone by then.

use super::Case;
use super::told::{Fault, ready_soon_and_wait, runtime};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::{Id, LocalSet};

pub const CASES: &[Case] = &[
    ("lock-across-await-std", of_std),
    ("lock-across-await-readers", readers),
    ("lock-across-await-sent", sent),
    ("lock-across-await-many", many),
    ("lock-across-await-thread", thread),
    ("lock-across-await-thread-readers", thread_readers),
    ("lock-across-await-other-thread", other_thread),
    ("lock-across-await-scope-not", scope),
    ("lock-across-await-dropped-not", dropped),
    ("lock-across-await-async-not", of_tokio),
];

fn long() -> tokio::time::Sleep {
    tokio::time::sleep(Duration::from_secs(600))
}

/// A task of a thread of its own: what it keeps cannot be sent.
fn local<F: Future + 'static>(future: impl FnOnce() -> F + Send + 'static) -> Id {
    let (tell, told) = oneshot::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let set = LocalSet::new();
        let task = set.spawn_local(future());
        let _ = tell.send(task.id());
        runtime.block_on(set);
        drop(task);
    });
    told.blocking_recv().expect("it tells")
}

fn of_std() {
    let id = local(|| async {
        let lock = Mutex::new(0_u64);
        let mut guard = lock.lock().unwrap();
        long().await;
        *guard += 1;
    });
    Fault::proven("lock-across-await").tasks([id]).lines([line!() - 3, line!() - 4]).says("guard").is_here();
    ready_soon_and_wait()
}

fn readers() {
    let id = local(|| async {
        let lock = RwLock::new(0_u64);
        let one = lock.read().unwrap();
        let other = lock.read().unwrap();
        long().await;
        let _ = *one + *other;
    });
    let line = line!() - 5;
    let lines = [line, line + 1, line + 2];
    Fault::proven("lock-across-await").tasks([id]).lines(lines).says("2 guards").is_here();
    ready_soon_and_wait()
}

/// parking_lot's guards may be sent where it is told so.
fn sent() {
    let runtime = runtime(2);
    let lock = Arc::new(parking_lot::Mutex::new(0_u64));
    let task = runtime.spawn(async move {
        let mut guard = lock.lock();
        long().await;
        *guard += 1;
    });
    Fault::proven("lock-across-await").tasks([task.id()]).lines([line!() - 3, line!() - 4]).is_here();
    ready_soon_and_wait()
}

fn many() {
    let runtime = runtime(2);
    let tasks: Vec<_> = (0..12)
        .map(|_| {
            runtime.spawn(async {
                let lock = parking_lot::RwLock::new(0_u64);
                let mut guard = lock.write();
                long().await;
                *guard += 1;
            })
        })
        .collect();
    let ids = tasks.iter().map(|task| task.id());
    Fault::proven("lock-across-await").tasks(ids).lines([line!() - 6]).says("12 tasks").is_here();
    ready_soon_and_wait()
}

/// One thread polls both: the second sleeps for what the first keeps.
fn two_on_a_thread<A: Future + 'static, B: Future + 'static>(
    first: impl FnOnce() -> A + Send + 'static,
    second: impl FnOnce() -> B + Send + 'static,
) -> [Id; 2] {
    let (tell, told) = oneshot::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let set = LocalSet::new();
        let tasks = [set.spawn_local(first()).id(), set.spawn_local(second()).id()];
        let _ = tell.send(tasks);
        runtime.block_on(set);
    });
    told.blocking_recv().expect("it tells")
}

fn thread() {
    let lock = Arc::new(Mutex::new(0_u64));
    let wanted = lock.clone();
    let ids = two_on_a_thread(
        move || async move {
            let mut guard = lock.lock().unwrap();
            long().await;
            *guard += 1;
        },
        move || async move {
            *wanted.lock().unwrap() += 1;
        },
    );
    let [wants, awaits, takes] = [line!() - 3, line!() - 7, line!() - 8];
    Fault::proven("lock-across-await").tasks([ids[0]]).lines([awaits, takes]).is_here();
    Fault::proven("deadlock").tasks(ids).lines([wants, awaits, takes]).says("no other thread polls").is_here();
    let blocked = Fault::proven("blocking-call").tasks([ids[1]]).lines([wants, awaits, takes]);
    blocked.says(format!("#{}", ids[0])).says("that it waits for").is_here();
    ready_soon_and_wait()
}

fn thread_readers() {
    let lock = Arc::new(RwLock::new(0_u64));
    let wanted = lock.clone();
    let ids = two_on_a_thread(
        move || async move {
            let mut guard = lock.write().unwrap();
            long().await;
            *guard += 1;
        },
        move || async move {
            assert_eq!(*wanted.read().unwrap(), 0);
        },
    );
    let [wants, awaits] = [line!() - 3, line!() - 7];
    Fault::proven("lock-across-await").tasks([ids[0]]).lines([awaits]).is_here();
    Fault::proven("deadlock").tasks(ids).lines([wants, awaits]).is_here();
    Fault::proven("blocking-call").tasks([ids[1]]).lines([wants, awaits]).is_here();
    ready_soon_and_wait()
}

/// The task that keeps it goes on in a while, on its own thread: nobody is stuck for ever.
fn other_thread() {
    let lock = Arc::new(Mutex::new(0_u64));
    let wanted = lock.clone();
    let keeper = local(move || async move {
        let mut guard = lock.lock().unwrap();
        long().await;
        *guard += 1;
    });
    std::thread::sleep(Duration::from_millis(50));
    let waiter = local(move || async move {
        *wanted.lock().unwrap() += 1;
    });
    let [wants, awaits] = [line!() - 2, line!() - 7];
    Fault::proven("lock-across-await").tasks([keeper]).lines([awaits]).is_here();
    let blocked = Fault::proven("blocking-call").tasks([waiter]).lines([wants, awaits]);
    blocked.says(format!("#{keeper}")).says("that it waits for").is_here();
    ready_soon_and_wait()
}

fn scope() {
    let runtime = runtime(2);
    let lock = Arc::new(Mutex::new(0_u64));
    runtime.spawn(async move {
        {
            let mut guard = lock.lock().unwrap();
            *guard += 1;
        }
        *lock.lock().unwrap() += 1;
        long().await;
        drop(lock);
    });
    ready_soon_and_wait()
}

/// The guard is a part of the state, but it is gone: with a flag that says so.
fn dropped() {
    let runtime = runtime(2);
    let lock = Arc::new(parking_lot::Mutex::new(0_u64));
    let wanted = lock.clone();
    runtime.spawn(async move {
        let mut guard = lock.lock();
        *guard += 1;
        drop(guard);
        long().await;
    });
    local(move || async move {
        let lock = Mutex::new(0_u64);
        let mut guard = lock.lock().unwrap();
        *guard += *wanted.lock();
        drop(guard);
        long().await;
    });
    ready_soon_and_wait()
}

fn of_tokio() {
    let runtime = runtime(2);
    let lock = Arc::new(tokio::sync::Mutex::new(0_u64));
    runtime.spawn(async move {
        let mut guard = lock.lock().await;
        long().await;
        *guard += 1;
    });
    ready_soon_and_wait()
}
