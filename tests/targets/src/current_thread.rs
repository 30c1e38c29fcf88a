//! Tasks of a current-thread runtime, whose only thread sits in `block_on`.

use std::future::pending;
use std::time::Duration;
use truth::{Trail, here};

async fn outer(at: Trail) {
    here!(at);
    inner(at.deeper()).await;
}

async fn inner(at: Trail) {
    here!(at);
    tokio::time::sleep(Duration::from_secs(3600)).await;
}

async fn forever(at: Trail) {
    here!(at);
    pending::<()>().await;
}

async fn root() {
    for _ in 0..3 {
        let at = Trail::root();
        at.is_task(0, &tokio::spawn(outer(at)));
        let at = Trail::root();
        at.is_task(0, &tokio::spawn(forever(at)));
    }
    std::thread::spawn(|| truth::tell_and_wait());
    pending::<()>().await;
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(root());
}
