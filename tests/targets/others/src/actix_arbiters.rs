//! Two arbiters of actix-rt: each a thread with a current_thread runtime and a LocalSet.

use std::time::Duration;
use truth::{Trail, here};

fn main() {
    let system = actix_rt::System::new();
    let arbiters: Vec<_> = (0..2).map(|_| actix_rt::Arbiter::new()).collect();
    for (number, arbiter) in (0..).zip(&arbiters) {
        arbiter.spawn_fn(move || {
            let at = Trail::root();
            at.is_task(number, &actix_rt::spawn(outer(at)));
            let at = Trail::root();
            at.is_task(number, &actix_rt::spawn(waits(at)));
        });
    }
    std::thread::spawn(|| truth::tell_and_wait());
    let _ = system.run();
}

async fn outer(at: Trail) {
    here!(at);
    inner(at.deeper()).await;
}

async fn inner(at: Trail) {
    here!(at);
    actix_rt::time::sleep(Duration::from_secs(3600)).await;
}

async fn waits(at: Trail) {
    here!(at);
    std::future::pending::<()>().await;
}
