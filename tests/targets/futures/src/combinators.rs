//! Futures made of a fixed number of futures.

use crate::{start, try_wait, wait};
use futures::future::{self, AbortHandle, Abortable, BoxFuture, Either, FutureExt, Shared, TryFutureExt};
use std::future::{Future, pending};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::time::Duration;
use truth::{Trail, here};

const FOREVER: Duration = Duration::from_secs(3600);

pub fn start_all() {
    start(joins);
    start(joins_three);
    start(tries_join);
    start(selects);
    start(join_macro);
    start(try_join_macro);
    start(select_macro);
    start(select_macro_by_name);
    start(fuses);
    start(maps);
    start(thens);
    start(and_thens);
    start(flattens);
    start(either_left);
    start(either_right);
    start(remote);
    start(abortable);
    start(catches);
    start(by_dyn_reference);
    start(in_timeout);
    start(lazily);
    shared();
}

async fn joins(at: Trail) {
    here!(at);
    future::join(wait(at.deeper()), wait(at.deeper())).await;
}

async fn joins_three(at: Trail) {
    here!(at);
    let _ = future::join3(wait(at.deeper()), future::ready(1), try_wait(at.deeper())).await;
}

async fn tries_join(at: Trail) {
    here!(at);
    let _ = future::try_join(try_wait(at.deeper()), try_wait(at.deeper())).await;
}

async fn selects(at: Trail) {
    here!(at);
    future::select(Box::pin(wait(at.deeper())), Box::pin(try_wait(at.deeper()))).await;
}

async fn join_macro(at: Trail) {
    here!(at);
    let _ = futures::join!(wait(at.deeper()), try_wait(at.deeper()), wait(at.deeper()));
}

async fn try_join_macro(at: Trail) {
    here!(at);
    let _ = futures::try_join!(try_wait(at.deeper()), try_wait(at.deeper()));
}

async fn select_macro(at: Trail) {
    let (one, two) = (at.deeper(), at.deeper());
    let mut first = Box::pin(wait(one).fuse());
    let mut second = Box::pin(try_wait(two).fuse());
    here!(at => one, two);
    futures::select! {
        _ = first => {},
        _ = second => {},
    }
}

async fn select_macro_by_name(at: Trail) {
    here!(at);
    futures::select_biased! {
        _ = Box::pin(wait(at.deeper())).fuse() => {},
        _ = Box::pin(try_wait(at.deeper())).fuse() => {},
    }
}

async fn fuses(at: Trail) {
    here!(at);
    wait(at.deeper()).fuse().await;
}

async fn maps(at: Trail) {
    here!(at);
    wait(at.deeper()).map(|value| value + 1).await;
}

async fn thens(at: Trail) {
    here!(at);
    future::ready(at.deeper()).then(wait).await;
}

async fn and_thens(at: Trail) {
    here!(at);
    let _ = future::ok::<_, String>(at.deeper()).and_then(try_wait).await;
}

async fn flattens(at: Trail) {
    here!(at);
    future::ready(wait(at.deeper())).flatten().await;
}

async fn either_left(at: Trail) {
    here!(at);
    either(at.deeper(), true).await;
}

async fn either_right(at: Trail) {
    here!(at);
    either(at.deeper(), false).await;
}

fn either(at: Trail, left: bool) -> impl Future<Output = u32> + Send {
    if left { Either::Left(wait(at)) } else { Either::Right(try_wait(at).map(|value| value.unwrap_or(0))) }
}

async fn remote(at: Trail) {
    let child = at.deeper();
    let (polls, handle) = wait(child).remote_handle();
    here!(at => child);
    polls.await;
    drop(handle);
}

async fn abortable(at: Trail) {
    let child = at.deeper();
    let (handle, registration) = AbortHandle::new_pair();
    here!(at => child);
    let _ = Abortable::new(wait(child), registration).await;
    handle.abort();
}

async fn catches(at: Trail) {
    here!(at);
    let _ = AssertUnwindSafe(wait(at.deeper())).catch_unwind().await;
}

async fn by_dyn_reference(at: Trail) {
    let child = at.deeper();
    let mut future = wait(child);
    // Safety is not at stake: it is not moved below.
    let future: Pin<&mut (dyn Future<Output = u32> + Send)> = unsafe { Pin::new_unchecked(&mut future) };
    here!(at => child);
    future.await;
}

async fn in_timeout(at: Trail) {
    here!(at);
    let _ = tokio::time::timeout(FOREVER, wait(at.deeper())).await;
}

async fn lazily(at: Trail) {
    let child = at.deeper();
    let made = future::lazy(move |_| child).then(|child| wait(child).map(Ok::<u32, String>));
    here!(at => child);
    let _ = made.and_then(|_| pending::<Result<(), String>>()).await;
}

/// One future that two tasks await; each of them may be the one that polls it.
fn shared() {
    let (first, second) = (Trail::root(), Trail::root());
    let (one, two) = (first.deeper(), second.deeper());
    let future = in_both(one, two).boxed().shared();
    first.is_task(0, &tokio::spawn(awaits_shared(first, one, future.clone())));
    second.is_task(0, &tokio::spawn(awaits_shared(second, two, future)));
}

async fn awaits_shared(at: Trail, child: Trail, shared: Shared<BoxFuture<'static, u32>>) {
    here!(at => child);
    shared.await;
}

async fn in_both(one: Trail, two: Trail) -> u32 {
    (here!(one), here!(two));
    pending::<()>().await;
    1
}
