//! Futures behind pointers, in locals, in blocks and closures, and inside hand-written futures.

use crate::start;
use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use truth::{Trail, here};

pub fn start_all() {
    start(boxed);
    start(boxed_dyn);
    start(by_mut_ref);
    start(pinned_local);
    start(twice_boxed);
    start(root_block);
    start(block_in_fn);
    start(calls_closure);
    start(wrapped);
    start(in_poll_fn);
    start(opaque);
    start(|at| Box::pin(leaf(at)));
    start(|at| dynamic(at));
}

async fn leaf(at: Trail) {
    here!(at);
    pending::<()>().await;
}

fn dynamic(at: Trail) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(leaf(at))
}

async fn boxed(at: Trail) {
    let child = at.deeper();
    let future = Box::pin(leaf(child));
    here!(at => child);
    future.await;
}

async fn boxed_dyn(at: Trail) {
    here!(at);
    dynamic(at.deeper()).await;
}

async fn by_mut_ref(at: Trail) {
    let child = at.deeper();
    let mut future = Box::pin(leaf(child));
    here!(at => child);
    (&mut future).await;
    drop(std::hint::black_box(future));
}

async fn pinned_local(at: Trail) {
    let child = at.deeper();
    let mut future = pin!(leaf(child));
    here!(at => child);
    future.as_mut().await;
}

async fn twice_boxed(at: Trail) {
    here!(at);
    Box::pin(Box::pin(dynamic(at.deeper()))).await;
}

fn root_block(at: Trail) -> impl Future<Output = ()> + Send {
    async move {
        here!(at, "tree::boxes::root_block::{async_block#0}");
        leaf(at.deeper()).await;
    }
}

async fn block_in_fn(at: Trail) {
    let child = at.deeper();
    let block = async move {
        here!(child, "tree::boxes::block_in_fn::{async_block#0}");
        leaf(child.deeper()).await;
    };
    here!(at => child);
    block.await;
}

async fn calls_closure(at: Trail) {
    let child = at.deeper();
    let closure = async |step: u32| {
        here!(child, "tree::boxes::calls_closure::{closure#0}::{async_closure#0}");
        leaf(child.deeper()).await;
        step + 1
    };
    here!(at => child);
    closure(1).await;
}

/// A future written by hand, of the target's own.
struct Wrapper<F> {
    wrapped: F,
    polls: u64,
}

impl<F: Future + Unpin> Future for Wrapper<F> {
    type Output = F::Output;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.polls += 1;
        Pin::new(&mut self.wrapped).poll(context)
    }
}

async fn wrapped(at: Trail) {
    here!(at);
    Wrapper { polls: 0, wrapped: Box::pin(leaf(at.deeper())) }.await;
}

async fn in_poll_fn(at: Trail) {
    let child = at.deeper();
    let mut future = pin!(leaf(child));
    here!(at => child);
    poll_fn(|context| future.as_mut().poll(context)).await;
}

fn opaque_leaf(at: Trail) -> impl Future<Output = ()> + Send {
    leaf(at)
}

async fn opaque(at: Trail) {
    here!(at);
    opaque_leaf(at.deeper()).await;
}
