//! `shares`: tasks that each burn a known share of the time, and one that rests for longer at one await than at the other. At each line
//! on stdin it tells how long each was in polls that began at which await, and how long it rested there, since it began.
//! At the line `exec` it becomes another program. `shares hurried`: others beside them are polled so often that probes cost much.

use std::os::unix::process::CommandExt as _;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// An await, and the time that belongs to it.
struct Place {
    line: AtomicU32,
    /// In polls that began here.
    busy_ns: AtomicU64,
    rested_ns: AtomicU64,
}

const PLACE: Place =
    Place { line: AtomicU32::new(0), busy_ns: AtomicU64::new(0), rested_ns: AtomicU64::new(0) };
/// Of each task two.
static PLACES: [[Place; 2]; 4] = [const { [PLACE; 2] }; 4];

/// What one task does over and over: it rests, burns, rests at another await, burns. Milliseconds.
struct Turn {
    rests: [u64; 2],
    burns: [u64; 2],
}

const TURNS: [Turn; 4] = [
    Turn { rests: [20, 19], burns: [1, 1] },
    Turn { rests: [15, 15], burns: [2, 8] },
    Turn { rests: [10, 10], burns: [15, 5] },
    Turn { rests: [300, 100], burns: [0, 0] },
];

/// Runs, within one poll.
#[inline(never)]
fn burn(ms: u64, place: &Place) {
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(ms) {
        std::hint::spin_loop();
    }
    place.busy_ns.fetch_add(began.elapsed().as_nanos() as u64, Relaxed);
}

macro_rules! turns {
    ($name:ident, $nth:literal) => {
        async fn $name() {
            let (Turn { rests, burns }, places) = (&TURNS[$nth], &PLACES[$nth]);
            loop {
                rest_and_burn(rests[0], burns[0], &places[0]).await;
                other_rest_and_burn(rests[1], burns[1], &places[1]).await;
            }
        }
    };
}

// Where a task rests and from where it burns: two functions, each with one await of its own.
async fn rest_and_burn(rest_ms: u64, burn_ms: u64, place: &Place) {
    place.line.store(line!() + 2, Relaxed);
    let began = Instant::now();
    sleep(Duration::from_millis(rest_ms)).await;
    place.rested_ns.fetch_add(began.elapsed().as_nanos() as u64, Relaxed);
    burn(burn_ms, place);
}

async fn other_rest_and_burn(rest_ms: u64, burn_ms: u64, place: &Place) {
    place.line.store(line!() + 2, Relaxed);
    let began = Instant::now();
    sleep(Duration::from_millis(rest_ms)).await;
    place.rested_ns.fetch_add(began.elapsed().as_nanos() as u64, Relaxed);
    burn(burn_ms, place);
}

turns!(little, 0);
turns!(more, 1);
turns!(most, 2);
turns!(rests, 3);

async fn hurries() {
    loop {
        for _ in 0..500 {
            tokio::task::yield_now().await;
        }
        sleep(Duration::from_millis(1)).await;
    }
}

fn main() {
    truth::end_by_itself();
    let hurried = std::env::args().nth(1).as_deref() == Some("hurried");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .expect("a runtime with two workers");
    let tasks =
        [runtime.spawn(little()), runtime.spawn(more()), runtime.spawn(most()), runtime.spawn(rests())];
    if hurried {
        for _ in 0..4 {
            runtime.spawn(hurries());
        }
    }
    let ids = tasks.each_ref().map(|task| truth::id_of(task));
    let began = Instant::now();
    truth::say("{\"truth\":\"waiting\"}");
    let mut asked = String::new();
    while std::io::stdin().read_line(&mut asked).is_ok_and(|read| read > 0) {
        if std::mem::take(&mut asked).trim() == "exec" {
            let error = std::process::Command::new("sleep").arg("30").exec();
            panic!("sleep(1) was not run: {error}");
        }
        for (id, places) in ids.iter().zip(&PLACES) {
            for Place { line, busy_ns, rested_ns } in places {
                let (line, t_ns) = (line.load(Relaxed), began.elapsed().as_nanos());
                let (busy, rested) = (busy_ns.load(Relaxed), rested_ns.load(Relaxed));
                truth::say(&format!(
                    "{{\"id\":{id:?},\"line\":{line},\"t_ns\":{t_ns},\"busy_ns\":{busy},\"rested_ns\":{rested}}}"
                ));
            }
        }
        truth::say("{\"truth\":\"waiting\"}");
    }
    std::process::exit(0);
}
