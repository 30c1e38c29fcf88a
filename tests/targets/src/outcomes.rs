//! Tasks that nobody joins, and how they end: they complete, panic or are aborted, whatever their future is, and another stands in
//! their memory soon after. Says `waiting`, goes on when it reads a line, and prints for each task how it ended and, unless it
//! was aborted, how often it was polled. With `without-local` none of them is a `LocalSet`'s.

use std::future::Future;
use std::io::BufRead as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::task::{AbortHandle, JoinHandle, LocalSet};

/// How a task ended; unless anything else is said, it was aborted.
const ENDS: [&str; 4] = ["cancelled", "completed", "panicked", "caught"];
const COMPLETED: u8 = 1;
const PANICKED: u8 = 2;
/// It completed in a poll in which it caught a panic.
const CAUGHT: u8 = 3;

#[derive(Default)]
struct Story {
    id: OnceLock<String>,
    polls: AtomicU64,
    end: AtomicU8,
}

static ALL: Mutex<Vec<Arc<Story>>> = Mutex::new(Vec::new());

/// Pending `left` times, each time having woken itself.
struct Turns<'a> {
    story: &'a Story,
    left: u32,
}

impl Future for Turns<'_> {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.story.polls.fetch_add(1, Relaxed);
        if self.left == 0 {
            return Poll::Ready(());
        }
        self.left -= 1;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

async fn completes(story: Arc<Story>, turns: u32) {
    Turns { story: &story, left: turns }.await;
    story.end.store(COMPLETED, Relaxed);
}

/// Its output lies where its state was.
async fn answers(story: Arc<Story>, turns: u32) -> [u64; 16] {
    completes(story, turns).await;
    [u64::MAX; 16]
}

async fn panics(story: Arc<Story>, turns: u32) -> [u64; 4] {
    Turns { story: &story, left: turns }.await;
    story.end.store(PANICKED, Relaxed);
    panic!("as it should");
}

/// A panic that the task survives, in its last poll.
async fn catches(story: Arc<Story>, turns: u32) {
    Turns { story: &story, left: turns }.await;
    assert!(catch_unwind(AssertUnwindSafe(|| panic!("and is caught"))).is_err());
    story.end.store(CAUGHT, Relaxed);
}

/// A future that is no coroutine, as those of libraries that wrap others are.
struct Wrapped<F>(Pin<Box<F>>);

impl<F: Future> Future for Wrapped<F> {
    type Output = F::Output;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.0.as_mut().poll(context)
    }
}

fn wrapped<F: Future>(future: F) -> Wrapped<F> {
    Wrapped(Box::pin(future))
}

fn note<T: std::fmt::Debug>(start: impl FnOnce(Arc<Story>) -> JoinHandle<T>) -> AbortHandle {
    let story = Arc::new(Story::default());
    let handle = start(story.clone());
    story.id.set(truth::id_of(&handle)).expect("it is set once");
    ALL.lock().expect("nobody panics with it").push(story);
    handle.abort_handle()
}

/// One of each, on the runtime that runs this.
fn wave(turns: u32) {
    note(|story| tokio::spawn(completes(story, turns)));
    note(|story| tokio::spawn(answers(story, turns)));
    note(|story| tokio::spawn(panics(story, turns)));
    note(|story| tokio::spawn(catches(story, turns)));
    note(|story| tokio::spawn(wrapped(completes(story, turns))));
    note(|story| tokio::spawn(wrapped(answers(story, turns))));
    note(|story| tokio::spawn(wrapped(panics(story, turns))));
    let aborted = [
        note(|story| tokio::spawn(completes(story, 1_000_000))),
        note(|story| tokio::spawn(wrapped(answers(story, 1_000_000)))),
    ];
    aborted.iter().for_each(AbortHandle::abort);
    tokio::spawn(async move {
        let later = [
            note(|story| tokio::spawn(completes(story, 1_000_000))),
            note(|story| tokio::spawn(wrapped(completes(story, 1_000_000)))),
        ];
        tokio::time::sleep(Duration::from_micros(200)).await;
        later.iter().for_each(AbortHandle::abort);
    });
}

async fn waves(many: u32) {
    for nth in 0..many {
        for turns in 0..4 {
            wave(turns);
        }
        tokio::time::sleep(Duration::from_millis(if nth % 8 == 0 { 4 } else { 1 })).await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
}

fn local(runtime: &Runtime) {
    let set = LocalSet::new();
    set.block_on(runtime, async {
        for nth in 0..200 {
            note(|story| tokio::task::spawn_local(completes(story, nth % 3)));
            note(|story| tokio::task::spawn_local(wrapped(panics(story, nth % 3))));
            note(|story| tokio::task::spawn_local(wrapped(answers(story, 1_000_000)))).abort();
            tokio::time::sleep(Duration::from_micros(100)).await;
        }
        // Dropped with the set.
        note(|story| tokio::task::spawn_local(wrapped(completes(story, 1_000_000))));
    });
}

fn print() {
    let mut ends = [0u64; ENDS.len()];
    for story in &*ALL.lock().expect("nobody panics with it") {
        let end = story.end.load(Relaxed);
        ends[end as usize] += 1;
        let name = ENDS[end as usize];
        let (id, polls) = (story.id.get().expect("it was set"), story.polls.load(Relaxed));
        truth::say(&format!("{{\"truth\":\"polls\",\"id\":{id:?},\"name\":{name:?},\"polls\":{polls}}}"));
    }
    let (spawned, completed) = (ends.iter().sum::<u64>(), ends[COMPLETED as usize] + ends[CAUGHT as usize]);
    truth::say(&format!(
        "{{\"truth\":\"totals\",\"spawned\":{spawned},\"completed\":{completed},\"polls\":0,\"changes\":0}}"
    ));
}

fn main() {
    truth::end_by_itself();
    std::panic::set_hook(Box::new(|_| {}));
    let many = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let one = Builder::new_current_thread().enable_all().build().expect("a runtime");
    truth::say("{\"truth\":\"waiting\"}");
    std::io::stdin().lock().read_line(&mut String::new()).expect("stdin can be read");
    many.block_on(waves(150));
    one.block_on(waves(20));
    if std::env::args().all(|argument| argument != "without-local") {
        local(&one);
    }
    // What was told last has to be read.
    std::thread::sleep(Duration::from_millis(300));
    print();
    truth::ready();
}
