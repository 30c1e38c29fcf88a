//! Futures that were given a lock and are not polled, and such that only seem to be (Oxide RFD 609).

use super::Case;
use super::told::{Fault, may_be_told, ready_soon_and_wait, runtime};
use futures::stream::{self, FuturesUnordered, StreamExt as _};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::{Mutex, RwLock, Semaphore, oneshot};

pub const CASES: &[Case] = &[
    ("futurelock-select", as_in_the_rfd),
    ("futurelock-pinned", pinned),
    ("futurelock-list", list),
    ("futurelock-buffered", buffered),
    ("futurelock-many", many),
    ("futurelock-join", joins),
    ("futurelock-held-up", held_up),
    ("futurelock-permits", permits),
    ("futurelock-unstarted-not", unstarted),
    ("futurelock-dropped-not", dropped),
    ("futurelock-finished-not", finished),
    ("futurelock-loop-not", polled_again),
    ("futurelock-nobody-waits-not", nobody_waits),
];

/// Where the last one of those that call it asks.
static ASKED: AtomicU32 = AtomicU32::new(0);

async fn add(lock: Arc<Mutex<u64>>) {
    ASKED.store(line!() + 1, Ordering::Relaxed);
    *lock.lock().await += 1;
}

/// Keeps the lock until all is set.
fn keep_for_a_while(runtime: &tokio::runtime::Runtime, lock: &Arc<Mutex<u64>>) {
    let (lock, (tell, told)) = (lock.clone(), oneshot::channel());
    runtime.spawn(async move {
        let guard = lock.lock().await;
        let _ = tell.send(());
        tokio::time::sleep(Duration::from_millis(100)).await;
        drop(guard);
    });
    told.blocking_recv().expect("it tells");
}

fn soon() -> tokio::time::Sleep {
    tokio::time::sleep(Duration::from_millis(20))
}

fn told(task: tokio::task::Id, line: u32) {
    Fault::proven("futurelock").tasks([task]).lines([line, ASKED.load(Ordering::Relaxed)]).is_here();
}

fn as_in_the_rfd() {
    let runtime = runtime(2);
    let lock = Arc::new(Mutex::new(0_u64));
    keep_for_a_while(&runtime, &lock);
    let task = runtime.spawn(async move {
        let mut first: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(add(lock.clone()));
        tokio::select! {
            () = &mut first => {}
            () = soon() => add(lock).await,
        }
    });
    let line = line!() - 3;
    std::thread::sleep(Duration::from_millis(300));
    told(task.id(), line);
    ready_soon_and_wait()
}

fn pinned() {
    let runtime = runtime(2);
    let lock = Arc::new(Mutex::new(0_u64));
    keep_for_a_while(&runtime, &lock);
    let task = runtime.spawn(async move {
        let first = add(lock.clone());
        tokio::pin!(first);
        tokio::select! {
            () = &mut first => {}
            () = soon() => {}
        }
        *lock.lock().await += 1;
        first.await;
    });
    let line = line!() - 3;
    std::thread::sleep(Duration::from_millis(300));
    told(task.id(), line);
    ready_soon_and_wait()
}

/// One of a set is done; another has been given the lock that the loop's body wants.
fn list() {
    let runtime = runtime(2);
    let lock = Arc::new(Mutex::new(0_u64));
    keep_for_a_while(&runtime, &lock);
    let task = runtime.spawn(async move {
        let mut set: FuturesUnordered<_> = (0..3).map(|_| add(lock.clone())).collect();
        while let Some(()) = set.next().await {
            *lock.lock().await += 1;
        }
    });
    let line = line!() - 3;
    std::thread::sleep(Duration::from_millis(300));
    told(task.id(), line);
    ready_soon_and_wait()
}

fn buffered() {
    let runtime = runtime(2);
    let lock = Arc::new(Mutex::new(0_u64));
    keep_for_a_while(&runtime, &lock);
    let task = runtime.spawn(async move {
        let mut each = stream::iter(0..5).map(|_| add(lock.clone())).buffer_unordered(2);
        while let Some(()) = each.next().await {
            *lock.lock().await += 1;
        }
    });
    let line = line!() - 3;
    std::thread::sleep(Duration::from_millis(300));
    told(task.id(), line);
    ready_soon_and_wait()
}

/// The same in five tasks: one finding.
fn many() {
    let runtime = runtime(2);
    let tasks: Vec<_> = (0..5)
        .map(|_| {
            let lock = Arc::new(Mutex::new(0_u64));
            keep_for_a_while(&runtime, &lock);
            runtime.spawn(async move {
                let first = add(lock.clone());
                tokio::pin!(first);
                tokio::select! {
                    () = &mut first => {}
                    () = soon() => {}
                }
                *lock.lock().await += 1;
            })
        })
        .collect();
    let line = line!() - 4;
    std::thread::sleep(Duration::from_millis(300));
    let ids = tasks.iter().map(|task| task.id());
    Fault::proven("futurelock").tasks(ids).lines([line]).says("5 tasks").is_here();
    ready_soon_and_wait()
}

