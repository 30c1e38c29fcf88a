//! Tasks that hold up their thread inside of a poll, each in a way of its own, and one that does not. Says where each does so,
//! and how long that took by the kernel's clocks.

use std::future::Future;
use std::io::{BufRead, Read, Write};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How long each holds up its thread.
const HELD_UP: Duration = Duration::from_millis(1200);

/// What a task measured of itself.
#[derive(Clone, Default)]
struct Truth {
    line: u32,
    function: &'static str,
    /// Between the two clocks: what the thread did not run of what passed.
    wall_ns: u64,
    cpu_ns: u64,
}

type Told = Arc<Mutex<Truth>>;

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// CPU time of this thread (`sum_exec_runtime`, the first number; Documentation/scheduler/sched-stats.rst), good to a tick.
fn cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("procfs is mounted");
    text.split(' ').next().and_then(|first| first.parse().ok()).expect("a number of ns")
}

/// Runs what holds up the thread at `line` of `function`, and notes how long it took.
#[inline(always)]
fn measured(told: &Told, function: &'static str, line: u32, hold_up: impl FnOnce()) {
    // Before: a tracer tells of it while it lasts.
    let (began, cpu) = (Instant::now(), cpu_ns());
    hold_up();
    let (wall_ns, cpu_ns) = (began.elapsed().as_nanos() as u64, cpu_ns() - cpu);
    *locked(told) = Truth { line, function, wall_ns, cpu_ns };
}

async fn sleeps(told: Told, mut gate: watch::Receiver<bool>) {
    let _ = gate.changed().await;
    measured(&told, "blockers::sleeps", line!(), || std::thread::sleep(HELD_UP));
    tokio::task::yield_now().await;
}

/// Through a method, which the compiler must not inline.
async fn reads(told: Told, mut gate: watch::Receiver<bool>) {
    let _ = gate.changed().await;
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    let other = std::thread::spawn(move || {
        std::thread::sleep(HELD_UP);
        writer.write_all(b"x").expect("somebody reads");
    });
    Source(reader).read_one(&told);
    other.join().expect("it does not panic");
    tokio::task::yield_now().await;
}

struct Source(std::io::PipeReader);

impl Source {
    #[inline(never)]
    fn read_one(&mut self, told: &Told) {
        let mut byte = [0];
        let function = "blockers::Source::read_one";
        measured(told, function, line!(), || self.0.read_exact(&mut byte).expect("it is written"));
    }
}

/// A mutex that a plain thread holds.
async fn locks(told: Told, mut gate: watch::Receiver<bool>) {
    let _ = gate.changed().await;
    let mutex = Arc::new(Mutex::new(0));
    let (held, theirs) = (std::sync::mpsc::channel(), mutex.clone());
    let other = std::thread::spawn(move || {
        let guard = locked(&theirs);
        held.0.send(()).expect("somebody listens");
        std::thread::sleep(HELD_UP);
        drop(guard);
    });
    held.1.recv().expect("it is held");
    measured(&told, "blockers::locks", line!(), || *mutex.lock().expect("it is not poisoned") += 1);
    other.join().expect("it does not panic");
    tokio::task::yield_now().await;
}

/// Uses as much CPU time, and waits for nothing.
async fn spins(told: Told, mut gate: watch::Receiver<bool>) {
    let _ = gate.changed().await;
    measured(&told, "blockers::spins", line!(), spin);
    tokio::task::yield_now().await;
}

fn spin() {
    let end = Instant::now() + HELD_UP;
    while Instant::now() < end {
        for i in 0..10_000u64 {
            std::hint::black_box(i);
        }
    }
}

/// Polled often, each time for a moment.
async fn healthy(mut gate: watch::Receiver<bool>) {
    let _ = gate.changed().await;
    for _ in 0..200 {
        tokio::time::sleep(Duration::from_millis(5)).await;
        for _ in 0..5 {
            tokio::task::yield_now().await;
        }
    }
}

type Case = Pin<Box<dyn Future<Output = ()> + Send>>;

fn main() {
    truth::end_by_itself();
    // A worker for each, so that no task keeps another from being polled.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(6).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let _inside = runtime.enter();
    let (open, gate) = watch::channel(false);
    let mut cases: Vec<(&str, String, Told, tokio::task::JoinHandle<()>)> = Vec::new();
    for name in ["sleep", "read", "lock", "spin", "healthy"] {
        let (told, gate) = (Told::default(), gate.clone());
        let theirs = told.clone();
        // Boxed and not: what is spawned is the async fn itself.
        let handle = match name {
            "sleep" => tokio::spawn(sleeps(theirs, gate)),
            "read" => tokio::spawn(reads(theirs, gate)),
            "lock" => tokio::spawn(locks(theirs, gate)),
            "spin" => tokio::spawn(spins(theirs, gate)),
            _ => {
                let boxed: Case = Box::pin(healthy(gate));
                tokio::spawn(boxed)
            }
        };
        cases.push((name, truth::id_of(&handle), told, handle));
    }
    std::thread::sleep(Duration::from_millis(50));
    truth::say("{\"truth\":\"waiting\"}");
    std::io::stdin().lock().read_line(&mut String::new()).expect("stdin can be read");

    open.send(true).expect("the tasks listen");
    for (name, id, told, handle) in cases {
        runtime.block_on(handle).expect("none panics");
        let Truth { line, function, wall_ns, cpu_ns } = locked(&told).clone();
        truth::say(&format!(
            "{{\"truth\":\"held_up\",\"id\":{id:?},\"case\":{name:?},\"function\":{function:?},\"line\":{line},\"wall_ns\":{wall_ns},\"cpu_ns\":{cpu_ns}}}"
        ));
    }
    // The last poll tells its task's end from inside; the worker has yet to return from it.
    std::thread::sleep(Duration::from_millis(300));
    truth::ready();
}
