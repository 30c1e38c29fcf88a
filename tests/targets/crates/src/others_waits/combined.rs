//! Several at once, in what the futures crate has for that.

use futures::StreamExt as _;
use futures::future::{join, join_all, select_all};
use futures::stream::FuturesUnordered;
use futures::task::AtomicWaker;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::{Instant, Sleep, sleep_until};
use truth::resources::{Wait, keep, start};

/// Waits to be told, until its patience ends.
struct Told {
    by: Arc<AtomicWaker>,
    patience: Pin<Box<Sleep>>,
}

impl Future for Told {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.by.register(context.waker());
        self.patience.as_mut().poll(context)
    }
}

pub async fn start_all() {
    let (one, two) = (Arc::new(Mutex::new(0_u64)), Arc::new(Mutex::new(0_u64)));
    keep((one.clone().lock_owned().await, two.clone().lock_owned().await));
    let locks = move || (one.clone(), two.clone());
    let (one, two) = locks();
    start("futures join", |case| async move {
        case.waits(Wait::of("mutex").at(&*one)).waits(Wait::of("mutex").at(&*two));
        case.stands();
        let _ = join(one.lock(), two.lock()).await;
    });
    let (one, two) = locks();
    start("futures join_all", |case| async move {
        case.waits(Wait::of("mutex").at(&*one)).waits(Wait::of("mutex").at(&*two));
        case.stands();
        let _ = join_all([one.lock(), two.lock()].map(Box::pin)).await;
    });
    let (one, two) = locks();
    start("futures select_all", |case| async move {
        case.waits(Wait::of("mutex").at(&*one).or()).waits(Wait::of("mutex").at(&*two).or());
        case.stands();
        let _ = select_all([one.lock(), two.lock()].map(Box::pin)).await;
    });
    let (one, two) = locks();
    start("futures FuturesUnordered::next", |case| async move {
        case.waits(Wait::of("mutex").at(&*one).or()).waits(Wait::of("mutex").at(&*two).or());
        let mut locks: FuturesUnordered<_> = [one.lock(), two.lock()].into_iter().collect();
        case.stands();
        let _ = locks.next().await;
    });
    start("by hand: an AtomicWaker and a timer", |case| async move {
        let by = Arc::new(AtomicWaker::new());
        let hour = Instant::now() + Duration::from_secs(3600);
        case.waits(Wait::of("notify").at(&*by).or()).waits(Wait::of("timer").until(hour.into_std()).or());
        let told = Told { by, patience: Box::pin(sleep_until(hour)) };
        case.stands();
        told.await;
    });
}
