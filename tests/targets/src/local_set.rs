//! Tasks of a LocalSet, whose futures are not Send, beside tasks of the runtime that drives it.

use std::future::pending;
use std::rc::Rc;
use truth::{Trail, here};

async fn local(at: Trail, shared: Rc<u64>) {
    here!(at);
    local_inner(at.deeper(), &shared).await;
}

async fn local_inner(at: Trail, shared: &Rc<u64>) {
    here!(at);
    pending::<()>().await;
    std::hint::black_box(shared);
}

async fn not_local(at: Trail) {
    here!(at);
    pending::<()>().await;
}

async fn root() {
    let shared = Rc::new(1);
    for _ in 0..4 {
        let at = Trail::root();
        at.is_task(0, &tokio::task::spawn_local(local(at, shared.clone())));
    }
    let at = Trail::root();
    at.is_task(1, &tokio::spawn(not_local(at)));
    std::thread::spawn(|| truth::tell_and_wait());
    pending::<()>().await;
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    tokio::task::LocalSet::new().block_on(&runtime, root());
}
