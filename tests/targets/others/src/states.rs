//! Tasks in every state that an executor knows, each named after its own.

use futures::executor::{LocalPool, ThreadPool};
use futures::task::LocalSpawnExt as _;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Threads that a task blocks.
static BLOCKED: AtomicU32 = AtomicU32::new(0);

fn main() {
    async_task();
    thread_pool();
    local_pool();
    while BLOCKED.load(Ordering::Acquire) < 3 {
        std::thread::sleep(Duration::from_millis(1));
    }
    truth::ready();
    std::process::exit(0);
}

fn executor() -> &'static smol::Executor<'static> {
    Box::leak(Box::new(smol::Executor::new()))
}

fn async_task() {
    let own = executor();
    std::thread::spawn(|| smol::block_on(own.run(std::future::pending::<()>())));
    let idle = own.spawn(idle());
    let finished = own.spawn(finished(7));
    let gone: Vec<_> = (0..300).map(|n| own.spawn(gone(n))).collect();
    while !finished.is_finished() || gone.iter().any(|task| !task.is_finished()) {
        std::thread::sleep(Duration::from_millis(1));
    }
    // Their memory is free from here on.
    drop(gone);
    // Run once, so that it waits and is not merely queued.
    std::thread::sleep(Duration::from_millis(50));
    own.spawn(blocking()).detach();
    while BLOCKED.load(Ordering::Acquire) < 1 {
        std::thread::sleep(Duration::from_millis(1));
    }
    own.spawn(behind()).detach();
    std::mem::forget((idle, finished));

    let never_run = executor();
    never_run.spawn(unstarted()).detach();
    drop(never_run.spawn(cancelled()));
}

fn thread_pool() {
    let pool = ThreadPool::builder().pool_size(1).create().expect("a pool of one thread");
    pool.spawn_ok(idle_in_pool());
    pool.spawn_ok(blocking_in_pool());
    pool.spawn_ok(behind_in_pool());
    std::mem::forget(pool);
}

fn local_pool() {
    std::thread::spawn(|| {
        let mut pool = LocalPool::new();
        let spawner = pool.spawner();
        spawner.spawn_local(idle_in_local()).expect("the pool lives");
        pool.run_until_stalled();
        spawner.spawn_local(blocking_in_local()).expect("the pool lives");
        spawner.spawn_local(behind_in_local()).expect("the pool lives");
        pool.run();
    });
}

fn block() -> ! {
    BLOCKED.fetch_add(1, Ordering::Release);
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

async fn idle() {
    std::future::pending::<()>().await;
}

async fn finished(n: u64) -> u64 {
    n + 1
}

async fn gone(n: u64) -> u64 {
    smol::future::yield_now().await;
    n
}

async fn blocking() {
    block();
}

async fn behind() {
    std::future::pending::<()>().await;
}

async fn unstarted() {
    std::future::pending::<()>().await;
}

async fn cancelled() {
    std::future::pending::<()>().await;
}

async fn idle_in_pool() {
    std::future::pending::<()>().await;
}

async fn blocking_in_pool() {
    block();
}

async fn behind_in_pool() {
    std::future::pending::<()>().await;
}

async fn idle_in_local() {
    std::future::pending::<()>().await;
}

async fn blocking_in_local() {
    block();
}

async fn behind_in_local() {
    std::future::pending::<()>().await;
}
