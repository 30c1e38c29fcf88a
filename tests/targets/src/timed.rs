//! Polls of known lengths, and waits for them of known lengths, that the tasks read off the clock themselves.
//!
//! All on one thread, which notes the clock whenever it enters or leaves code of its own: so of each poll, and of each wait
//! between a wake and the poll that follows, two readings lie within and two around it. Says `waiting`, goes on when it reads
//! a line, and prints `timed` per kind of task: the least and the most that each can have taken, ns.
//!
//! `timed storm N`: a task that wakes itself N times, and nothing else.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::BufRead as _;
use std::rc::Rc;
use std::task::Poll;
use std::time::Instant;
use tokio::sync::Notify;
use tokio::task::yield_now;

/// A poll, as its task saw it from within.
#[derive(Clone, Copy)]
struct Seen {
    kind: Kind,
    start: u64,
    end: u64,
    /// Readings just before and after the wake that this poll followed.
    woken: Option<(u64, u64)>,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Spins,
    Rings,
    Listens,
}

/// All polls, one after the other.
#[derive(Clone)]
struct Log {
    zero: Instant,
    polls: Rc<RefCell<Vec<Seen>>>,
    /// When the bell was rung last, and the listener not yet polled.
    rung: Rc<RefCell<Option<(u64, u64)>>>,
}

impl Log {
    fn now(&self) -> u64 {
        self.zero.elapsed().as_nanos() as u64
    }

    /// Does nothing for so long, and notes the poll.
    fn spin(&self, kind: Kind, start: u64, ns: u64, woken: Option<(u64, u64)>) {
        while self.now() - start < ns {
            std::hint::spin_loop();
        }
        self.polls.borrow_mut().push(Seen { kind, start, end: self.now(), woken });
    }
}

/// Wakes itself as often as that.
async fn storm(mut wakes: u64) {
    poll_fn(|context| {
        if wakes == 0 {
            return Poll::Ready(());
        }
        wakes -= 1;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// From 10 µs to 5 ms, short ones more often.
fn length(round: u64) -> u64 {
    [10_000, 20_000, 40_000, 90_000, 300_000, 10_000, 25_000, 50_000, 1_200_000, 10_000, 5_000_000, 700_000]
        [round as usize % 12]
}

async fn spins(log: Log, rounds: u64) {
    for round in 0..rounds {
        let start = log.now();
        log.spin(Kind::Spins, start, length(round), None);
        yield_now().await;
    }
    let start = log.now();
    log.spin(Kind::Spins, start, 0, None);
}

/// Wakes the other, and keeps the thread to itself for a while.
async fn rings(log: Log, bell: Rc<Notify>, rounds: u64) {
    for round in 0..rounds {
        let start = log.now();
        bell.notify_one();
        *log.rung.borrow_mut() = Some((start, log.now()));
        log.spin(Kind::Rings, start, length(round), None);
        yield_now().await;
    }
    let start = log.now();
    log.spin(Kind::Rings, start, 0, None);
}

async fn listens(log: Log, bell: Rc<Notify>, rounds: u64) {
    let start = log.now();
    log.spin(Kind::Listens, start, 0, None);
    for _ in 0..rounds {
        bell.notified().await;
        let start = log.now();
        let woken = log.rung.borrow_mut().take();
        log.spin(Kind::Listens, start, 20_000, woken);
    }
}

/// What each poll and each wait of a kind took, at least and at most.
fn say(kind: Kind, name: &str, polls: &[Seen], begun: u64, over: u64) {
    let (mut least, mut most) = (Vec::new(), Vec::new());
    let (mut least_delay, mut most_delay) = (Vec::new(), Vec::new());
    let (mut least_idle, mut most_idle) = (0, 0);
    // The poll before of the same kind, of which there is one task.
    let mut last: Option<usize> = None;
    for (nth, poll) in polls.iter().enumerate().filter(|(_, poll)| poll.kind == kind) {
        let before = if nth == 0 { begun } else { polls[nth - 1].end };
        let after = polls.get(nth + 1).map_or(over, |next| next.start);
        least.push(poll.end - poll.start);
        most.push(after - before);
        if let Some((from, to)) = poll.woken {
            // Its poll began after the poll before it had left its own code.
            least_delay.push(before - to);
            most_delay.push(poll.start - from);
            if let Some(last) = last {
                // That one was over when the next began.
                least_idle += from.saturating_sub(polls[last + 1].start);
                most_idle += to - polls[last].end;
            }
        }
        last = Some(nth);
    }
    truth::say(&format!(
        "{{\"truth\":\"timed\",\"name\":\"timed::{name}\",\"least\":{least:?},\"most\":{most:?},\
         \"least_delay\":{least_delay:?},\"most_delay\":{most_delay:?},\"idle\":[{least_idle},{most_idle}]}}"
    ));
}

fn main() {
    let rounds = 240;
    truth::say("{\"truth\":\"waiting\"}");
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).expect("stdin is open");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let polls = Rc::new(RefCell::new(Vec::new()));
    let log = Log { zero: Instant::now(), polls, rung: Rc::default() };
    if let Some(wakes) = std::env::args().nth(2) {
        let wakes = wakes.parse().expect("a number");
        runtime.block_on(async { tokio::spawn(storm(wakes)).await.expect("it ends") });
        return truth::ready();
    }
    let begun = log.now();
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        tokio::task::spawn_local(spins(log.clone(), rounds)).await.expect("it ends");
        let bell = Rc::new(Notify::new());
        let listener = tokio::task::spawn_local(listens(log.clone(), bell.clone(), rounds));
        yield_now().await;
        tokio::task::spawn_local(rings(log.clone(), bell, rounds)).await.expect("it ends");
        listener.await.expect("it ends");
    });
    let over = log.now();
    let polls = log.polls.borrow();
    say(Kind::Spins, "spins", &polls, begun, over);
    say(Kind::Rings, "rings", &polls, begun, over);
    say(Kind::Listens, "listens", &polls, begun, over);
    truth::ready();
}
