//! Tasks that count their own polls, at an even rate and in bursts. `counts even|bursts|spawns|threads`.
//!
//! Starts some tasks, says `waiting`, and goes on when it reads a line, so that a tracer can attach before. Then prints what
//! each task did since: how often it was polled, and how often a poll that ended Pending left the task at another place than it
//! found it. Places are numbered by hand next to the awaits.

use std::future::Future;
use std::io::BufRead as _;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Sleep, sleep};

#[derive(Default)]
struct Counts {
    name: &'static str,
    id: Mutex<String>,
    polls: AtomicU64,
    changes: AtomicU64,
    place: AtomicU64,
    completed: AtomicU64,
}

static ALL: Mutex<Vec<Arc<Counts>>> = Mutex::new(Vec::new());

fn all() -> Vec<Arc<Counts>> {
    ALL.lock().expect("no counter panics").clone()
}

impl Counts {
    /// A poll that ends Pending, at this place. Place 0 is where a task begins.
    fn pending_at(&self, place: u64) {
        self.polls.fetch_add(1, Relaxed);
        if self.place.swap(place, Relaxed) != place {
            self.changes.fetch_add(1, Relaxed);
        }
    }

    /// The poll that ends Ready.
    fn completes(&self) {
        self.polls.fetch_add(1, Relaxed);
        self.completed.fetch_add(1, Relaxed);
    }
}

/// Pending `left` times, each time having woken itself.
struct Turns<'a> {
    counts: &'a Counts,
    place: u64,
    left: u32,
}

impl Future for Turns<'_> {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.left == 0 {
            return Poll::Ready(());
        }
        self.left -= 1;
        self.counts.pending_at(self.place);
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Counts the polls of a future that knows nothing of it.
struct Observed<'a, F> {
    counts: &'a Counts,
    place: u64,
    future: Pin<&'a mut F>,
}

impl<F: Future> Future for Observed<'_, F> {
    type Output = F::Output;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let outcome = self.future.as_mut().poll(context);
        if outcome.is_pending() {
            self.counts.pending_at(self.place);
        }
        outcome
    }
}

/// The root future of a task, which counts every poll and knows no places.
struct Counted<F> {
    counts: Arc<Counts>,
    future: Pin<Box<F>>,
}

impl<F: Future> Future for Counted<F> {
    type Output = F::Output;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let outcome = self.future.as_mut().poll(context);
        self.counts.polls.fetch_add(1, Relaxed);
        if outcome.is_ready() {
            self.counts.completed.fetch_add(1, Relaxed);
        }
        outcome
    }
}

fn start<F>(name: &'static str, root: impl FnOnce(Arc<Counts>) -> F) -> JoinHandle<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    let counts = Arc::new(Counts { name, ..Counts::default() });
    let handle = tokio::spawn(root(counts.clone()));
    *counts.id.lock().expect("no counter panics") = truth::id_of(&handle);
    ALL.lock().expect("no counter panics").push(counts);
    handle
}

/// No wrapper: the state path alternates between two lines, and a third at the end of each round.
async fn alternates(counts: Arc<Counts>, rounds: u32) {
    for _ in 0..rounds {
        Turns { counts: &counts, place: 1, left: 1 }.await;
        Turns { counts: &counts, place: 2, left: 3 }.await;
        nested(&counts).await;
    }
    counts.completes();
}

async fn nested(counts: &Counts) {
    Turns { counts, place: 3, left: 2 }.await;
    Turns { counts, place: 4, left: 1 }.await;
}

/// No wrapper: always the same place.
async fn stays(counts: Arc<Counts>, turns: u32) {
    Turns { counts: &counts, place: 1, left: turns }.await;
    counts.completes();
}

/// No wrapper: a timer's rate, two places.
async fn ticks(counts: Arc<Counts>, rounds: u32) {
    for _ in 0..rounds {
        let mut pause = pin!(sleep(Duration::from_millis(2)));
        Observed { counts: &counts, place: 1, future: pause.as_mut() }.await;
        let mut pause: Pin<&mut Sleep> = pin!(sleep(Duration::from_millis(3)));
        Observed { counts: &counts, place: 2, future: pause.as_mut() }.await;
    }
    counts.completes();
}

/// Bursts of alternating polls with silence between them.
async fn bursts(counts: Arc<Counts>, rounds: u32) {
    for _ in 0..rounds {
        for _ in 0..50 {
            Turns { counts: &counts, place: 1, left: 1 }.await;
            Turns { counts: &counts, place: 2, left: 1 }.await;
        }
        let mut pause = pin!(sleep(Duration::from_millis(40)));
        Observed { counts: &counts, place: 3, future: pause.as_mut() }.await;
    }
    counts.completes();
}

/// Over at the first poll.
async fn at_once(counts: Arc<Counts>) {
    counts.completes();
}

