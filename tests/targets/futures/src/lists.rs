//! As many futures as there happen to be.

use crate::{places, start, try_wait, wait};
use futures::future::{join_all, select_all, select_ok, try_join_all};
use futures::stream::{self, FuturesOrdered, FuturesUnordered, StreamExt, TryStreamExt};
use std::collections::VecDeque;
use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use truth::{Trail, here};

/// The last is more than is shown of one collection.
const COUNTS: [usize; 5] = [0, 1, 3, 40, 3000];

pub fn start_all() {
    for count in COUNTS {
        start(move |at| unordered(at, count));
        start(move |at| joins_all(at, count));
    }
    for count in [0, 3, 40] {
        start(move |at| ordered(at, count));
        start(move |at| buffered(at, count));
        start(move |at| unordered_buffer(at, count));
        start(move |at| try_buffered(at, count));
        start(move |at| for_each(at, count));
        start(move |at| try_for_each(at, count));
        start(move |at| tries_join_all(at, count));
        start(move |at| boxed_in_unordered(at, count));
    }
    for count in [1, 3, 40] {
        start(move |at| selects_all(at, count));
        start(move |at| selects_ok(at, count));
        start(move |at| ring(at, count));
    }
    start(two_kinds);
    start(nested);
    start(by_hand);
    start(kept);
}

async fn unordered(at: Trail, count: usize) {
    let children = places(at, count);
    let mut set: FuturesUnordered<_> = children.iter().map(|child| wait(*child)).collect();
    here!(at).adopt_all(&children);
    while set.next().await.is_some() {}
    here!(at);
    pending::<()>().await;
    drop(set);
}

async fn boxed_in_unordered(at: Trail, count: usize) {
    let children = places(at, count);
    let mut set: FuturesUnordered<Pin<Box<dyn Future<Output = u32> + Send>>> = FuturesUnordered::new();
    for child in &children {
        set.push(Box::pin(wait(*child)));
    }
    here!(at).adopt_all(&children);
    set.next().await;
    here!(at);
    pending::<()>().await;
}

async fn ordered(at: Trail, count: usize) {
    let children = places(at, count);
    let mut set: FuturesOrdered<_> = children.iter().map(|child| wait(*child)).collect();
    here!(at).adopt_all(&children);
    while set.next().await.is_some() {}
    here!(at);
    pending::<()>().await;
}

/// Five at a time: the others are not made yet.
async fn buffered(at: Trail, count: usize) {
    let children = places(at, count);
    let mut all = stream::iter(children.clone()).map(wait).chain(stream::pending()).map(|x| x);
    let mut some = Box::pin(stream::iter(children.clone()).map(wait).buffered(5));
    here!(at).adopt_all(&children);
    while some.next().await.is_some() {}
    here!(at);
    all.by_ref().skip(count).next().await;
}

async fn unordered_buffer(at: Trail, count: usize) {
    let children = places(at, count);
    let futures = stream::iter(children.clone()).map(wait).chain(stream::pending());
    here!(at).adopt_all(&children);
    futures.buffer_unordered(100).collect::<Vec<_>>().await;
}

async fn try_buffered(at: Trail, count: usize) {
    let children = places(at, count);
    let futures = stream::iter(children.clone()).map(|child| Ok(try_wait(child))).chain(stream::pending());
    here!(at).adopt_all(&children);
    let _ = futures.try_buffered(7).try_collect::<Vec<u32>>().await;
}

async fn for_each(at: Trail, count: usize) {
    let children = places(at, count);
    let places = stream::iter(children.clone()).chain(stream::pending());
    here!(at).adopt_all(&children);
    places.for_each_concurrent(None, unit).await;
}

async fn try_for_each(at: Trail, count: usize) {
    let children = places(at, count);
    let places = stream::iter(children.clone()).map(Ok).chain(stream::pending());
    here!(at).adopt_all(&children);
    let _ = places.try_for_each_concurrent(10, try_unit).await;
}

async fn try_unit(at: Trail) -> Result<(), String> {
    here!(at);
    try_wait(at.deeper()).await?;
    Ok(())
}

async fn unit(at: Trail) {
    here!(at);
    wait(at.deeper()).await;
}

async fn joins_all(at: Trail, count: usize) {
    let children = places(at, count);
    let all = join_all(children.iter().map(|child| wait(*child)));
    here!(at).adopt_all(&children);
    all.await;
    here!(at);
    pending::<()>().await;
}

async fn tries_join_all(at: Trail, count: usize) {
    let children = places(at, count);
    let all = try_join_all(children.iter().map(|child| try_wait(*child)));
    here!(at).adopt_all(&children);
    let _ = all.await;
    here!(at);
    pending::<()>().await;
}

async fn selects_all(at: Trail, count: usize) {
    let children = places(at, count);
    let all = select_all(children.iter().map(|child| Box::pin(wait(*child))));
    here!(at).adopt_all(&children);
    drop(all.await);
}

async fn selects_ok(at: Trail, count: usize) {
    let children = places(at, count);
    let all = select_ok(children.iter().map(|child| Box::pin(try_wait(*child))));
    here!(at).adopt_all(&children);
    drop(all.await);
}

/// A ring whose first element is not the first in memory.
async fn ring(at: Trail, count: usize) {
    let children = places(at, count);
    let mut queue = VecDeque::with_capacity(count);
    for child in &children {
        queue.push_front(Box::pin(wait(*child)));
    }
    let all = Ring { queue };
    here!(at).adopt_all(&children);
    all.await;
}

struct Ring<F> {
    queue: VecDeque<F>,
}

impl<F: Future + Unpin> Future for Ring<F> {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut std::task::Context<'_>) -> Poll<()> {
        for future in &mut self.queue {
            let _ = Pin::new(future).poll(context);
        }
        Poll::Pending
    }
}

/// Equal and unequal futures in one collection.
async fn two_kinds(at: Trail) {
    let children = places(at, 20);
    let mut set: FuturesUnordered<Pin<Box<dyn Future<Output = u32> + Send>>> = FuturesUnordered::new();
    for (i, child) in children.iter().enumerate() {
        if i % 5 == 0 {
            set.push(Box::pin(other(*child)));
        } else {
            set.push(Box::pin(wait(*child)));
        }
    }
    here!(at).adopt_all(&children);
    set.next().await;
}

async fn other(at: Trail) -> u32 {
    here!(at);
    pending::<()>().await;
    2
}

/// A collection in each future of a collection.
async fn nested(at: Trail) {
    let children = places(at, 4);
    let mut set: FuturesUnordered<_> = children.iter().map(|child| unordered(*child, 3)).collect();
    here!(at).adopt_all(&children);
    set.next().await;
}

/// Polled by hand, in a closure.
async fn by_hand(at: Trail) {
    let children = places(at, 6);
    let mut futures: Vec<_> = children.iter().map(|child| Box::pin(wait(*child))).collect();
    let all = poll_fn(|context| {
        for future in &mut futures {
            let _ = future.as_mut().poll(context);
        }
        Poll::<()>::Pending
    });
    here!(at).adopt_all(&children);
    all.await;
}

/// Kept, begun, but not awaited now: nobody polls these.
async fn kept(at: Trail) {
    let children = places(at, 3);
    let mut set: FuturesUnordered<_> = children.iter().map(|child| wait(*child)).collect();
    let _ = futures::poll!(set.next());
    here!(at);
    pending::<()>().await;
    set.next().await;
}
