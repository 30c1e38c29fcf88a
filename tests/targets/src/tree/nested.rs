//! Async fns that await async fns: levels, generics, loops, arms, neighbouring lines, shadowed names, recursion.

use crate::start;
use std::future::{Future, pending};
use std::pin::Pin;
use truth::{Trail, here};

pub fn start_all() {
    start(outer);
    start(|at| carry(at, 7_u32));
    start(|at| carry(at, String::from("owned")));
    start(in_a_loop);
    start(|at| in_an_arm(at, Some(3)));
    start(|at| in_an_arm(at, None));
    for stop in 1..=3 {
        start(move |at| neighbours(at, stop));
    }
    start(shadowed);
    start(|at| recursive(at, 4));
    start(over_several_lines);
    start(in_an_argument);
    start(holds_another);
    start(never_polled_child);
}

async fn outer(at: Trail) {
    here!(at);
    middle(at.deeper(), 1).await;
}

async fn middle(at: Trail, step: u64) {
    let kept = vec![step; 8];
    here!(at);
    inner(at.deeper(), &kept).await;
    std::hint::black_box(kept);
}

async fn inner(at: Trail, seen: &[u64]) {
    let sum: u64 = seen.iter().sum();
    here!(at);
    pending::<()>().await;
    std::hint::black_box(sum);
}

async fn carry<T: Send + 'static>(at: Trail, value: T) {
    here!(at);
    carry_on(at.deeper(), &value, [0_u16; 3]).await;
    std::hint::black_box(value);
}

async fn carry_on<T, const N: usize>(at: Trail, value: &T, rest: [u16; N]) {
    here!(at);
    pending::<()>().await;
    std::hint::black_box((value, rest));
}

async fn at_once() -> u32 {
    std::hint::black_box(1)
}

async fn stop_if(at: Trail, stop: bool) {
    if stop {
        here!(at);
        pending::<()>().await;
    }
}

async fn in_a_loop(at: Trail) {
    for turn in 0..10 {
        at_once().await;
        here!(at);
        stop_if(at.deeper(), turn == 6).await;
    }
}

async fn in_an_arm(at: Trail, choice: Option<u32>) {
    match choice {
        Some(more) if more > 100 => pending::<()>().await,
        Some(more) => {
            here!(at);
            stop_if(at.deeper(), more == 3).await;
        }
        None => {
            at_once().await;
            here!(at);
            stop_if(at.deeper(), true).await;
        }
    }
}

/// Three awaits of the same future on three lines, told apart by the line alone.
async fn neighbours(at: Trail, stop: u32) {
    at.here("tree::nested::neighbours".to_string(), None, file!(), line!() + stop);
    stop_if(at.deeper(), stop == 1).await;
    stop_if(at.deeper(), stop == 2).await;
    stop_if(at.deeper(), stop == 3).await;
}

/// rustc gives all members of one name the first one's offset (the first trap of shadowed locals).
async fn shadowed(at: Trail) {
    let value = at_once().await;
    let value = vec![value; 5];
    at_once().await;
    let value = (value.len() as u64, value);
    at_once().await;
    let value = format!("{value:?}");
    here!(at);
    inner(at.deeper(), &[value.len() as u64]).await;
    std::hint::black_box(value);
}

fn boxed_recursive(at: Trail, depth: u32) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(recursive(at, depth))
}

async fn recursive(at: Trail, depth: u32) {
    if depth == 0 {
        here!(at);
        pending::<()>().await;
    } else {
        here!(at);
        boxed_recursive(at.deeper(), depth - 1).await;
    }
}

struct Chain(Trail);

impl Chain {
    fn with(self, _what: u32) -> Chain {
        self
    }

    fn send(self) -> impl Future<Output = ()> {
        stop_if(self.0, true)
    }
}

/// A builder chain: the compiler's place is that of the `.await`, not where the statement starts.
#[rustfmt::skip]
async fn over_several_lines(at: Trail) {
    at.here("tree::nested::over_several_lines".to_string(), None, file!(), line!() + 5);
    Chain(at.deeper())
        .with(1)
        .with(2)
        .send()
        .await;
}

async fn in_an_argument(at: Trail) {
    here!(at);
    std::hint::black_box((at_once().await, stop_if(at.deeper(), true).await));
}

/// Keeps a started future that it does not await now.
async fn holds_another(at: Trail) {
    let mut held = Box::pin(pending::<()>());
    let waker = std::task::Waker::noop();
    let first = held.as_mut().poll(&mut std::task::Context::from_waker(waker));
    here!(at);
    stop_if(at.deeper(), first.is_pending()).await;
    held.await;
}

/// Keeps a future that was never polled.
async fn never_polled_child(at: Trail) {
    let later = at_once();
    here!(at);
    pending::<()>().await;
    later.await;
}
