//! One task per collection or combinator of futures, each stuck on known awaits inside it.

mod combinators;
mod lists;
mod streams;
mod tasks;

use std::future::{Future, pending};
use std::pin::Pin;
use truth::{Trail, here};

/// Starts a task. A boxed root spares the compiler most of its work.
fn start<F>(root: impl FnOnce(Trail) -> F) -> Trail
where
    F: Future<Output = ()> + Send + 'static,
{
    let at = Trail::root();
    let root: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(root(at));
    at.is_task(0, &tokio::spawn(root));
    at
}

/// What the futures inside the collections are.
async fn wait(at: Trail) -> u32 {
    here!(at);
    pending::<()>().await;
    1
}

async fn try_wait(at: Trail) -> Result<u32, String> {
    here!(at);
    pending::<()>().await;
    Ok(1)
}

/// Places for `count` futures that are made now and awaited later.
fn places(at: Trail, count: usize) -> Vec<Trail> {
    (0..count).map(|_| at.deeper()).collect()
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .expect("a runtime with two workers");
    runtime.block_on(async {
        lists::start_all();
        combinators::start_all();
        streams::start_all();
        tasks::start_all();
    });
    truth::tell_and_wait();
}
