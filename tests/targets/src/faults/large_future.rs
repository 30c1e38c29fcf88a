//! Futures that are large, and such that only what they lead to is.

use super::Case;
use super::told::{Fault, ready_soon_and_wait, runtime};
use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

pub const CASES: &[Case] = &[
    ("large-future-buffer", buffer),
    ("large-future-many", many),
    ("large-future-argument", argument),
    ("large-future-boxed-not", boxed),
    ("large-future-heap-not", heap),
    ("large-future-scope-not", scope),
];

/// Where the latest of those that are asked keeps what is large.
static LARGE: AtomicU32 = AtomicU32::new(0);

fn long() -> tokio::time::Sleep {
    tokio::time::sleep(Duration::from_secs(600))
}

async fn reads<const N: usize>() -> u64 {
    LARGE.store(line!() + 1, Ordering::Relaxed);
    let mut buffer = [0_u8; N];
    black_box(&mut buffer);
    long().await;
    black_box(&mut buffer);
    buffer.iter().map(|byte| u64::from(*byte)).sum()
}

async fn answers<const N: usize>() -> u64 {
    let header = reads::<16>().await;
    header + reads::<N>().await
}

fn buffer() {
    let runtime = runtime(2);
    let task = runtime.spawn(async {
        long_after(answers::<400_000>()).await;
    });
    std::thread::sleep(Duration::from_millis(100));
    let line = LARGE.load(Ordering::Relaxed);
    Fault::proven("large-future").tasks([task.id()]).lines([line, line!() - 4]).says("`buffer`").is_here();
    ready_soon_and_wait()
}

/// It is in a state that has not come yet.
async fn long_after(future: impl Future<Output = u64>) {
    LARGE.store(0, Ordering::Relaxed);
    let _ = tokio::time::timeout(Duration::from_millis(10), reads::<8>()).await;
    future.await;
}

fn many() {
    let runtime = runtime(2);
    let tasks: Vec<_> = (0..10).map(|_| runtime.spawn(reads::<100_000>())).collect();
    std::thread::sleep(Duration::from_millis(100));
    let line = LARGE.load(Ordering::Relaxed);
    let ids = tasks.iter().map(|task| task.id());
    Fault::possible("large-future").tasks(ids).lines([line]).says("10 tasks").is_here();
    ready_soon_and_wait()
}

async fn takes(table: [u64; 40_000]) {
    long().await;
    black_box(&table);
}

fn argument() {
    let runtime = runtime(2);
    let task = runtime.spawn(takes([7; 40_000]));
    Fault::proven("large-future").tasks([task.id()]).lines([line!() - 7]).says("`table`").is_here();
    ready_soon_and_wait()
}

fn boxed() {
    let runtime = runtime(2);
    runtime.spawn(async {
        Box::pin(reads::<400_000>()).await;
    });
    ready_soon_and_wait()
}

fn heap() {
    let runtime = runtime(2);
    runtime.spawn(async {
        let mut buffer = vec![0_u8; 400_000];
        black_box(&mut buffer);
        long().await;
        black_box(&mut buffer);
    });
    ready_soon_and_wait()
}

/// It is gone before the await.
fn scope() {
    let runtime = runtime(2);
    runtime.spawn(async {
        {
            let mut buffer = [0_u8; 400_000];
            black_box(&mut buffer);
        }
        long().await;
    });
    ready_soon_and_wait()
}
