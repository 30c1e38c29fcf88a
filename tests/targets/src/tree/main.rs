//! One task per way of standing at an await, on a multi-thread runtime.

mod boxes;
mod leaves;
mod macros;
mod methods;
mod nested;

use std::future::Future;
use std::pin::Pin;
use truth::Trail;

/// Starts a task whose root future carries the root of a new trail.
fn start<F>(root: impl FnOnce(Trail) -> F) -> Trail
where
    F: Future<Output = ()> + Send + 'static,
{
    let at = Trail::root();
    let handle = tokio::spawn(root(at));
    at.is_task(0, &handle);
    at
}

/// The same behind a pointer: one type of task for all of them, which spares the compiler most of its work.
fn start_boxed<F>(root: impl FnOnce(Trail) -> F) -> Trail
where
    F: Future<Output = ()> + Send + 'static,
{
    start(|at| -> Pin<Box<dyn Future<Output = ()> + Send>> { Box::pin(root(at)) })
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime with two workers");
    runtime.block_on(async {
        nested::start_all();
        methods::start_all();
        boxes::start_all();
        macros::start_all();
        leaves::start_all().await;
    });
    truth::tell_and_wait();
}
