//! Futures that no task holds: those given to `block_on`, on as many threads as there are ways; and what runs on, or waits
//! for, a thread of the blocking pool.

use std::future::pending;
use std::time::Duration;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::LocalSet;
use truth::{Trail, here};

async fn outer(at: Trail) {
    here!(at);
    inner(at.deeper()).await;
}

async fn inner(at: Trail) {
    here!(at);
    tokio::time::sleep(Duration::from_secs(3600)).await;
}

/// Too large for tokio to leave on the stack.
async fn large(at: Trail) {
    let mut buffer = [0u8; 40_000];
    std::hint::black_box(&mut buffer);
    here!(at);
    outer(at.deeper()).await;
    std::hint::black_box(&mut buffer);
}

/// Its thread sleeps inside a poll.
async fn blocks(at: Trail) {
    here!(at);
    std::hint::black_box(at).done_polling();
    pending::<()>().await;
}

async fn within(at: Trail, local: LocalSet) {
    here!(at);
    local.run_until(outer(at.deeper())).await;
}

trait Blocks {
    fn done_polling(self);
}

impl Blocks for Trail {
    fn done_polling(self) {
        forever(0);
    }
}

async fn awaits_blocking(at: Trail, inner: tokio::task::JoinHandle<()>) {
    here!(at);
    let _ = inner.await;
}

/// The number keeps closures that call this from being one to the compiler.
fn forever(number: u64) {
    loop {
        std::hint::black_box(number);
        std::thread::sleep(Duration::from_secs(3600));
    }
}

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().max_blocking_threads(1).build().expect("a runtime")
}

/// A root of this thread.
fn root() -> Trail {
    let at = Trail::root();
    at.is_root(0);
    at
}

fn threads() {
    std::thread::spawn(|| current_thread().block_on(outer(root())));
    std::thread::spawn(|| current_thread().block_on(large(root())));
    std::thread::spawn(|| current_thread().block_on(blocks(root())));
    std::thread::spawn(|| LocalSet::new().block_on(&current_thread(), outer(root())));
    std::thread::spawn(|| current_thread().block_on(within(root(), LocalSet::new())));
    let handle = Handle::current();
    std::thread::spawn(move || handle.block_on(outer(root())));
    std::thread::spawn(|| {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        runtime.block_on(large(root()));
    });
}

fn blocking() {
    // Nested: a handle's, and a runtime of its own.
    let handle = Handle::current();
    let nested = tokio::task::spawn_blocking(move || handle.block_on(outer(root())));
    truth::is_blocking(&nested, "roots::blocking::{closure#0}", "running");
    let nested = tokio::task::spawn_blocking(|| current_thread().block_on(outer(root())));
    truth::is_blocking(&nested, "roots::blocking::{closure#1}", "running");
    let work = tokio::task::spawn_blocking(|| forever(1));
    truth::is_blocking(&work, "roots::blocking::{closure#2}", "running");
    let at = Trail::root();
    at.is_task(0, &tokio::spawn(awaits_blocking(at, work)));
}

/// A pool of one thread, and three closures for it.
fn queued() {
    let runtime = current_thread();
    for state in ["running", "scheduled", "scheduled"] {
        let work = runtime.spawn_blocking(|| forever(2));
        truth::is_blocking(&work, "roots::queued::{closure#0}", state);
    }
    // As it would be in a static.
    std::mem::forget(runtime);
}

#[tokio::main(worker_threads = 2)]
async fn main() {
    let at = root();
    threads();
    blocking();
    queued();
    std::thread::spawn(|| truth::tell_and_wait());
    here!(at, "roots::main::{async_block#0}");
    outer(at.deeper()).await;
}
