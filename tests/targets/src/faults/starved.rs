//! Tasks and runtimes that wait for workers which polls hold, and such that only have much to do.

use super::Case;
use super::told::{Fault, ready_soon_and_wait, runtime};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};
use tokio::runtime::Builder;
use tokio::sync::Notify;

pub const CASES: &[Case] = &[
    ("starved-task-lifo", lifo_slot),
    ("starved-task-only-worker", only_worker),
    ("starved-task-load-not", load),
    ("io-driver-stalled-one-thread", one_thread),
    ("io-driver-stalled-all-workers", all_workers),
    ("io-driver-stalled-one-of-two-not", one_of_two),
];

const LONG: Duration = Duration::from_secs(600);

/// It is woken by a task that then blocks: no other worker takes it, though one is idle.
fn lifo_slot() {
    let runtime = runtime(2);
    let notify = Arc::new(Notify::new());
    let told = notify.clone();
    let victim = runtime.spawn(async move { told.notified().await });
    let awaits = line!() - 1;
    thread::sleep(Duration::from_millis(50));
    let hog = runtime.spawn(async move {
        notify.notify_one();
        thread::sleep(LONG);
    });
    let blocks = line!() - 2;
    Fault::proven("blocking-call").tasks([hog.id()]).lines([blocks]).is_here();
    let starved = Fault::proven("starved-task").tasks([victim.id(), hog.id()]).lines([blocks, awaits]);
    starved.says("LIFO slot").is_here();
    ready_soon_and_wait()
}

/// What is spawned on a runtime with one thread, by who then blocks.
fn only_worker() {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let hog = runtime.spawn(async move {
            let victims: Vec<_> =
                (0..3).map(|_| tokio::spawn(std::future::pending::<()>()).id().to_string()).collect();
            let _ = tell.send((tokio::task::id().to_string(), victims, line!() + 1));
            thread::sleep(LONG);
        });
        let _ = runtime.block_on(hog);
    });
    let (hog, victims, line) = told.recv().expect("it goes there");
    Fault::proven("blocking-call").tasks([hog.clone()]).lines([line]).is_here();
    let all = victims.into_iter().chain([hog]);
    Fault::proven("starved-task").tasks(all).lines([line]).says("only worker").is_here();
    ready_soon_and_wait()
}

/// Everybody waits for a while, and nobody for long.
fn load() {
    let runtime = runtime(2);
    for _ in 0..60 {
        runtime.spawn(async {
            loop {
                let end = Instant::now() + Duration::from_micros(500);
                while Instant::now() < end {}
                tokio::task::yield_now().await;
            }
        });
    }
    ready_soon_and_wait()
}

/// A runtime with one thread, whose timers and sockets nobody looks at.
fn one_thread() {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.spawn(async {
            let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("binds");
            let _ = listener.accept().await;
        });
        runtime.spawn(async { tokio::time::sleep(Duration::from_millis(60)).await });
        let hog = runtime.spawn(async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let _ = tell.send((tokio::task::id().to_string(), line!() + 1));
            thread::sleep(LONG);
        });
        let _ = runtime.block_on(hog);
    });
    let (hog, line) = told.recv().expect("it goes there");
    Fault::proven("blocking-call").tasks([hog.clone()]).lines([line]).is_here();
    Fault::proven("io-driver-stalled").tasks([hog]).lines([line]).says("timer was due").is_here();
    ready_soon_and_wait()
}

fn all_workers() {
    let runtime = runtime(2);
    runtime.spawn(async { tokio::time::sleep(LONG).await });
    thread::sleep(Duration::from_millis(50));
    let hogs = [(); 2].map(|()| {
        runtime.spawn(async {
            thread::sleep(LONG);
        })
    });
    let line = line!() - 3;
    let ids = hogs.map(|hog| hog.id());
    Fault::proven("blocking-call").tasks(ids).lines([line]).is_here();
    Fault::proven("io-driver-stalled").tasks(ids).lines([line]).says("all 2 workers").is_here();
    ready_soon_and_wait()
}

/// The other worker looks at sockets and timers.
fn one_of_two() {
    let runtime = runtime(2);
    runtime.spawn(async { tokio::time::sleep(LONG).await });
    thread::sleep(Duration::from_millis(50));
    let hog = runtime.spawn(async {
        thread::sleep(LONG);
    });
    let line = line!() - 2;
    Fault::proven("blocking-call").tasks([hog.id()]).lines([line]).is_here();
    ready_soon_and_wait()
}
