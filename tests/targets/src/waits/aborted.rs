//! An aborted task that its executor has not got to: it ends with its next poll, and has all it had until then.

use std::sync::Arc;
use tokio::sync::{Mutex, Notify};
use truth::resources::{Case, Claim, Wait, standing, start};

pub async fn start_all() {
    let lock = Arc::new(Mutex::new(0_u64));
    let case =
        Case::named("a task that was aborted, and not polled since").in_runtime(1).in_state("cancelled");
    let same = lock.clone();
    let (to_joiner, handle) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let task = runtime.block_on(async {
            let task = case.runs_and_is_joined(keeps(case, same));
            standing(case).await;
            task
        });
        task.abort();
        let _ = to_joiner.send(task);
        // Nobody drives the runtime from here on.
        loop {
            std::thread::park();
        }
    });
    let joined = handle.await.expect("it is sent");
    start("JoinHandle of that task", |case| async move {
        case.waits(Wait::of("join").task(&joined));
        case.stands();
        let _ = joined.await;
    });
    start("a lock that it holds", |waiter| async move {
        waiter.waits(Wait::of("mutex").at(&*lock).held_by(&[case], Claim::Told));
        waiter.stands();
        let _ = lock.lock().await;
    });
}

async fn keeps(case: Case, lock: Arc<Mutex<u64>>) {
    let notify = Notify::new();
    case.takes("mutex", "exclusive", &*lock, Claim::Proven);
    let guard = lock.lock().await;
    case.waits(Wait::of("notify").at(&notify));
    case.stands();
    notify.notified().await;
    drop(guard);
}
