//! Who calls and spawns whom, in every way that a file can tell of: each edge is said where it is made.
//!
//! What is called is done at run time as well, so that nothing of it is left out of the build.

use futures::future::{BoxFuture, FutureExt};
use std::hint::black_box;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::{JoinSet, block_in_place, spawn_blocking};
use truth::{edge, finding};

/// A function of several callers; `inline(never)` makes its calls machine code, and not inlined subroutines.
#[inline(never)]
fn parse(text: &str) -> usize {
    edge!(calls "outline_calls::digits");
    let digits = digits(text);
    edge!(calls "outline_calls::letters");
    digits + letters(text) * 2
}

#[inline(always)]
fn digits(text: &str) -> usize {
    text.bytes().filter(u8::is_ascii_digit).count()
}

#[inline(never)]
fn letters(text: &str) -> usize {
    text.bytes().filter(u8::is_ascii_alphabetic).count()
}

/// Recursion.
#[inline(never)]
fn depth(n: u64) -> u64 {
    if n < 2 {
        return black_box(1);
    }
    edge!(calls "outline_calls::depth");
    black_box(depth(n - 1)) + black_box(n)
}

/// A method of a type, and one of a trait.
struct Ledger {
    entries: Vec<u64>,
}

trait Audited {
    fn audit(&self) -> u64;
}

impl Ledger {
    #[inline(never)]
    fn total(&self) -> u64 {
        self.entries.iter().map(|entry| black_box(*entry) * 3).sum()
    }

    /// Async methods have bodies in the namespace of their impl.
    async fn settle(&mut self) -> u64 {
        edge!(calls "outline_calls::Ledger::total");
        let before = self.total();
        tokio::task::yield_now().await;
        edge!(calls "<outline_calls::Ledger as outline_calls::Audited>::audit");
        let audited = self.audit();
        self.entries.push(before);
        before + audited
    }
}

impl Audited for Ledger {
    #[inline(never)]
    fn audit(&self) -> u64 {
        edge!(calls "outline_calls::depth");
        depth(self.entries.len() as u64 + 3)
    }
}

/// Generic, in two instances, one of which has a closure of its caller's.
#[inline(never)]
fn twice<T: Copy, F: Fn(T) -> u64>(value: T, f: F) -> u64 {
    edge!(calls "outline_calls::generic::{closure#0}");
    f(black_box(value)) + f(value)
}

#[inline(never)]
fn square(n: u64) -> u64 {
    black_box(n) * n
}

/// Calls within closures that others call: of std, inlined or not, and of the program's own.
async fn closures(numbers: Vec<u64>) -> u64 {
    tokio::task::yield_now().await;
    let squares: u64 = numbers
        .iter()
        .map(|n| {
            edge!(calls "outline_calls::square");
            square(*n)
        })
        .sum();
    let mut sorted = numbers;
    sorted.sort_by_key(|n| {
        edge!(calls "outline_calls::depth");
        depth(n % 7)
    });
    squares + sorted.len() as u64
}

async fn generic<T: Copy + Into<u64>>(value: T) -> u64 {
    tokio::task::yield_now().await;
    edge!(calls "outline_calls::twice");
    twice(value, |v| v.into() + black_box(1))
}

/// Its body is inlined into whoever polls it; so are its calls.
async fn leaf(text: &'static str) -> usize {
    edge!(calls "outline_calls::parse");
    let parsed = parse(text);
    tokio::task::yield_now().await;
    parsed
}

async fn middle() -> usize {
    leaf("a1b2").await + leaf("c3").await
}

/// What it does when it is dropped.
struct Guard(u64);

impl Drop for Guard {
    fn drop(&mut self) {
        edge!(calls "outline_calls::square");
        black_box(square(self.0));
    }
}

#[inline(never)]
fn guarded(n: u64) {
    let _guard = Guard(black_box(n));
    edge!(calls "<outline_calls::Guard as core::ops::drop::Drop>::drop");
}

