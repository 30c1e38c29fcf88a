//! Tasks that are dropped without another poll, because their runtime or `LocalSet` goes, and others that then take their place in
//! memory. Says `waiting`, goes on when it reads a line, and prints for each task how often it was polled, how often a poll left
//! it at another place, and whether it was dropped.

use std::cell::RefCell;
use std::future::Future;
use std::io::BufRead as _;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinHandle, LocalSet, yield_now};

#[derive(Default)]
struct Counts {
    id: Mutex<String>,
    polls: AtomicU64,
    changes: AtomicU64,
    place: AtomicU64,
    completed: AtomicBool,
}

thread_local! {
    static ALL: RefCell<Vec<Arc<Counts>>> = const { RefCell::new(Vec::new()) };
}

/// Pending `left` times, each time having woken itself; for ever where `left` is none.
struct Turns<'a> {
    counts: &'a Counts,
    place: u64,
    left: Option<u32>,
}

impl Future for Turns<'_> {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.left {
            Some(0) => return Poll::Ready(()),
            Some(left) => {
                *left -= 1;
                context.waker().wake_by_ref();
            }
            None => {}
        }
        let Counts { polls, changes, place, .. } = self.counts;
        polls.fetch_add(1, Relaxed);
        changes.fetch_add(u64::from(place.swap(self.place, Relaxed) != self.place), Relaxed);
        Poll::Pending
    }
}

/// Moves, then stays: all that has to be told of it is told by records.
async fn stays(counts: Arc<Counts>, pad: [u64; 8]) -> u64 {
    Turns { counts: &counts, place: 1, left: Some(1) }.await;
    Turns { counts: &counts, place: 2, left: None }.await;
    pad[0]
}

/// Is polled on where it stands, which no record tells.
async fn turns(counts: Arc<Counts>, pad: [u64; 8]) -> u64 {
    Turns { counts: &counts, place: 3, left: Some(5) }.await;
    Turns { counts: &counts, place: 4, left: None }.await;
    pad[1]
}

/// Comes to its end.
async fn ends(counts: Arc<Counts>, pad: [u64; 8]) -> u64 {
    Turns { counts: &counts, place: 5, left: Some(2) }.await;
    counts.polls.fetch_add(1, Relaxed);
    counts.completed.store(true, Relaxed);
    pad[2]
}

fn note(start: impl FnOnce(Arc<Counts>) -> JoinHandle<u64>) {
    let counts = Arc::new(Counts::default());
    *counts.id.lock().expect("no counter panics") = truth::id_of(&start(counts.clone()));
    ALL.with_borrow_mut(|all| all.push(counts));
}

async fn rest() {
    for _ in 0..10 {
        yield_now().await;
    }
}

fn in_local_sets(runtime: &Runtime) {
    for round in 0..100 {
        let set = LocalSet::new();
        set.block_on(runtime, async {
            for nth in 0..3 {
                note(|counts| tokio::task::spawn_local(stays(counts, [round; 8])));
                note(|counts| tokio::task::spawn_local(turns(counts, [nth; 8])));
                note(|counts| tokio::task::spawn_local(ends(counts, [nth; 8])));
            }
            rest().await;
            // Dropped before its first poll.
            note(|counts| tokio::task::spawn_local(stays(counts, [round; 8])));
        });
    }
}

fn in_runtimes() {
    for round in 0..100 {
        let runtime = Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            for nth in 0..3 {
                note(|counts| tokio::spawn(stays(counts, [round; 8])));
                note(|counts| tokio::spawn(turns(counts, [nth; 8])));
                note(|counts| tokio::spawn(ends(counts, [nth; 8])));
            }
            rest().await;
        });
    }
}

fn print() {
    let (mut polls, mut changes, mut completed) = (0, 0, 0);
    ALL.with_borrow(|all| {
        for counts in all {
            let id = counts.id.lock().expect("no counter panics");
            let (own, moves) = (counts.polls.load(Relaxed), counts.changes.load(Relaxed));
            let name = if counts.completed.load(Relaxed) { "completed" } else { "dropped" };
            (polls, changes) = (polls + own, changes + moves);
            completed += u64::from(name == "completed");
            truth::say(&format!(
                "{{\"truth\":\"polls\",\"id\":{id:?},\"name\":{name:?},\"polls\":{own},\"changes\":{moves}}}"
            ));
        }
        let spawned = all.len();
        truth::say(&format!(
            "{{\"truth\":\"totals\",\"spawned\":{spawned},\"completed\":{completed},\"polls\":{polls},\"changes\":{changes}}}"
        ));
    });
}

fn main() {
    truth::end_by_itself();
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    truth::say("{\"truth\":\"waiting\"}");
    std::io::stdin().lock().read_line(&mut String::new()).expect("stdin can be read");
    in_local_sets(&runtime);
    in_runtimes();
    // What was told last has to be read.
    std::thread::sleep(Duration::from_millis(300));
    print();
    truth::ready();
}
