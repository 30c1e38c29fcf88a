//! Tasks that stay at each await for as long as they are told: `paced 20 30 5`: ms in `first`, in `second`, and of computing
//! in `works`.

use std::hint::black_box;
use std::time::{Duration, Instant};
use tokio::time::sleep;

async fn first(stay: Duration) {
    sleep(stay).await;
}

async fn second(stay: Duration) {
    sleep(stay).await;
}

async fn works(computes: Duration) {
    let began = Instant::now();
    while began.elapsed() < computes {
        black_box(began);
    }
    sleep(Duration::from_millis(20)).await;
}

async fn all(first_for: Duration, second_for: Duration, computes: Duration) {
    loop {
        first(first_for).await;
        second(second_for).await;
        works(computes).await;
    }
}

fn main() {
    let arguments: Vec<u64> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let [first, second, computes] = arguments[..] else { panic!("three numbers of milliseconds") };
    let [first, second, computes] = [first, second, computes].map(Duration::from_millis);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime with two workers");
    for _ in 0..4 {
        runtime.spawn(all(first, second, computes));
    }
    println!(r#"{{"truth":"ready"}}"#);
    let _ = std::io::Read::read_to_end(&mut std::io::stdin(), &mut Vec::new());
}