/// All that spawns.
async fn spawner() -> u64 {
    edge!(spawns "outline_calls::closures");
    let one = tokio::spawn(closures(vec![3, 1, 2]));
    edge!(spawns "outline_calls::spawner::{async_block#0}");
    let two = tokio::spawn(async {
        edge!(calls in "outline_calls::spawner::{async_block#0}", "outline_calls::square");
        square(middle().await as u64)
    });
    let mut set = JoinSet::new();
    edge!(spawns "outline_calls::generic");
    set.spawn(generic(7u32));
    edge!(spawns "outline_calls::generic");
    set.spawn(generic(7u8));
    edge!(spawns "outline_calls::ledger");
    let three = Handle::current().spawn(ledger());
    let four = helper(4).await;
    edge!(spawns "outline_calls::waits");
    let five = tokio::spawn(waits().map(|n| n + 1));
    let mut sum = one.await.unwrap() + two.await.unwrap() + three.await.unwrap() + four + five.await.unwrap();
    while let Some(more) = set.join_next().await {
        sum += more.unwrap();
    }
    sum
}

async fn ledger() -> u64 {
    Ledger { entries: vec![1, 2, 3] }.settle().await
}

/// A helper of the user's own between an async fn and `tokio::spawn`.
#[inline(never)]
fn background(n: u64) -> tokio::task::JoinHandle<u64> {
    edge!(spawns "outline_calls::background::{async_block#0}");
    tokio::spawn(async move {
        edge!(calls in "outline_calls::background::{async_block#0}", "outline_calls::depth");
        let deep = depth(n);
        tokio::task::yield_now().await;
        deep
    })
}

async fn helper(n: u64) -> u64 {
    edge!(calls "outline_calls::background");
    let handle = background(n);
    handle.await.unwrap()
}

/// Boxed futures, made here and by a function.
async fn waits() -> u64 {
    let boxed: BoxFuture<'static, usize> = Box::pin(middle());
    edge!(awaits "outline_calls::middle");
    let here = boxed.await;
    edge!(calls "outline_calls::made");
    let there = made(here as u64);
    edge!(awaits "outline_calls::made::{async_block#0}");
    let there = there.await;
    here as u64 + there
}

#[inline(never)]
fn made(n: u64) -> BoxFuture<'static, u64> {
    async move {
        tokio::task::yield_now().await;
        edge!(calls in "outline_calls::made::{async_block#0}", "outline_calls::square");
        square(n)
    }
    .boxed()
}

/// Blocking: at once, through functions, and where it is allowed.
async fn blocks_at_once() -> u64 {
    tokio::task::yield_now().await;
    finding!("std::thread::sleep");
    std::thread::sleep(Duration::from_millis(1));
    1
}

async fn blocks_through_functions() -> u64 {
    tokio::task::yield_now().await;
    edge!(calls "outline_calls::read_settings");
    read_settings().len() as u64
}

#[inline(never)]
fn read_settings() -> String {
    edge!(calls "outline_calls::read_file");
    read_file("/proc/self/comm").unwrap_or_default()
}

#[inline(never)]
fn read_file(path: &str) -> Option<String> {
    finding!("std::fs", from "outline_calls::blocks_through_functions");
    std::fs::read_to_string(path).ok()
}

async fn blocks_elsewhere() -> u64 {
    edge!(spawns "outline_calls::blocks_elsewhere::{closure#0}");
    let read = spawn_blocking(|| {
        edge!(calls in "outline_calls::blocks_elsewhere::{closure#0}", "outline_calls::nap");
        nap(1)
    });
    edge!(calls "outline_calls::blocks_elsewhere::{closure#1}");
    let here = block_in_place(|| {
        edge!(calls in "outline_calls::blocks_elsewhere::{closure#1}", "outline_calls::nap");
        nap(2)
    });
    read.await.unwrap() + here
}

#[inline(never)]
fn nap(ms: u64) -> u64 {
    std::thread::sleep(Duration::from_millis(ms));
    ms
}

/// A lock for a moment is no finding, nor is what is printed.
async fn locks(counter: &std::sync::Mutex<u64>) -> u64 {
    *counter.lock().unwrap() += 1;
    tokio::task::yield_now().await;
    eprintln!("counted");
    *counter.lock().unwrap()
}

/// A guard that lives while it waits.
async fn keeps(counter: &std::sync::Mutex<u64>) -> u64 {
    let guard = counter.lock().unwrap();
    finding!("std::sync::Mutex::lock");
    tokio::task::yield_now().await;
    *guard
}

async fn run() -> u64 {
    edge!(calls "outline_calls::guarded");
    guarded(5);
    let counter = std::sync::Mutex::new(0);
    let sum = spawner().await + blocks_at_once().await + blocks_through_functions().await;
    sum + blocks_elsewhere().await + locks(&counter).await + keeps(&counter).await
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    edge!(calls "outline_calls::run");
    let sum = runtime.block_on(run());
    assert!(sum > 0);
    truth::ready();
}
