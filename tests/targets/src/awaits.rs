//! Who awaits whom: each await says so when it is reached, with its line, and how large the future is that it awaits.
//!
//! `-` stands for a future that is none of this program's.

use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::Mutex;

/// The future itself, and a line of truth. Its place is that of the outermost macro around it.
macro_rules! awaits {
    ($from:literal => $to:literal, $future:expr) => {{
        let future = $future;
        told($from, $to, line!(), size_of_val(&future));
        future
    }};
}

fn told(from: &str, to: &str, line: u32, size: usize) {
    println!(r#"{{"from":"{from}","to":"{to}","line":{line},"size":{size}}}"#);
}

async fn nothing(with: u64) -> u64 {
    with.wrapping_mul(3)
}

async fn leaf(turns: u32) -> u32 {
    for _ in 0..turns {
        awaits!("awaits::leaf" => "-", tokio::task::yield_now()).await;
    }
    awaits!("awaits::leaf" => "-", tokio::time::sleep(Duration::from_micros(1))).await;
    turns
}

async fn twice() -> u32 {
    let first = awaits!("awaits::twice" => "awaits::leaf", leaf(1)).await;
    let kept = [first; 40];
    let second = awaits!("awaits::twice" => "awaits::leaf", leaf(2)).await;
    kept.iter().sum::<u32>() + second
}

async fn generic<T: Default + Send>(of: T) -> (T, u64) {
    let number = awaits!("awaits::generic<alloc::string::String>" => "awaits::nothing", nothing(7)).await;
    (of, number)
}

trait Load {
    fn load(&self) -> impl Future<Output = u32> + Send;
}

struct Store {
    lock: Mutex<u32>,
}

impl Store {
    async fn get(&self) -> u32 {
        let guard = awaits!("awaits::Store::get" => "-", self.lock.lock()).await;
        let more = awaits!("awaits::Store::get" => "awaits::leaf", leaf(1)).await;
        *guard + more
    }
}

impl Load for Store {
    async fn load(&self) -> u32 {
        awaits!("<awaits::Store as awaits::Load>::load" => "awaits::Store::get", self.get()).await
    }
}

async fn loads(of: &impl Load) -> u32 {
    awaits!("awaits::loads<awaits::Store>" => "<awaits::Store as awaits::Load>::load", of.load()).await
}

async fn blocks() -> u64 {
    let inner = async {
        let one = awaits!("awaits::blocks::{async_block#0}" => "awaits::twice", twice()).await;
        u64::from(one)
    };
    awaits!("awaits::blocks" => "awaits::blocks::{async_block#0}", inner).await
}

async fn closures() -> u64 {
    let closure = async |by: u64| {
        let made = awaits!("awaits::closures::{closure#0}::{async_closure#0}" => "awaits::nothing", nothing(by)).await;
        made + by
    };
    awaits!("awaits::closures" => "awaits::closures::{closure#0}::{async_closure#0}", closure(4)).await
}

async fn joins() -> u64 {
    let (one, other) = tokio::join!(awaits!("awaits::joins" => "awaits::twice", twice()), awaits!("awaits::joins" => "awaits::nothing", nothing(1)));
    u64::from(one) + other
}

async fn selects() -> u64 {
    let inner = leaf(1);
    told("awaits::selects", "awaits::leaf", line!() + 1, size_of_val(&inner));
    tokio::select! {
        one = inner => u64::from(one),
        _ = pending::<()>() => 0,
    }
}

async fn times_out() -> u64 {
    let inner = selects();
    told("awaits::times_out", "awaits::selects", line!() + 1, size_of_val(&inner));
    tokio::time::timeout(Duration::from_secs(9), inner).await.unwrap_or(0)
}

async fn recurses(depth: u32) -> u32 {
    if depth == 0 {
        return 0;
    }
    let deeper: Pin<Box<_>> = Box::pin(recurses(depth - 1));
    told("awaits::recurses", "awaits::recurses", line!() + 1, size_of_val(&*deeper));
    deeper.await + 1
}

/// A future of this program's own around another.
struct Counted<F> {
    polls: u32,
    inner: Pin<Box<F>>,
}

impl<F: Future> Future for Counted<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<F::Output> {
        self.polls += 1;
        self.inner.as_mut().poll(cx)
    }
}

async fn counts() -> u32 {
    let inner = Box::pin(leaf(2));
    told("awaits::counts", "awaits::leaf", line!() + 1, size_of_val(&*inner));
    Counted { polls: 0, inner }.await
}

async fn polls_itself() -> u32 {
    let mut turns = 0;
    let ready = poll_fn(move |cx| {
        turns += 1;
        cx.waker().wake_by_ref();
        if turns < 3 { Poll::Pending } else { Poll::Ready(turns) }
    });
    awaits!("awaits::polls_itself" => "-", ready).await
}

async fn all() {
    let store = Store { lock: Mutex::new(1) };
    let mut sum = awaits!("awaits::all" => "awaits::nothing", nothing(2)).await;
    sum += u64::from(awaits!("awaits::all" => "awaits::twice", twice()).await);
    sum += awaits!("awaits::all" => "awaits::generic<alloc::string::String>", generic(String::new())).await.1;
    sum += u64::from(awaits!("awaits::all" => "awaits::loads<awaits::Store>", loads(&store)).await);
    sum += awaits!("awaits::all" => "awaits::blocks", blocks()).await;
    sum += awaits!("awaits::all" => "awaits::closures", closures()).await;
    sum += awaits!("awaits::all" => "awaits::joins", joins()).await;
    sum += awaits!("awaits::all" => "awaits::times_out", times_out()).await;
    sum += u64::from(awaits!("awaits::all" => "awaits::recurses", recurses(3)).await);
    sum += u64::from(awaits!("awaits::all" => "awaits::counts", counts()).await);
    sum += u64::from(awaits!("awaits::all" => "awaits::polls_itself", polls_itself()).await);
    std::hint::black_box(sum);
}

#[tokio::main]
async fn main() {
    awaits!("awaits::main::{async_block#0}" => "awaits::all", all()).await;
}