/// Begun before the tracer came: waits at the gate, then goes on.
async fn waits_first(counts: Arc<Counts>, mut gate: watch::Receiver<bool>, rounds: u32) {
    {
        let mut opened = pin!(gate.changed());
        let _ = Observed { counts: &counts, place: 1, future: opened.as_mut() }.await;
    }
    for _ in 0..rounds {
        Turns { counts: &counts, place: 2, left: 1 }.await;
        Turns { counts: &counts, place: 3, left: 1 }.await;
    }
    counts.completes();
}

/// Nothing in it knows that it is counted.
async fn plain(rounds: u32, turns: u32) {
    for _ in 0..rounds {
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
        sleep(Duration::from_millis(3)).await;
    }
}

fn start_early(gate: &watch::Receiver<bool>) -> Vec<JoinHandle<()>> {
    (0..6).map(|nth| start("waits_first", |counts| waits_first(counts, gate.clone(), 100 + nth))).collect()
}

fn start_rest(mode: &str) -> Vec<JoinHandle<()>> {
    let mut handles = Vec::new();
    for nth in 0..8 {
        match mode {
            "even" => {
                handles.push(start("ticks", |counts| ticks(counts, 100 + nth)));
                handles.push(start("Counted<plain>", |counts| Counted {
                    counts,
                    future: Box::pin(plain(100 + nth, 2)),
                }));
            }
            "bursts" => {
                handles.push(start("bursts", |counts| bursts(counts, 10 + nth)));
                handles.push(start("stays", |counts| stays(counts, 20_000 + nth)));
                handles.push(start("alternates", |counts| alternates(counts, 300 + nth)));
                handles.push(start("Counted<plain>", |counts| Counted {
                    counts,
                    future: Box::pin(plain(4, 1_000 + nth)),
                }));
            }
            "spawns" => {
                handles.extend((0..250).map(|_| start("at_once", at_once)));
                handles.push(start("stays", |counts| stays(counts, nth)));
            }
            "threads" => {}
            other => panic!("counts even|bursts|spawns|threads, not {other:?}"),
        }
    }
    handles
}

/// One thread after the other, each with a runtime of its own: twice as many as a tracer has room for, but few at once.
fn start_threads() {
    for _ in 0..4_000 {
        let thread = std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            runtime
                .block_on(async { start("stays", |counts| stays(counts, 2)).await })
                .expect("it does not panic");
        });
        thread.join().expect("it does not panic");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn print(before: &[(u64, u64)]) {
    let (mut polls, mut changes, mut completed) = (0, 0, 0);
    let all = all();
    for (nth, counts) in all.iter().enumerate() {
        let (polls_before, changes_before) = before.get(nth).copied().unwrap_or_default();
        let task_polls = counts.polls.load(Relaxed) - polls_before;
        let task_changes = counts.changes.load(Relaxed) - changes_before;
        polls += task_polls;
        changes += task_changes;
        completed += counts.completed.load(Relaxed);
        let id = counts.id.lock().expect("no counter panics").clone();
        // A wrapper cannot know where the future inside it stands.
        let knows_places = !counts.name.starts_with("Counted");
        let told = if knows_places { task_changes.to_string() } else { "null".to_string() };
        let name = counts.name;
        truth::say(&format!(
            "{{\"truth\":\"polls\",\"id\":{id:?},\"name\":{name:?},\"polls\":{task_polls},\"changes\":{told}}}"
        ));
    }
    let spawned = all.len() - before.len();
    truth::say(&format!(
        "{{\"truth\":\"totals\",\"spawned\":{spawned},\"completed\":{completed},\"polls\":{polls},\"changes\":{changes}}}"
    ));
}

fn main() {
    let mode = std::env::args().nth(1).unwrap_or_else(|| "even".to_string());
    truth::end_by_itself();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime with two workers");
    let _inside = runtime.enter();
    let (open, gate) = watch::channel(false);
    let mut handles = start_early(&gate);
    while all().iter().any(|counts| counts.polls.load(Relaxed) == 0) {
        std::thread::sleep(Duration::from_millis(1));
    }
    std::thread::sleep(Duration::from_millis(50));
    truth::say("{\"truth\":\"waiting\"}");
    std::io::stdin().lock().read_line(&mut String::new()).expect("stdin can be read");

    let before: Vec<(u64, u64)> =
        all().iter().map(|counts| (counts.polls.load(Relaxed), counts.changes.load(Relaxed))).collect();
    open.send(true).expect("the early tasks listen");
    handles.extend(start_rest(&mode));
    if mode == "threads" {
        start_threads();
    }
    for handle in handles {
        runtime.block_on(handle).expect("no task panics");
    }
    // The last poll tells its task's end from inside; the worker has yet to return from it.
    std::thread::sleep(Duration::from_millis(300));
    print(&before);
    truth::ready();
}
