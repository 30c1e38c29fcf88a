//! `many N`: N suspended tasks of three shapes, in equal shares.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore};
use truth::say;

/// Name, file and line of the innermost own await of each shape.
static PLACES: Mutex<[Option<(String, &str, u32)>; 3]> = Mutex::new([const { None }; 3]);
static STANDING: [AtomicU64; 3] = [const { AtomicU64::new(0) }; 3];

/// The line below stands for this shape.
macro_rules! stands {
    ($shape:literal, $root:literal) => {
        if STANDING[$shape].fetch_add(1, Relaxed) == 0 {
            PLACES.lock().expect("nobody panics here")[$shape] =
                Some(($root.to_string(), file!(), line!() + 1));
        }
    };
}

async fn sleeper(nth: u64) {
    stands!(0, "many::sleeper");
    tokio::time::sleep(Duration::from_secs(3600 + nth % 60)).await;
}

async fn session(nth: u64, bell: Arc<Notify>) {
    let request = [nth; 6];
    request_of(&bell, &request).await;
    std::hint::black_box(request);
}

async fn request_of(bell: &Notify, request: &[u64]) {
    let sum: u64 = request.iter().sum();
    stands!(1, "many::session");
    bell.notified().await;
    std::hint::black_box(sum);
}

async fn worker(permits: Arc<Semaphore>) {
    let step: std::pin::Pin<Box<dyn Future<Output = ()> + Send + '_>> = Box::pin(step(&permits));
    step.await;
}

async fn step(permits: &Semaphore) {
    stands!(2, "many::worker");
    let _permit = permits.acquire().await;
}

fn main() {
    let tasks: u64 = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(1_000);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime with two workers");
    let (bell, permits) = (Arc::new(Notify::new()), Arc::new(Semaphore::new(0)));
    for nth in 0..tasks {
        match nth % 3 {
            0 => drop(runtime.spawn(sleeper(nth))),
            1 => drop(runtime.spawn(session(nth, bell.clone()))),
            _ => drop(runtime.spawn(worker(permits.clone()))),
        }
    }
    while STANDING.iter().map(|standing| standing.load(Relaxed)).sum::<u64>() < tasks {
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(100));
    for (place, standing) in PLACES.lock().expect("nobody panics here").iter().zip(&STANDING) {
        let Some((name, file, line)) = place else { continue };
        let standing = standing.load(Relaxed);
        say(&format!(
            "{{\"truth\":\"place\",\"name\":{name:?},\"file\":{file:?},\"line\":{line},\"tasks\":{standing}}}"
        ));
    }
    truth::ready();
    std::process::exit(0);
}
