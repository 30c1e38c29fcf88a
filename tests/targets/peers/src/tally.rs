//! Counters with one writer each, so that counting costs next to nothing.

use serde::Serialize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Of one thread; alone in its cache lines.
#[derive(Default)]
#[repr(align(128))]
struct Tally {
    polls: AtomicU64,
    requests: AtomicU64,
}

static ALL: Mutex<Vec<&'static Tally>> = Mutex::new(Vec::new());

thread_local! {
    static OWN: &'static Tally = {
        let own: &'static Tally = Box::leak(Box::default());
        ALL.lock().expect("nobody panics").push(own);
        own
    };
}

fn increment(counter: &AtomicU64) {
    counter.store(counter.load(Relaxed) + 1, Relaxed);
}

pub fn polled() {
    OWN.with(|own| increment(&own.polls));
}

pub fn requested() {
    OWN.with(|own| increment(&own.requests));
}

/// Since the process began.
#[derive(Serialize)]
pub struct Sums {
    /// Processor time of all threads.
    cpu_ns: u64,
    polls: u64,
    requests: u64,
}

pub fn sums() -> Sums {
    let all = ALL.lock().expect("nobody panics");
    let sum = |of: fn(&Tally) -> &AtomicU64| all.iter().map(|tally| of(tally).load(Relaxed)).sum();
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Sums {
        cpu_ns: time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64,
        polls: sum(|tally| &tally.polls),
        requests: sum(|tally| &tally.requests),
    }
}
