//! Tasks of async-std, which has async-global-executor run them.

use async_std::channel::Receiver;
use async_std::net::TcpListener;
use async_std::sync::Mutex;
use async_std::task;
use std::future::Future;
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
    keep(task::spawn(root(at)));
    at.is_task_of("async-task")
}

fn main() {
    start(sleeps);
    start(joins).ends_in("async_task::task::Task");
    let (sender, receiver) = async_std::channel::bounded(1);
    keep(sender);
    start(|at| receives(at, receiver)).ends_in("event_listener::EventListener");
    let mutex = Arc::new(Mutex::new(0_u64));
    keep(task::block_on(mutex.lock_arc()));
    start(|at| locks(at, mutex)).ends_in("event_listener::EventListener");
    let listener = task::block_on(TcpListener::bind("127.0.0.1:0")).expect("a port on loopback");
    start(|at| accepts(at, listener)).ends_in("async_io::reactor::Ready");
    named();
    std::thread::spawn(|| {
        let at = Trail::root().is_task_of("async-task");
        keep(task::spawn_local(local(at)));
        task::block_on(std::future::pending::<()>());
    });
    truth::tell_and_wait();
}

fn named() {
    let at = Trail::root().is_task_of("async-task");
    keep(task::Builder::new().name("a name of its own".to_owned()).spawn(with_a_name(at)).expect("a task"));
}

async fn sleeps(at: Trail) {
    here!(at);
    deeper(at.deeper()).await;
}

async fn deeper(at: Trail) {
    here!(at);
    task::sleep(Duration::from_secs(3600)).await;
}

async fn joins(at: Trail) {
    let child = Trail::root();
    let task = task::spawn(joined(child));
    child.is_task_of("async-task").ends_in("core::future::pending::Pending");
    here!(at);
    task.await;
}

async fn joined(at: Trail) {
    here!(at);
    std::future::pending::<()>().await;
}

async fn receives(at: Trail, receiver: Receiver<u64>) {
    here!(at);
    let _ = std::hint::black_box(receiver.recv().await);
}

async fn locks(at: Trail, mutex: Arc<Mutex<u64>>) {
    here!(at);
    *mutex.lock().await += 1;
}

async fn accepts(at: Trail, listener: TcpListener) {
    here!(at);
    let _ = listener.accept().await;
}

async fn with_a_name(at: Trail) {
    here!(at);
    std::future::pending::<()>().await;
}

async fn local(at: Trail) {
    here!(at);
    std::future::pending::<()>().await;
}
