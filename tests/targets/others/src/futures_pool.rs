//! Tasks of futures' ThreadPool and LocalPool.

use futures::StreamExt as _;
use futures::channel::{mpsc, oneshot};
use futures::executor::{LocalPool, ThreadPool};
use futures::task::{LocalSpawnExt as _, SpawnExt as _};
use std::future::Future;
use truth::{Trail, here};

/// Keeps its value until the process ends, so that nobody stops waiting.
fn keep<T>(value: T) {
    std::mem::forget(value);
}

fn main() {
    let pool = ThreadPool::builder().pool_size(2).create().expect("a pool of two threads");
    thread_pool(&pool);
    std::thread::spawn(|| {
        let mut pool = LocalPool::new();
        let spawner = pool.spawner();
        start_local(&spawner, in_local_pool).ends_in("core::future::pending::Pending");
        start_local(&spawner, second_in_local_pool);
        pool.run_until(std::future::pending::<()>());
    });
    truth::tell_and_wait();
}

fn start_local<F>(spawner: &futures::executor::LocalSpawner, root: impl FnOnce(Trail) -> F) -> Trail
where
    F: Future<Output = ()> + 'static,
{
    let at = Trail::root().is_task_of("futures");
    spawner.spawn_local(root(at)).expect("the pool lives");
    at
}

fn start<F>(pool: &ThreadPool, root: impl FnOnce(Trail) -> F) -> Trail
where
    F: Future<Output = ()> + Send + 'static,
{
    let at = Trail::root().is_task_of("futures");
    pool.spawn_ok(root(at));
    at
}

fn thread_pool(pool: &ThreadPool) {
    let (sender, receiver) = oneshot::channel();
    keep(sender);
    start(pool, |at| awaits_answer(at, receiver)).ends_in("futures_channel::oneshot::Receiver");
    let (sender, receiver) = mpsc::channel(1);
    keep(sender);
    start(pool, |at| receives(at, receiver)).ends_in("futures_channel::mpsc::Receiver");
    let (sender, receiver) = mpsc::unbounded();
    keep(sender);
    start(pool, |at| receives_unbounded(at, receiver)).ends_in("futures_channel::mpsc::UnboundedReceiver");
    start(pool, nested);
    let at = Trail::root().is_task_of("futures");
    keep(pool.spawn_with_handle(with_a_handle(at)).expect("the pool lives"));
}

async fn awaits_answer(at: Trail, receiver: oneshot::Receiver<u64>) {
    here!(at);
    let _ = receiver.await;
}

async fn receives(at: Trail, mut receiver: mpsc::Receiver<u64>) {
    here!(at);
    std::hint::black_box(receiver.next().await);
}

async fn receives_unbounded(at: Trail, mut receiver: mpsc::UnboundedReceiver<u64>) {
    here!(at);
    while let Some(value) = receiver.next().await {
        std::hint::black_box(value);
    }
}

async fn nested(at: Trail) {
    here!(at);
    inner(at.deeper()).await;
}

async fn inner(at: Trail) {
    here!(at);
    std::future::pending::<()>().await;
}

async fn with_a_handle(at: Trail) {
    here!(at);
    std::future::pending::<()>().await;
}

async fn in_local_pool(at: Trail) {
    here!(at);
    std::future::pending::<()>().await;
}

async fn second_in_local_pool(at: Trail) {
    here!(at);
    inner(at.deeper()).await;
}
