//! Ends so many milliseconds after its start, in the middle of its work: `exits_early 50`.

use std::time::Duration;

async fn works() {
    loop {
        tokio::task::yield_now().await;
        tokio::time::sleep(Duration::from_micros(300)).await;
    }
}

fn main() {
    let after = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(50);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime with two workers");
    for _ in 0..20 {
        runtime.spawn(works());
    }
    std::thread::sleep(Duration::from_millis(after));
    std::process::exit(5);
}
