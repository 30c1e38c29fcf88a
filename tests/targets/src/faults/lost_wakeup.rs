//! Tasks that nobody can wake any more, and such that somebody can, or that want to wait for ever.

use super::Case;
use super::told::{Fault, ready_soon_and_wait, runtime};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinSet, LocalSet};

pub const CASES: &[Case] = &[
    ("lost-wakeup-forgetful", forgetful),
    ("lost-wakeup-detached", detached),
    ("lost-wakeup-channel", own_channel),
    ("lost-wakeup-many", many),
    ("lost-wakeup-sets", sets),
    ("lost-wakeup-closure", closure),
    ("lost-wakeup-kept-not", kept),
    ("lost-wakeup-abortable-not", abortable),
    ("lost-wakeup-for-ever-not", for_ever),
    ("lost-wakeup-waiting-not", waiting),
];

/// Says that it is not ready, and tells nobody whom to wake.
struct Forgetful;

impl Future for Forgetful {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

async fn forgets() {
    Forgetful.await;
}

fn forgetful() {
    let runtime = runtime(2);
    let task = runtime.spawn(async {
        Forgetful.await;
    });
    Fault::proven("lost-wakeup").tasks([task.id()]).lines([line!() - 2]).says("Forgetful").is_here();
    ready_soon_and_wait()
}

/// Without a JoinHandle.
fn detached() {
    let runtime = runtime(2);
    let (tell, told) = oneshot::channel();
    drop(runtime.spawn(async move {
        let _ = tell.send(tokio::task::id());
        Forgetful.await;
    }));
    let id = told.blocking_recv().expect("it tells");
    Fault::proven("lost-wakeup").tasks([id]).lines([line!() - 3]).is_here();
    ready_soon_and_wait()
}

/// A channel for one value, whose sender forgets to wake when it goes away.
#[derive(Default)]
struct Shared {
    value: Option<u64>,
    waker: Option<Waker>,
}

struct Sender(Arc<Mutex<Shared>>);
struct Receiver(Arc<Mutex<Shared>>);

impl Future for Receiver {
    type Output = u64;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<u64> {
        let mut shared = self.0.lock().unwrap();
        shared.waker = Some(context.waker().clone());
        shared.value.map_or(Poll::Pending, Poll::Ready)
    }
}

impl Sender {
    fn send(self, value: u64) {
        let mut shared = self.0.lock().unwrap();
        shared.value = Some(value);
        if let Some(waker) = shared.waker.take() {
            waker.wake();
        }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.0.lock().unwrap().waker = None;
    }
}

fn channel() -> (Sender, Receiver) {
    let shared = Arc::new(Mutex::new(Shared::default()));
    (Sender(shared.clone()), Receiver(shared))
}

fn own_channel() {
    let runtime = runtime(2);
    let (sender, receiver) = channel();
    let task = runtime.spawn(async {
        let _ = receiver.await;
    });
    let line = line!() - 2;
    std::thread::sleep(Duration::from_millis(100));
    drop(sender);
    Fault::proven("lost-wakeup").tasks([task.id()]).lines([line]).says("Receiver").is_here();
    ready_soon_and_wait()
}

fn many() {
    let runtime = runtime(2);
    let tasks: Vec<_> = (0..300).map(|_| runtime.spawn(forgets())).collect();
    Fault::proven("lost-wakeup").says("300 tasks").is_here();
    std::mem::forget(tasks);
    ready_soon_and_wait()
}

/// In a set of tasks, and in one of tasks of this thread.
fn sets() {
    let (tell, told) = std::sync::mpsc::channel();
    let runtime = runtime(2);
    let of_set = tell.clone();
    runtime.spawn(async move {
        let mut set = JoinSet::new();
        set.spawn(async move {
            of_set.send((tokio::task::id(), line!() + 1)).unwrap();
            Forgetful.await;
        });
        while set.join_next().await.is_some() {}
    });
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let local = LocalSet::new();
        local.spawn_local(async move {
            tell.send((tokio::task::id(), line!() + 1)).unwrap();
            Forgetful.await;
        });
        runtime.block_on(local);
    });
    for (id, line) in told.iter().take(2) {
        Fault::proven("lost-wakeup").tasks([id]).lines([line]).is_here();
    }
    ready_soon_and_wait()
}

/// Whether this is meant nobody can tell.
fn closure() {
    let runtime = runtime(2);
    let task = runtime.spawn(async {
        std::future::poll_fn(|_| Poll::<()>::Pending).await;
    });
    Fault::possible("lost-wakeup").tasks([task.id()]).lines([line!() - 2]).is_here();
    ready_soon_and_wait()
}

fn kept() {
    let runtime = runtime(2);
    let (sender, receiver) = channel();
    runtime.spawn(async {
        let _ = receiver.await;
    });
    ready_after(move || sender.send(1))
}

/// Says that it is ready, and lets go of what it keeps at the very end.
fn ready_after(keep: impl FnOnce()) -> ! {
    let keep = std::mem::ManuallyDrop::new(keep);
    let _ = &keep;
    ready_soon_and_wait()
}

/// An AbortHandle counts as much as a waker.
fn abortable() {
    let runtime = runtime(2);
    let handle = runtime.spawn(forgets()).abort_handle();
    ready_after(move || handle.abort())
}

fn for_ever() {
    let runtime = runtime(2);
    runtime.spawn(std::future::pending::<()>());
    runtime.spawn(async {
        let kept = vec![1, 2, 3];
        std::future::pending::<()>().await;
        drop(kept);
    });
    runtime.spawn(async {
        tokio::join!(std::future::pending::<()>(), std::future::pending::<u8>());
    });
    runtime.spawn(async {
        tokio::select! {
            () = std::future::pending() => {}
            () = futures::future::pending() => {}
        }
    });
    ready_soon_and_wait()
}

/// For all that a task may wait for.
fn waiting() {
    let runtime = runtime(2);
    let (held, queue) = mpsc::channel::<u64>(1);
    let (later, once) = oneshot::channel::<u64>();
    let mut queue = queue;
    runtime.spawn(async move { queue.recv().await });
    runtime.spawn(once);
    let sleeper = runtime.spawn(async { tokio::time::sleep(Duration::from_secs(600)).await });
    runtime.spawn(sleeper);
    runtime.spawn(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let _ = listener.accept().await;
    });
    runtime.spawn(async {
        let _ = tokio::signal::ctrl_c().await;
    });
    runtime.spawn(async {
        let _ = tokio::task::spawn_blocking(|| std::thread::sleep(Duration::from_secs(60))).await;
    });
    runtime.spawn(async {
        let mut interval = tokio::time::interval(Duration::from_millis(1));
        loop {
            interval.tick().await;
            tokio::task::yield_now().await;
        }
    });
    let _kept = (held, later);
    ready_soon_and_wait()
}
