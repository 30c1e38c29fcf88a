//! Time.

use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, interval, sleep, sleep_until, timeout_at};
use truth::resources::{Wait, start};

const HOUR: Duration = Duration::from_secs(3600);

fn timer(deadline: Instant) -> Wait {
    Wait::of("timer").until(deadline.into_std())
}

pub fn start_all() {
    start("time::sleep", |case| async move {
        let sleep = sleep(HOUR);
        case.waits(timer(sleep.deadline()));
        case.stands();
        sleep.await;
    });
    start("time::sleep_until", |case| async move {
        let deadline = Instant::now() + HOUR;
        case.waits(timer(deadline));
        case.stands();
        sleep_until(deadline).await;
    });
    start("a pinned Sleep by reference", |case| async move {
        let sleep = sleep(HOUR);
        tokio::pin!(sleep);
        case.waits(timer(sleep.deadline()));
        case.stands();
        sleep.as_mut().await;
    });
    start("Interval::tick", |case| async move {
        let mut ticks = interval(HOUR);
        let first = ticks.tick().await;
        case.waits(timer(first + HOUR));
        case.stands();
        ticks.tick().await;
    });
    start("time::timeout_at", |case| async move {
        let notify = Notify::new();
        let deadline = Instant::now() + HOUR;
        case.waits(timer(deadline).or()).waits(Wait::of("notify").at(&notify).or());
        case.stands();
        let _ = timeout_at(deadline, notify.notified()).await;
    });
}
