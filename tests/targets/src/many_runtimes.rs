//! Two multi-thread runtimes and a current-thread one in one process.

use std::future::pending;
use tokio::runtime::Builder;
use truth::{Trail, here};

async fn in_first(at: Trail) {
    here!(at);
    pending::<()>().await;
}

async fn in_second(at: Trail) {
    here!(at);
    in_first(at.deeper()).await;
}

async fn in_third(at: Trail) {
    here!(at);
    in_second(at.deeper()).await;
}

fn main() {
    let first = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a first runtime");
    let second = Builder::new_multi_thread().worker_threads(2).build().expect("a second runtime");
    for _ in 0..3 {
        let at = Trail::root();
        at.is_task(0, &first.spawn(in_first(at)));
        let at = Trail::root();
        at.is_task(1, &second.spawn(in_second(at)));
    }
    let (started, wait_for_start) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let third = Builder::new_current_thread().build().expect("a third runtime");
        third.block_on(async {
            for _ in 0..3 {
                let at = Trail::root();
                at.is_task(2, &tokio::spawn(in_third(at)));
            }
            started.send(()).expect("the main thread waits");
            pending::<()>().await;
        });
    });
    wait_for_start.recv().expect("the third runtime starts");
    truth::tell_and_wait();
}