/// It waits for another task, which wants the lock.
fn joins() {
    let runtime = runtime(2);
    let lock = Arc::new(Mutex::new(0_u64));
    keep_for_a_while(&runtime, &lock);
    let (tell, told) = oneshot::channel();
    let task = runtime.spawn(async move {
        let mut first: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(add(lock.clone()));
        tokio::select! {
            () = &mut first => {}
            () = soon() => {
                let other = tokio::spawn(async move {
                    *lock.lock().await += 1;
                });
                let _ = tell.send((other.id(), [line!() - 2, line!() + 1]));
                let _ = other.await;
            }
        }
    });
    let (other, lines) = told.blocking_recv().expect("it goes there");
    std::thread::sleep(Duration::from_millis(300));
    Fault::proven("futurelock").tasks([task.id(), other]).lines(lines).is_here();
    ready_soon_and_wait()
}

/// It is away for another reason, and perhaps not for ever.
fn held_up() {
    let runtime = runtime(2);
    let lock = Arc::new(RwLock::new(0_u64));
    let read = lock.clone().try_read_owned().expect("nobody else is there");
    let wanted = lock.clone();
    let keeper = runtime.spawn(async move {
        let mut first = Box::pin(wanted.write());
        tokio::select! {
            _ = &mut first => {}
            () = soon() => {}
        }
        tokio::time::sleep(Duration::from_secs(600)).await;
    });
    let lines = [line!() - 2, line!() + 4];
    std::thread::sleep(Duration::from_millis(100));
    let waits = [(); 3].map(|()| {
        let lock = lock.clone();
        runtime.spawn(async move {
            let _ = *lock.read().await;
        })
    });
    std::thread::sleep(Duration::from_millis(100));
    drop(read);
    let ids = waits.iter().map(|task| task.id()).chain([keeper.id()]);
    Fault::possible("futurelock").tasks(ids).lines([lines[0]]).says("3 other tasks wait").is_here();
    ready_soon_and_wait()
}

/// Permits may be added by anybody.
fn permits() {
    let runtime = runtime(2);
    let all = Arc::new(Semaphore::new(1));
    let permit = all.clone().try_acquire_owned().expect("it is there");
    let task = runtime.spawn(async move {
        let first = all.acquire();
        tokio::pin!(first);
        tokio::select! {
            _ = &mut first => {}
            () = soon() => {}
        }
        let _ = all.acquire().await;
    });
    let line = line!() - 2;
    std::thread::sleep(Duration::from_millis(100));
    drop(permit);
    Fault::possible("futurelock").tasks([task.id()]).lines([line]).is_here();
    ready_soon_and_wait()
}

/// A future that has not begun is in no line.
fn unstarted() {
    let runtime = runtime(2);
    let lock = Arc::new(Mutex::new(0_u64));
    keep_for_a_while(&runtime, &lock);
    let other = lock.clone();
    runtime.spawn(async move {
        let later = Box::pin(add(lock.clone()));
        let guard = lock.lock().await;
        tokio::time::sleep(Duration::from_secs(600)).await;
        drop(guard);
        later.await;
    });
    runtime.spawn(add(other));
    may_be_told("lock-convoy");
    ready_soon_and_wait()
}

/// It was in line, and gave its place up before the task went on.
fn dropped() {
    let runtime = runtime(2);
    let lock = Arc::new(Mutex::new(0_u64));
    keep_for_a_while(&runtime, &lock);
    let other = lock.clone();
    runtime.spawn(async move {
        let mut first = Box::pin(add(lock.clone()));
        tokio::select! {
            () = &mut first => {}
            () = soon() => {}
        }
        drop(first);
        let guard = lock.lock().await;
        tokio::time::sleep(Duration::from_secs(600)).await;
        drop(guard);
    });
    runtime.spawn(add(other));
    may_be_told("lock-convoy");
    ready_soon_and_wait()
}

fn finished() {
    let runtime = runtime(2);
    let lock = Arc::new(Mutex::new(0_u64));
    let other = lock.clone();
    runtime.spawn(async move {
        let first = add(lock.clone());
        tokio::pin!(first);
        tokio::select! {
            () = &mut first => {}
            () = soon() => {}
        }
        let guard = lock.lock().await;
        tokio::time::sleep(Duration::from_secs(600)).await;
        drop(guard);
    });
    std::thread::sleep(Duration::from_millis(100));
    runtime.spawn(add(other));
    may_be_told("lock-convoy");
    ready_soon_and_wait()
}

/// Between two polls it is away only as long as the other branch takes.
fn polled_again() {
    let runtime = runtime(2);
    let lock = Arc::new(Mutex::new(0_u64));
    for nth in 0..20_u64 {
        let lock = lock.clone();
        runtime.spawn(async move {
            loop {
                let first = add(lock.clone());
                tokio::pin!(first);
                loop {
                    tokio::select! {
                        () = &mut first => break,
                        () = tokio::time::sleep(Duration::from_micros(200 + nth)) => tokio::task::yield_now().await,
                    }
                }
            }
        });
    }
    may_be_told("lock-convoy");
    ready_soon_and_wait()
}

/// It has the lock and does not poll, but nobody wants it.
fn nobody_waits() {
    let runtime = runtime(2);
    let lock = Arc::new(Mutex::new(0_u64));
    keep_for_a_while(&runtime, &lock);
    runtime.spawn(async move {
        let first = add(lock.clone());
        tokio::pin!(first);
        tokio::select! {
            () = &mut first => {}
            () = soon() => {}
        }
        tokio::time::sleep(Duration::from_secs(600)).await;
        first.await;
    });
    ready_soon_and_wait()
}
