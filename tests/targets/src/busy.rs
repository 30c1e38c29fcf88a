//! `busy`: tasks that are never at rest and never get anywhere, until stdin closes. `busy paced`: some that go to and fro at an even
//! rate, and others that come and go; about 50,000 polls a second. In the end it says how often they were polled.

use std::io::Read as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::task::yield_now;
use tokio::time::sleep;

static POLLS: AtomicU64 = AtomicU64::new(0);
static OVER: AtomicBool = AtomicBool::new(false);

async fn runs_on_the_spot() {
    while !OVER.load(Relaxed) {
        POLLS.fetch_add(1, Relaxed);
        yield_now().await;
    }
    POLLS.fetch_add(1, Relaxed);
}

async fn to_and_fro() {
    while !OVER.load(Relaxed) {
        for _ in 0..12 {
            POLLS.fetch_add(1, Relaxed);
            yield_now().await;
        }
        POLLS.fetch_add(1, Relaxed);
        sleep(Duration::from_millis(1)).await;
    }
    POLLS.fetch_add(1, Relaxed);
}

async fn comes_and_goes() {
    while !OVER.load(Relaxed) {
        tokio::spawn(async { POLLS.fetch_add(1, Relaxed) });
        POLLS.fetch_add(1, Relaxed);
        sleep(Duration::from_millis(1)).await;
    }
    POLLS.fetch_add(1, Relaxed);
}

fn main() {
    let paced = std::env::args().nth(1).as_deref() == Some("paced");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .expect("a runtime with two workers");
    let mut tasks = Vec::new();
    for _ in 0..8 {
        if paced {
            tasks.push(runtime.spawn(to_and_fro()));
            tasks.push(runtime.spawn(comes_and_goes()));
        } else {
            tasks.push(runtime.spawn(runs_on_the_spot()));
        }
    }
    truth::say("{\"truth\":\"waiting\"}");
    let _ = std::io::stdin().lock().read_to_end(&mut Vec::new());
    OVER.store(true, Relaxed);
    for task in tasks {
        runtime.block_on(task).expect("no task panics");
    }
    truth::say(&format!("{{\"polls\":{}}}", POLLS.load(Relaxed)));
}
