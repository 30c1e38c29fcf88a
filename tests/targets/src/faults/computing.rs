//! Tasks that compute, or spin, and such that do it as they should.

use super::Case;
use super::told::{Fault, ready_soon_and_wait, runtime};
use std::future::Future;
use std::hint::black_box;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::Notify;

pub const CASES: &[Case] = &[
    ("cpu-bound-poll-parts", long_parts),
    ("cpu-bound-poll-short-not", short_parts),
    ("cpu-bound-poll-in-place-not", in_place),
    ("never-yields-spin", never_yields),
    ("busy-loop-yield", yields_for_a_flag),
    ("busy-loop-waker", wakes_itself),
    ("busy-loop-ping-pong-not", ping_pong),
];

/// CPU time of this thread.
fn ran() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: it writes to the place that it is given.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[inline(never)]
fn compute(time: Duration) {
    let end = ran() + time;
    let mut sum = 0_u64;
    while ran() < end {
        for n in 0..1000 {
            sum = black_box(sum.wrapping_mul(31).wrapping_add(n));
        }
    }
}

fn long_parts() {
    let runtime = runtime(2);
    let task = runtime.spawn(async {
        loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            compute(Duration::from_millis(150));
        }
    });
    let line = line!() - 4;
    Fault::proven("cpu-bound-poll").tasks([task.id()]).lines([line]).says("by the kernel's times").says(" samples").is_here();
    ready_soon_and_wait()
}

/// As busy, in parts that let others go on.
fn short_parts() {
    let runtime = runtime(2);
    for _ in 0..3 {
        runtime.spawn(async {
            loop {
                compute(Duration::from_millis(1));
                tokio::task::yield_now().await;
            }
        });
    }
    ready_soon_and_wait()
}

/// The worker's other tasks go on, on another thread.
fn in_place() {
    let runtime = runtime(2);
    runtime.spawn(async {
        loop {
            tokio::task::block_in_place(|| compute(Duration::from_millis(700)));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    ready_soon_and_wait()
}

fn never_yields() {
    let runtime = runtime(2);
    let task = runtime.spawn(async {
        tokio::task::yield_now().await;
        compute(Duration::from_secs(6000));
    });
    let line = line!() - 3;
    Fault::proven("never-yields").tasks([task.id()]).lines([line]).says("does not yield").is_here();
    ready_soon_and_wait()
}

fn yields_for_a_flag() {
    let runtime = runtime(2);
    let flag = Arc::new(AtomicBool::new(false));
    let task = runtime.spawn(async move {
        while !flag.load(Ordering::Relaxed) {
            tokio::task::yield_now().await;
        }
    });
    let line = line!() - 3;
    Fault::proven("busy-loop").tasks([task.id()]).lines([line]).says("yield_now").is_here();
    ready_soon_and_wait()
}

/// As somebody writes it who does not know who would wake it.
struct Flag(Arc<AtomicBool>);

impl Future for Flag {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.0.load(Ordering::Relaxed) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

fn wakes_itself() {
    let runtime = runtime(2);
    let flag = Arc::new(AtomicBool::new(false));
    let task = runtime.spawn(async move {
        Flag(flag).await;
    });
    let line = line!() - 2;
    Fault::proven("busy-loop").tasks([task.id()]).lines([line]).says("wakes are its own").is_here();
    ready_soon_and_wait()
}

/// As busy, and each wakes the other; and one that computes and lets others go on.
fn ping_pong() {
    let runtime = runtime(2);
    let (ping, pong) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    for (mine, theirs) in [(ping.clone(), pong.clone()), (pong, ping)] {
        runtime.spawn(async move {
            loop {
                theirs.notify_one();
                mine.notified().await;
            }
        });
    }
    runtime.spawn(async {
        loop {
            compute(Duration::from_micros(200));
            tokio::task::yield_now().await;
        }
    });
    ready_soon_and_wait()
}
