//! Where tasks meet: Notify, Barrier, OnceCell.

use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Barrier, Notify, OnceCell};
use tokio::time::{Instant, sleep_until};
use truth::resources::{Claim, Wait, standing, start};

pub async fn start_all() {
    let notify = Arc::new(Notify::new());
    let same = notify.clone();
    start("Notify::notified", |case| async move {
        case.waits(Wait::of("notify").at(&*same));
        case.stands();
        same.notified().await;
    });
    let same = notify.clone();
    start("a pinned, enabled Notified", |case| async move {
        let notified = same.notified();
        tokio::pin!(notified);
        notified.as_mut().enable();
        case.waits(Wait::of("notify").at(&*same));
        case.stands();
        notified.await;
    });
    #[cfg(feature = "recent")]
    start("Notify::notified_owned", |case| async move {
        case.waits(Wait::of("notify").at(&*notify));
        case.stands();
        notify.notified_owned().await;
    });

    let barrier = Arc::new(Barrier::new(3));
    for name in ["Barrier::wait", "Barrier::wait, a second one"] {
        let barrier = barrier.clone();
        start(name, |case| async move {
            case.waits(Wait::of("barrier").at(&*barrier));
            case.stands();
            barrier.wait().await;
        });
    }

    let cell = Arc::new(OnceCell::<u64>::new());
    let same = cell.clone();
    let first = start("OnceCell::get_or_init, who makes the value", |case| async move {
        let deadline = Instant::now() + Duration::from_secs(3600);
        case.keeps("once_cell", "exclusive|permits", &*same, Claim::Told);
        case.waits(Wait::of("timer").until(deadline.into_std()));
        let make = || async {
            case.stands();
            sleep_until(deadline).await;
            7
        };
        same.get_or_init(make).await;
    });
    standing(first).await;
    start("OnceCell::get_or_init, who waits for the value", |case| async move {
        case.waits(Wait::of("once_cell").at(&*cell).held_by(&[first], Claim::Told));
        case.stands();
        cell.get_or_init(|| async { 8 }).await;
    });
}
