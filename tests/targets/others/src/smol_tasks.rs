//! Tasks of smol's global executor, of an executor of our own and of a LocalExecutor.

use smol::channel::{Receiver, Sender};
use smol::io::AsyncReadExt as _;
use smol::lock::{Mutex, RwLock, Semaphore};
use smol::net::{TcpListener, TcpStream};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use truth::{Trail, here};

/// Keeps its value until the process ends, so that nobody stops waiting.
fn keep<T>(value: T) {
    std::mem::forget(value);
}

fn start<F>(root: impl FnOnce(Trail) -> F) -> Trail
where
    F: Future<Output = ()> + Send + 'static,
{
    let at = Trail::root();
    smol::spawn(root(at)).detach();
    at.is_task_of("async-task")
}

fn main() {
    waits();
    locks();
    channels();
    sockets();
    executors();
    truth::tell_and_wait();
}

fn waits() {
    start(sleeps).ends_in("async_io::Timer");
    start(nested).ends_in("async_io::Timer");
    start(|at| -> Pin<Box<dyn Future<Output = ()> + Send>> { Box::pin(boxed(at)) }).ends_in("async_io::Timer");
    start(joins).ends_in("async_task::task::Task");
    start(joins_fallibly).ends_in("async_task::task::FallibleTask");
    start(listens).ends_in("event_listener::EventListener");
}

fn locks() {
    let mutex = Arc::new(Mutex::new(0_u64));
    keep(smol::block_on(mutex.lock_arc()));
    start(|at| locks_mutex(at, mutex)).ends_in("event_listener::EventListener");
    let rwlock = Arc::new(RwLock::new(0_u64));
    keep(smol::block_on(rwlock.write_arc()));
    let same = rwlock.clone();
    start(|at| reads(at, same)).ends_in("event_listener::EventListener");
    start(|at| writes(at, rwlock)).ends_in("event_listener::EventListener");
    let semaphore = Arc::new(Semaphore::new(0));
    start(|at| takes_permit(at, semaphore)).ends_in("event_listener::EventListener");
}

fn channels() {
    let (sender, receiver) = smol::channel::bounded(1);
    keep(sender);
    start(|at| receives(at, receiver)).ends_in("event_listener::EventListener");
    let (sender, receiver) = smol::channel::bounded(1);
    keep(receiver);
    start(|at| sends(at, sender)).ends_in("event_listener::EventListener");
    let (sender, receiver) = flume::bounded::<u64>(1);
    keep(sender);
    start(|at| receives_flume(at, receiver)).ends_in("flume::async::RecvFut");
}

fn sockets() {
    let (server, client) = smol::block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port on loopback");
        let address = listener.local_addr().expect("the port's number");
        let client = TcpStream::connect(address).await.expect("a connection to ourselves");
        keep(listener.accept().await.expect("the other end"));
        (listener, client)
    });
    start(|at| reads_socket(at, client)).ends_in("async_io::reactor::Ready");
    start(|at| accepts(at, server)).ends_in("async_io::reactor::Ready");
}

fn executors() {
    let own: &'static smol::Executor<'static> = Box::leak(Box::new(smol::Executor::new()));
    let at = Trail::root().is_task_of("async-task");
    own.spawn(in_own_executor(at)).detach();
    std::thread::spawn(|| smol::block_on(own.run(std::future::pending::<()>())));

    std::thread::spawn(|| {
        let local = smol::LocalExecutor::new();
        let at = Trail::root().is_task_of("async-task");
        local.spawn(in_local_executor(at)).detach();
        smol::block_on(local.run(std::future::pending::<()>()));
    });

    static STATIC: async_executor::StaticExecutor = async_executor::StaticExecutor::new();
    let at = Trail::root().is_task_of("async-task");
    STATIC.spawn(in_static_executor(at)).detach();
    std::thread::spawn(|| smol::block_on(STATIC.run(std::future::pending::<()>())));
}

async fn sleeps(at: Trail) {
    here!(at);
    smol::Timer::after(Duration::from_secs(3600)).await;
}

async fn nested(at: Trail) {
    here!(at);
    middle(at.deeper(), "x".to_owned()).await;
}

async fn middle(at: Trail, text: String) {
    here!(at);
    sleeps(at.deeper()).await;
    std::hint::black_box(text);
}

async fn boxed(at: Trail) {
    here!(at);
    smol::Timer::after(Duration::from_secs(3600)).await;
}

async fn joins(at: Trail) {
    let child = Trail::root();
    let task = smol::spawn(joined(child));
    child.is_task_of("async-task").ends_in("core::future::pending::Pending");
    here!(at);
    task.await;
}

async fn joined(at: Trail) {
    here!(at);
    std::future::pending::<()>().await;
}

async fn joins_fallibly(at: Trail) {
    let child = Trail::root();
    let task = smol::spawn(joined_fallibly(child)).fallible();
    child.is_task_of("async-task").ends_in("core::future::pending::Pending");
    here!(at);
    task.await;
}

async fn joined_fallibly(at: Trail) {
    here!(at);
    std::future::pending::<()>().await;
}

async fn listens(at: Trail) {
    let event = event_listener::Event::new();
    let listener = event.listen();
    here!(at);
    listener.await;
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

async fn takes_permit(at: Trail, semaphore: Arc<Semaphore>) {
    here!(at);
    let _permit = semaphore.acquire().await;
}

async fn receives(at: Trail, receiver: Receiver<u64>) {
    here!(at);
    let _ = std::hint::black_box(receiver.recv().await);
}

async fn sends(at: Trail, sender: Sender<u64>) {
    let _ = sender.send(1).await;
    here!(at);
    let _ = sender.send(2).await;
}

async fn receives_flume(at: Trail, receiver: flume::Receiver<u64>) {
    here!(at);
    let _ = receiver.recv_async().await;
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

async fn in_own_executor(at: Trail) {
    here!(at);
    sleeps(at.deeper()).await;
}

async fn in_local_executor(at: Trail) {
    here!(at);
    sleeps(at.deeper()).await;
}

async fn in_static_executor(at: Trail) {
    here!(at);
    sleeps(at.deeper()).await;
}
