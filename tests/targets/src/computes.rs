//! Tasks that compute for long within a poll, each in a way of its own, and one that computes as much and yields. Says in which
//! function and between which lines each does so. `computes on`: they go on until it is ended.

use std::future::Future;
use std::hint::black_box;
use std::io::{BufRead, Read};
use std::pin::Pin;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How long each computes, by the clock. With `on`, longer than it is looked at.
fn until() -> Instant {
    let on = std::env::args().nth(1).as_deref() == Some("on");
    Instant::now() + Duration::from_secs(if on { 3600 } else { 3 })
}

/// Where a task computes: its first and its last line are in it.
#[derive(Clone, Copy, Debug)]
struct Place {
    function: &'static str,
    first: u32,
    last: u32,
    /// How the name begins of what it calls there, if that is another's code.
    calls: &'static str,
}

type Gate = watch::Receiver<bool>;

#[inline(never)]
fn crunch(until: Instant) -> (u64, Place) {
    let (mut sum, first) = (0u64, line!() + 1);
    while Instant::now() < until {
        for n in 0..10_000u64 {
            sum = black_box(sum.rotate_left(5) ^ n);
        }
    }
    let last = line!() - 1;
    (sum, Place { function: "computes::crunch", first, last, calls: "" })
}

/// A part of the async fn.
#[inline(always)]
fn blend(until: Instant) -> (u64, Place) {
    let (mut sum, first) = (1u64, line!() + 1);
    while Instant::now() < until {
        for n in 0..10_000u64 {
            sum = black_box(sum.wrapping_mul(31).wrapping_add(n));
        }
    }
    let last = line!() - 1;
    (sum, Place { function: "computes::blend", first, last, calls: "" })
}

async fn named(mut gate: Gate) -> Place {
    let _ = gate.changed().await;
    let (sum, place) = crunch(until());
    black_box(sum);
    tokio::task::yield_now().await;
    place
}

async fn inlined(mut gate: Gate) -> Place {
    let _ = gate.changed().await;
    let (sum, place) = blend(until());
    black_box(sum);
    tokio::task::yield_now().await;
    place
}

#[inline(never)]
fn sort(until: Instant) -> Place {
    let mut numbers = Vec::new();
    let mut seed = 1u64;
    let first = line!() + 1;
    while Instant::now() < until {
        numbers.clear();
        numbers.extend((0..500_000u64).map(|n| {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(n);
            seed
        }));
        numbers.sort_unstable();
    }
    let last = line!() - 1;
    // To give it back takes a while, which would be elsewhere.
    std::mem::forget(numbers);
    Place { function: "computes::sort", first, last, calls: "core::slice::sort::" }
}

/// In code that is not the program's own.
async fn called(mut gate: Gate) -> Place {
    let _ = gate.changed().await;
    let place = sort(until());
    tokio::task::yield_now().await;
    place
}

#[inline(never)]
fn read(until: Instant) -> Place {
    let mut zeros = std::fs::File::open("/dev/zero").expect("it is there");
    // On an emulated processor this takes a while as well.
    let first = line!() + 1;
    let mut buffer = vec![1u8; 16 << 20];
    while Instant::now() < until {
        zeros.read_exact(&mut buffer).expect("there is no end of it");
        black_box(&buffer);
    }
    let last = line!() - 1;
    std::mem::forget((buffer, zeros));
    Place { function: "computes::read", first, last, calls: "" }
}

/// In the kernel.
async fn kernel(mut gate: Gate) -> Place {
    let _ = gate.changed().await;
    let place = read(until());
    tokio::task::yield_now().await;
    place
}

/// As much, in parts that let others go on.
async fn yields(mut gate: Gate) -> Place {
    let _ = gate.changed().await;
    let until = until();
    while Instant::now() < until {
        black_box(crunch(Instant::now() + Duration::from_millis(1)).0);
        tokio::task::yield_now().await;
    }
    Place { function: "", first: 0, last: 0, calls: "" }
}

fn main() {
    truth::end_by_itself();
    // A worker for each, so that no task keeps another from being polled.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(6).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let _inside = runtime.enter();
    let (open, gate) = watch::channel(false);
    type Case = Pin<Box<dyn Future<Output = Place> + Send>>;
    let spawn = |name: &'static str| {
        let gate = gate.clone();
        let handle = match name {
            "named" => tokio::spawn(named(gate)),
            "inlined" => tokio::spawn(inlined(gate)),
            "called" => tokio::spawn(called(gate)),
            "kernel" => tokio::spawn(kernel(gate)),
            _ => {
                let boxed: Case = Box::pin(yields(gate));
                tokio::spawn(boxed)
            }
        };
        (name, truth::id_of(&handle), handle)
    };
    let cases = ["named", "inlined", "called", "kernel", "yields"].map(spawn);
    std::thread::sleep(Duration::from_millis(50));
    truth::say("{\"truth\":\"waiting\"}");
    std::io::stdin().lock().read_line(&mut String::new()).expect("stdin can be read");

    open.send(true).expect("the tasks listen");
    for (name, id, handle) in cases {
        let Place { function, first, last, calls } = runtime.block_on(handle).expect("none panics");
        truth::say(&format!(
            "{{\"truth\":\"computes\",\"id\":{id:?},\"case\":{name:?},\"function\":{function:?},\"first\":{first},\"last\":{last},\"calls\":{calls:?}}}"
        ));
    }
    // The last poll tells its task's end from inside; the worker has yet to return from it.
    std::thread::sleep(Duration::from_millis(300));
    truth::ready();
}
