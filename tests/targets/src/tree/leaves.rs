//! What the innermost await waits for: one task per kind of resource.

use crate::start_boxed;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Barrier, Mutex, Notify, RwLock, Semaphore, broadcast, mpsc, oneshot, watch};
use truth::{Trail, here};

/// Keeps its value until the process ends, so that nobody stops waiting.
fn keep<T>(value: T) {
    std::mem::forget(value);
}

pub async fn start_all() {
    start_boxed(sleeps).waits_for("timer");
    start_boxed(ticks).waits_for("timer");
    locks().await;
    channels();
    start_boxed(notified).waits_for("notify");
    start_boxed(at_a_barrier).waits_for("barrier");
    start_boxed(joins).waits_for("join");
    sockets().await;
}

async fn locks() {
    let mutex = Arc::new(Mutex::new(0_u64));
    keep(mutex.clone().lock_owned().await);
    start_boxed(|at| locks_mutex(at, mutex)).waits_for("mutex");
    let rwlock = Arc::new(RwLock::new(0_u64));
    keep(rwlock.clone().write_owned().await);
    let same = rwlock.clone();
    start_boxed(|at| reads(at, same)).waits_for("rwlock");
    start_boxed(|at| writes(at, rwlock)).waits_for("rwlock");
    let semaphore = Arc::new(Semaphore::new(2));
    start_boxed(|at| takes_permits(at, semaphore)).waits_for("semaphore");
}

fn channels() {
    let (sender, receiver) = mpsc::channel(1);
    keep(sender);
    start_boxed(|at| receives(at, receiver)).waits_for("mpsc");
    let (sender, receiver) = mpsc::unbounded_channel();
    keep(sender);
    start_boxed(|at| receives_unbounded(at, receiver)).waits_for("mpsc");
    let (sender, receiver) = mpsc::channel(1);
    keep(receiver);
    start_boxed(|at| sends(at, sender)).waits_for("mpsc");
    let (sender, receiver) = oneshot::channel();
    keep(sender);
    start_boxed(|at| awaits_answer(at, receiver)).waits_for("oneshot");
    let (sender, receiver) = watch::channel(0);
    keep(sender);
    start_boxed(|at| watches(at, receiver)).waits_for("watch");
    let (sender, receiver) = broadcast::channel(4);
    keep(sender);
    start_boxed(|at| listens(at, receiver)).waits_for("broadcast");
}

async fn sockets() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port on loopback");
    let address = listener.local_addr().expect("the port's number");
    let (client, server) = tokio::join!(TcpStream::connect(address), listener.accept());
    keep(server.expect("the other end"));
    let client = client.expect("a connection to ourselves");
    start_boxed(|at| reads_socket(at, client)).waits_for("io");
    start_boxed(|at| accepts(at, listener)).waits_for("io");
}

async fn sleeps(at: Trail) {
    here!(at);
    tokio::time::sleep(Duration::from_secs(3600)).await;
}

async fn ticks(at: Trail) {
    let mut ticks = tokio::time::interval(Duration::from_secs(3600));
    ticks.tick().await;
    here!(at);
    ticks.tick().await;
}

async fn locks_mutex(at: Trail, mutex: Arc<Mutex<u64>>) {
    here!(at);
    *mutex.lock().await += 1;
}

async fn reads(at: Trail, lock: Arc<RwLock<u64>>) {
    here!(at);
    std::hint::black_box(*lock.read().await);
}

async fn writes(at: Trail, lock: Arc<RwLock<u64>>) {
    here!(at);
    *lock.write().await += 1;
}

async fn takes_permits(at: Trail, semaphore: Arc<Semaphore>) {
    here!(at);
    let _permits = semaphore.acquire_many(3).await;
}

async fn receives(at: Trail, mut receiver: mpsc::Receiver<u64>) {
    here!(at);
    std::hint::black_box(receiver.recv().await);
}

async fn receives_unbounded(at: Trail, mut receiver: mpsc::UnboundedReceiver<u64>) {
    here!(at);
    while let Some(value) = receiver.recv().await {
        std::hint::black_box(value);
    }
}

async fn sends(at: Trail, sender: mpsc::Sender<u64>) {
    let _ = sender.send(1).await;
    here!(at);
    let _ = sender.send(2).await;
}

async fn awaits_answer(at: Trail, receiver: oneshot::Receiver<u64>) {
    here!(at);
    let _ = receiver.await;
}

async fn watches(at: Trail, mut receiver: watch::Receiver<u64>) {
    here!(at);
    let _ = receiver.changed().await;
}

async fn listens(at: Trail, mut receiver: broadcast::Receiver<u64>) {
    here!(at);
    let _ = receiver.recv().await;
}

async fn notified(at: Trail) {
    let notify = Notify::new();
    here!(at);
    notify.notified().await;
}

async fn at_a_barrier(at: Trail) {
    let barrier = Barrier::new(2);
    here!(at);
    barrier.wait().await;
}

async fn joins(at: Trail) {
    let child = Trail::root();
    let joined = tokio::spawn(joined(child));
    child.is_task(0, &joined);
    here!(at);
    let _ = joined.await;
}

async fn joined(at: Trail) {
    here!(at);
    std::future::pending::<()>().await;
}

async fn reads_socket(at: Trail, mut stream: TcpStream) {
    let mut buffer = [0; 16];
    here!(at);
    let _ = stream.read(&mut buffer).await;
}

async fn accepts(at: Trail, listener: TcpListener) {
    here!(at);
    let _ = listener.accept().await;
}
