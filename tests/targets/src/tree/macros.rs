//! Awaits inside macros: several in one fn at different lines, where the debug info knows the macro's line only.

use crate::{start, start_boxed};
use std::future::{pending, ready};
use std::pin::pin;
use std::time::Duration;
use tokio::time::{sleep, timeout};
use truth::{Trail, here};

const FOREVER: Duration = Duration::from_secs(3600);

pub fn start_all() {
    for stop in 1..=3 {
        start(move |at| three_selects(at, stop));
        start_boxed(move |at| three_joins(at, stop));
        start_boxed(move |at| mixed(at, stop));
    }
    start_boxed(select_of_three);
    start_boxed(select_by_ref);
    start_boxed(select_in_a_loop);
    start_boxed(join_with_one_over);
    start_boxed(join_of_joins);
    start_boxed(select_in_join);
    start_boxed(in_timeout);
}

async fn wait(at: Trail) {
    here!(at);
    pending::<()>().await;
}

async fn wait_if(at: Trail, stop: bool) {
    if stop {
        here!(at);
        pending::<()>().await;
    }
}

async fn fails_never(at: Trail) -> Result<u32, String> {
    here!(at);
    pending::<()>().await;
    Ok(1)
}

async fn three_selects(at: Trail, stop: u32) {
    here!(at);
    tokio::select! {
        () = wait_if(at.deeper(), stop == 1) => {}
        () = sleep(FOREVER) => {}
    }
    here!(at);
    tokio::select! {
        () = wait_if(at.deeper(), stop == 2) => {}
        () = sleep(FOREVER) => {}
    }
    here!(at);
    tokio::select! {
        () = wait_if(at.deeper(), stop == 3) => {}
        () = sleep(FOREVER) => {}
    }
}

async fn three_joins(at: Trail, stop: u32) {
    here!(at);
    tokio::join!(ready(1), wait_if(at.deeper(), stop == 1));
    here!(at);
    tokio::join!(wait_if(at.deeper(), stop == 2), ready(2), ready(3));
    here!(at);
    tokio::join!(wait_if(at.deeper(), stop == 3), wait_if(at.deeper(), stop == 3),);
}

async fn mixed(at: Trail, stop: u32) {
    here!(at);
    wait_if(at.deeper(), stop == 1).await;
    here!(at);
    let _ = tokio::select! {
        biased;
        () = wait_if(at.deeper(), stop == 2) => 1,
        () = pending() => 2,
    };
    here!(at);
    let _ = tokio::try_join!(fails_never(at.deeper()), fails_never(at.deeper()));
}

async fn select_of_three(at: Trail) {
    here!(at);
    tokio::select! {
        () = wait(at.deeper()) => {}
        answer = fails_never(at.deeper()) => { std::hint::black_box(answer).ok(); }
        () = wait(at.deeper()) => {}
    }
}

async fn select_by_ref(at: Trail) {
    let (one, two) = (at.deeper(), at.deeper());
    let mut first = pin!(wait(one));
    let mut second = Box::pin(wait(two));
    here!(at => one, two);
    tokio::select! {
        () = &mut first => {}
        () = &mut second => {}
    }
    second.await;
}

async fn select_in_a_loop(at: Trail) {
    let mut turns = 0;
    loop {
        here!(at);
        tokio::select! {
            () = wait_if(at.deeper(), turns == 5) => turns += 1,
            () = wait(at.deeper()) => break,
        }
    }
}

async fn over_at_once(at: Trail) {
    at.done();
}

async fn join_with_one_over(at: Trail) {
    here!(at);
    tokio::join!(over_at_once(at.deeper()), wait(at.deeper()));
}

async fn two(at: Trail) {
    here!(at);
    tokio::join!(wait(at.deeper()), wait(at.deeper()));
}

async fn join_of_joins(at: Trail) {
    here!(at);
    tokio::join!(two(at.deeper()), wait(at.deeper()), two(at.deeper()));
}

async fn select_in_join(at: Trail) {
    here!(at);
    tokio::join!(select_of_three(at.deeper()), wait(at.deeper()));
}

async fn in_timeout(at: Trail) {
    here!(at);
    let _ = timeout(FOREVER, wait(at.deeper())).await;
}
