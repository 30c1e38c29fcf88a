//! Tasks that keep guards while they wait: in every place a guard may be kept, and where it is kept no more.

mod blocking;
mod guards;
mod moved;
mod places;
mod shadowed;
mod stale;

use std::sync::Arc;
use tokio::sync::Mutex;
use truth::resources::{Case, Claim, Wait, standing, start};

/// Waits for the lock that the holder has, or is to be suspected of.
fn waiter(of: &str, lock: Arc<Mutex<u64>>, holder: Case, claim: Claim) {
    start(&format!("waits for: {of}"), |case| async move {
        standing(holder).await;
        case.waits(Wait::of("mutex").at(&*lock).held_by(&[holder], claim));
        case.stands();
        *lock.lock().await += 1;
    });
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime with two workers");
    runtime.block_on(async {
        places::start_all();
        guards::start_all();
        stale::start_all();
        moved::start_all();
        shadowed::start_all();
    });
    blocking::start_all();
    truth::resources::tell_and_wait();
}
