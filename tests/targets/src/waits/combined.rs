//! Several at once.

use super::sockets::{on, quiet};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::sync::{Mutex, Notify, mpsc};
use tokio::time::{Instant, sleep_until};
use truth::resources::{Wait, keep, start};

pub async fn start_all() {
    let lock = Arc::new(Mutex::new(0_u64));
    keep(lock.clone().lock_owned().await);
    let (sender, mut receiver) = mpsc::channel::<u64>(1);
    keep(sender);
    let mut stream = quiet().await;
    let same = lock.clone();
    start("select! of a timer, a channel, a lock and a socket", |case| async move {
        let deadline = Instant::now() + Duration::from_secs(3600);
        let mut buffer = [0; 16];
        case.waits(Wait::of("timer").until(deadline.into_std()).or());
        case.waits(Wait::of("mpsc").channel("selected").or());
        case.waits(Wait::of("mutex").at(&*same).or());
        case.waits(on(&stream, "reads").or());
        case.stands();
        tokio::select! {
            _ = sleep_until(deadline) => {}
            _ = receiver.recv() => {}
            _ = same.lock() => {}
            _ = stream.read(&mut buffer) => {}
        }
    });
    let mut stream = quiet().await;
    let same = lock.clone();
    start("join! of a lock, a notify and a socket", |case| async move {
        let notify = Notify::new();
        let mut buffer = [0; 16];
        case.waits(Wait::of("mutex").at(&*same));
        case.waits(Wait::of("notify").at(&notify));
        case.waits(on(&stream, "reads"));
        case.stands();
        let _ = tokio::join!(same.lock(), notify.notified(), stream.read(&mut buffer));
    });
    let same = lock.clone();
    start("try_join! of a lock and a notify", |case| async move {
        let notify = Notify::new();
        case.waits(Wait::of("mutex").at(&*same).or());
        case.waits(Wait::of("notify").at(&notify).or());
        let locked = async {
            case.stands();
            let _ = same.lock().await;
            Ok::<_, ()>(())
        };
        let notified = async { Ok(notify.notified().await) };
        let _ = tokio::try_join!(locked, notified);
    });
    start("join! of which one is over", |case| async move {
        let notify = Notify::new();
        case.waits(Wait::of("mutex").at(&*lock));
        notify.notify_one();
        case.stands();
        let _ = tokio::join!(notify.notified(), lock.lock());
    });
}
