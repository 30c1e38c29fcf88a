//! Tasks that wait for tasks, and for threads of the blocking pool.

use std::future::pending;
use std::io::Write as _;
use std::time::Duration;
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;
use tokio::task::{JoinHandle, JoinSet};
use truth::resources::{Wait, keep, start};

pub fn start_all() {
    start("JoinHandle", |case| async move {
        let child = stuck_child();
        case.waits(Wait::of("join").task(&child));
        case.stands();
        let _ = child.await;
    });
    start("&mut JoinHandle", |case| async move {
        let mut child = stuck_child();
        case.waits(Wait::of("join").task(&child));
        case.stands();
        let _ = (&mut child).await;
    });
    start("JoinSet::join_next", |case| async move {
        let mut children = JoinSet::new();
        let child = children.spawn(pending::<()>());
        case.waits(Wait::of("join").task(&child));
        case.stands();
        children.join_next().await;
    });
    start("JoinSet::join_next, of three", |case| async move {
        let mut children = JoinSet::new();
        for _ in 0..3 {
            let child = children.spawn(pending::<()>());
            case.waits(Wait::of("join").task(&child).or());
        }
        case.stands();
        children.join_next().await;
    });
    start("JoinSet::shutdown, of two tasks that cannot end", |case| async move {
        let mut children = JoinSet::new();
        for _ in 0..2 {
            let child = children.spawn_blocking(sleeps_forever);
            case.waits(Wait::of("join").task(&child));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        case.stands();
        children.shutdown().await;
    });
    start("JoinSet::shutdown, of a task that cannot end", |case| async move {
        let mut children = JoinSet::new();
        let child = children.spawn_blocking(sleeps_forever);
        case.waits(Wait::of("join").task(&child));
        // Until it has begun, it can be aborted.
        tokio::time::sleep(Duration::from_millis(100)).await;
        case.stands();
        children.shutdown().await;
    });
    start("JoinHandle of spawn_blocking", |case| async move {
        let child = tokio::task::spawn_blocking(sleeps_forever);
        case.waits(Wait::of("join").task(&child));
        case.stands();
        let _ = child.await;
    });
    files();
}

fn stuck_child() -> JoinHandle<()> {
    tokio::spawn(pending::<()>())
}

fn sleeps_forever() {
    loop {
        std::thread::park();
    }
}

/// tokio's files block a thread of the pool, and are joined.
fn files() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    keep(writer.try_clone().expect("a copy"));
    keep(writer);
    let reader = std::fs::File::from(std::os::fd::OwnedFd::from(reader));
    start("fs::File::read", |case| async move {
        let mut file = File::from_std(reader);
        let mut buffer = [0; 16];
        case.waits(Wait::of("join"));
        case.stands();
        let _ = file.read(&mut buffer).await;
    });
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    writer.write_all(b"begun").expect("there is room");
    keep(writer);
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&reader));
    keep(reader);
    start("fs::read", |case| async move {
        case.waits(Wait::of("join"));
        case.stands();
        let _ = tokio::fs::read(path).await;
    });
    start("io::stdin", |case| async move {
        let mut stdin = tokio::io::stdin();
        let mut buffer = [0; 16];
        case.waits(Wait::of("join"));
        case.stands();
        let _ = stdin.read(&mut buffer).await;
    });
}
