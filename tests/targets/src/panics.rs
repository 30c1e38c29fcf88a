//! Tasks that panic while they are polled. What is printed and the exit status must be the same with and without a tracer.
//! Says `waiting` and goes on when it reads a line.

use std::future::poll_fn;
use std::io::BufRead as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

/// Tells when it is dropped, so also that it was.
struct Guard(&'static str);

impl Drop for Guard {
    fn drop(&mut self) {
        let unwinding = std::thread::panicking();
        println!("{} dropped, {}", self.0, if unwinding { "unwinding" } else { "not unwinding" });
    }
}

async fn at_once() {
    panic!("at once");
}

async fn after_some_polls() -> u32 {
    let _guard = Guard("after_some_polls");
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(Duration::from_millis(5)).await;
    panic!("after some polls");
}

async fn inner(depth: u32) {
    let _guard = Guard("inner");
    tokio::task::yield_now().await;
    if depth == 0 {
        panic!("deep down");
    }
    Box::pin(inner(depth - 1)).await;
}

/// Catches a panic of its child inside its own poll, and lives on.
async fn catches() -> &'static str {
    let mut child = pin!(after_some_polls());
    let caught = poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| child.as_mut().poll(context))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(_)) => Poll::Ready("not caught"),
        Err(_) => Poll::Ready("caught"),
    });
    let answer = caught.await;
    tokio::task::yield_now().await;
    answer
}

async fn quiet() -> u32 {
    tokio::time::sleep(Duration::from_millis(10)).await;
    7
}

fn tell<T: std::fmt::Debug>(name: &str, outcome: Result<T, tokio::task::JoinError>) {
    match outcome {
        Ok(value) => println!("{name}: {value:?}"),
        Err(error) => println!("{name}: panicked {}, cancelled {}", error.is_panic(), error.is_cancelled()),
    }
}

fn main() {
    truth::end_by_itself();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime with two workers");
    truth::say("{\"truth\":\"waiting\"}");
    std::io::stdin().lock().read_line(&mut String::new()).expect("stdin can be read");
    runtime.block_on(async {
        for _ in 0..3 {
            tell("at_once", tokio::spawn(at_once()).await);
            tell("after_some_polls", tokio::spawn(after_some_polls()).await);
            tell("inner", tokio::spawn(inner(3)).await);
            tell("catches", tokio::spawn(catches()).await);
            tell("quiet", tokio::spawn(quiet()).await);
        }
        let aborted = tokio::spawn(std::future::pending::<()>());
        aborted.abort();
        tell("aborted", aborted.await);
    });
    // A worker may still be on its way out of the last task.
    std::thread::sleep(Duration::from_millis(50));
    std::process::exit(7);
}
