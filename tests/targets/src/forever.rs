//! Tasks that nothing will ever poll again: whoever could have woken them is gone. These are what people look for.

use std::future::{pending, poll_fn};
use std::task::Poll;
use tokio::sync::{Mutex, Notify, mpsc, oneshot};
use truth::{Trail, here};

async fn waker_dropped(at: Trail) {
    here!(at);
    pending::<()>().await;
}

/// Once the other end has gone, a receiver is woken; so the end is leaked, as a lost `Sender` in a map would be.
async fn answer_lost(at: Trail, answer: oneshot::Receiver<u8>) {
    here!(at);
    let _ = answer.await;
}

async fn queue_forgotten(at: Trail, mut queue: mpsc::Receiver<u8>) {
    here!(at);
    let _ = queue.recv().await;
}

async fn never_notified(at: Trail) {
    let notify = Notify::new();
    here!(at);
    notify.notified().await;
}

async fn locks_twice(at: Trail) {
    let mutex = Mutex::new(0_u8);
    let first = mutex.lock().await;
    here!(at);
    let second = mutex.lock().await;
    drop((first, second));
}

/// Breaks the contract of `Future`: answers Pending and registers nobody.
async fn forgot_the_waker(at: Trail) {
    here!(at);
    poll_fn(|_context| Poll::<()>::Pending).await;
}

fn start<F: Future<Output = ()> + Send + 'static>(root: impl FnOnce(Trail) -> F) {
    let at = Trail::root();
    at.is_task(0, &tokio::spawn(root(at)));
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime");
    let _inside = runtime.enter();
    start(waker_dropped);
    let (sender, receiver) = oneshot::channel();
    std::mem::forget(sender);
    start(|at| answer_lost(at, receiver));
    let (sender, receiver) = mpsc::channel(1);
    std::mem::forget(sender);
    start(|at| queue_forgotten(at, receiver));
    start(never_notified);
    start(locks_twice);
    start(forgot_the_waker);
    truth::tell_and_wait();
}
