//! `shares MS`: tasks that each burn a known share of the time, on workers of their own, and tell how long they were in polls.
//! Another task rests for longer at one await than at the other. All from the line `go` on stdin, for MS milliseconds.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// Of each round of ROUND ms, how many a task burns.
const BURNS: [u64; 4] = [1, 3, 6, 12];
const ROUND: u64 = 40;

static OVER: AtomicBool = AtomicBool::new(false);
static COUNTED: AtomicBool = AtomicBool::new(false);
static BUSY_NS: [AtomicU64; BURNS.len()] = [const { AtomicU64::new(0) }; BURNS.len()];
static LINE: AtomicU64 = AtomicU64::new(0);
static RESTED_NS: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];
static RESTED_LINES: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];

fn add(to: &AtomicU64, began: Instant) {
    if COUNTED.load(Relaxed) {
        to.fetch_add(began.elapsed().as_nanos() as u64, Relaxed);
    }
}

/// One poll, from one await to the next.
#[inline(never)]
fn burn(for_ms: u64, busy_ns: &AtomicU64) {
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(for_ms) {
        std::hint::spin_loop();
    }
    add(busy_ns, began);
}

async fn burns(nth: usize) {
    while !OVER.load(Relaxed) {
        burn(BURNS[nth], &BUSY_NS[nth]);
        LINE.store(u64::from(line!()) + 1, Relaxed);
        sleep(Duration::from_millis(ROUND - BURNS[nth])).await;
    }
}

async fn rests() {
    while !OVER.load(Relaxed) {
        let began = Instant::now();
        RESTED_LINES[0].store(u64::from(line!()) + 1, Relaxed);
        sleep(Duration::from_millis(300)).await;
        add(&RESTED_NS[0], began);
        let began = Instant::now();
        RESTED_LINES[1].store(u64::from(line!()) + 1, Relaxed);
        sleep(Duration::from_millis(100)).await;
        add(&RESTED_NS[1], began);
    }
}

fn spawned(handle: JoinHandle<()>, handles: &mut Vec<(String, JoinHandle<()>)>) {
    handles.push((truth::id_of(&handle), handle));
}

fn main() {
    let ms: u64 = std::env::args().nth(1).and_then(|text| text.parse().ok()).expect("shares MS");
    truth::end_by_itself();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .expect("a runtime with two workers");
    let mut tasks = Vec::new();
    for nth in 0..BURNS.len() {
        spawned(runtime.spawn(burns(nth)), &mut tasks);
    }
    spawned(runtime.spawn(rests()), &mut tasks);
    truth::say("{\"truth\":\"waiting\"}");
    std::io::stdin().read_line(&mut String::new()).expect("go");
    let began = Instant::now();
    COUNTED.store(true, Relaxed);
    std::thread::sleep(Duration::from_millis(ms));
    COUNTED.store(false, Relaxed);
    let over_ns = began.elapsed().as_nanos();
    // Whoever watches has ended when there is another line: what is true now stays so until then.
    for (nth, (id, _)) in tasks.iter().take(BURNS.len()).enumerate() {
        let (busy, line) = (BUSY_NS[nth].load(Relaxed), LINE.load(Relaxed));
        truth::say(&format!(
            "{{\"id\":{id:?},\"busy_ns\":{busy},\"line\":{line},\"watched_ns\":{over_ns}}}"
        ));
    }
    let id = &tasks[BURNS.len()].0;
    for (rested, line) in RESTED_NS.iter().zip(&RESTED_LINES) {
        let (rested, line) = (rested.load(Relaxed), line.load(Relaxed));
        truth::say(&format!(
            "{{\"id\":{id:?},\"rested_ns\":{rested},\"line\":{line},\"watched_ns\":{over_ns}}}"
        ));
    }
    OVER.store(true, Relaxed);
    for (_, task) in tasks {
        runtime.block_on(task).expect("no task panics");
    }
}
