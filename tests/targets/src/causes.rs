//! Tasks that know who wakes them, who spawned them and how they end.
//!
//! Every task is wrapped: its waker is one of our own, which notes who uses it before it hands on to tokio's. So what is
//! printed is what was done to tokio's wakers, whichever primitive did it. Starts one task, says `waiting`, goes on when it
//! reads a line, and prints its truth at the end.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::{Future, pending, poll_fn};
use std::io::BufRead as _;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinHandle, yield_now};
use tokio::time::sleep;

/// Who does something, as numbered here until ids are known.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Doer {
    Task(usize),
    Thread(String),
}

#[derive(Default)]
struct Task {
    nth: usize,
    id: Mutex<String>,
    parent: Option<Doer>,
    woken: Mutex<BTreeMap<Doer, u64>>,
    /// Number of the task that it joins: that wakes it from inside of tokio, after its own future is gone.
    joins: Mutex<Option<usize>>,
    /// Line of the await that it stood at when it was aborted; 0: it was not.
    aborted_at: AtomicU32,
    panics: bool,
    polls: AtomicU32,
}

static ALL: Mutex<Vec<Arc<Task>>> = Mutex::new(Vec::new());

thread_local! {
    /// The task whose future is being polled on this thread.
    static POLLED: Cell<Option<usize>> = const { Cell::new(None) };
    static THREAD: RefCell<String> = const { RefCell::new(String::new()) };
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn doer() -> Doer {
    POLLED.get().map_or_else(|| Doer::Thread(thread()), Doer::Task)
}

fn thread() -> String {
    THREAD.with_borrow_mut(|known| {
        if known.is_empty() {
            *known = truth::thread_id();
        }
        known.clone()
    })
}

impl Task {
    fn is_woken(&self) {
        let by = match (doer(), *locked(&self.joins)) {
            (Doer::Thread(_), Some(joined)) => Doer::Task(joined),
            (by, _) => by,
        };
        *locked(&self.woken).entry(by).or_default() += 1;
    }
}

/// Notes each use, and hands on.
struct Noted {
    task: Arc<Task>,
    inner: Waker,
}

impl Wake for Noted {
    fn wake(self: Arc<Self>) {
        self.task.is_woken();
        match Arc::try_unwrap(self) {
            Ok(noted) => noted.inner.wake(),
            Err(shared) => shared.inner.wake_by_ref(),
        }
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.task.is_woken();
        self.inner.wake_by_ref();
    }
}

/// The root future of a task.
struct Known<F> {
    task: Arc<Task>,
    future: Pin<Box<F>>,
}

impl<F: Future> Future for Known<F> {
    type Output = F::Output;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let noted = Noted { task: self.task.clone(), inner: context.waker().clone() };
        let waker = Waker::from(Arc::new(noted));
        let _polled = Polled(POLLED.replace(Some(self.task.nth)));
        self.task.polls.fetch_add(1, Relaxed);
        self.future.as_mut().poll(&mut Context::from_waker(&waker))
    }
}

/// Who was polled before; that it is again when this is dropped, by a panic as well.
struct Polled(Option<usize>);

impl Drop for Polled {
    fn drop(&mut self) {
        POLLED.set(self.0);
    }
}

fn new_task(panics: bool) -> Arc<Task> {
    let mut all = locked(&ALL);
    let task = Arc::new(Task { nth: all.len(), parent: Some(doer()), panics, ..Task::default() });
    all.push(task.clone());
    task
}

fn start_as<F>(task: Arc<Task>, future: F) -> JoinHandle<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    let handle = tokio::spawn(Known { task: task.clone(), future: Box::pin(future) });
    *locked(&task.id) = truth::id_of(&handle);
    handle
}

/// Waits for another task: its end wakes this one from inside of tokio.
struct Started {
    task: Arc<Task>,
    handle: JoinHandle<()>,
}

impl Started {
    async fn join(self) -> Result<(), JoinError> {
        let own = POLLED.get().map(|nth| locked(&ALL)[nth].clone()).expect("a task joins");
        *locked(&own.joins) = Some(self.task.nth);
        let outcome = self.handle.await;
        *locked(&own.joins) = None;
        outcome
    }
}

fn start<F>(future: F) -> Started
where
    F: Future<Output = ()> + Send + 'static,
{
    let task = new_task(false);
    Started { task: task.clone(), handle: start_as(task, future) }
}

/// By a task: through channels of two kinds, and a `Notify`.
async fn ping_pong(rounds: u32) {
    let (ball, mut balls) = mpsc::channel::<oneshot::Sender<u32>>(1);
    let bell = Arc::new(Notify::new());
    let theirs = bell.clone();
    let other = start(async move {
        while let Some(back) = balls.recv().await {
            theirs.notified().await;
            let _ = back.send(1);
        }
    });
    for _ in 0..rounds {
        let (back, answer) = oneshot::channel();
        ball.send(back).await.expect("the other one listens");
        yield_now().await;
        bell.notify_one();
        answer.await.expect("the other one answers");
    }
    drop(ball);
    let _ = other.join().await;
}

/// By drivers: the timer's, and that of sockets, which the task's own `send` sets off.
async fn driven(rounds: u32) {
    let receiver = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("loopback");
    let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("loopback");
    let to = receiver.local_addr().expect("it is bound");
    let reads = start(async move {
        let mut bytes = [0; 8];
        for _ in 0..rounds {
            receiver.recv(&mut bytes).await.expect("it is bound");
        }
    });
    for _ in 0..rounds {
        sleep(Duration::from_millis(1)).await;
        sender.send_to(b"hello", to).await.expect("loopback");
    }
    let _ = reads.join().await;
}

/// By itself, through tokio's own waker, with nothing in between: what a compiler may inline.
async fn by_hand(task: Arc<Task>, mut turns: u32) {
    poll_fn(|context| {
        task.polls.fetch_add(1, Relaxed);
        if turns == 0 {
            return Poll::Ready(());
        }
        turns -= 1;
        *locked(&task.woken).entry(Doer::Task(task.nth)).or_default() += 1;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// By the end of another task.
async fn joins(rounds: u32) {
    for _ in 0..rounds {
        let _ = start(yields(2)).join().await;
    }
}

async fn yields(times: u32) {
    for _ in 0..times {
        yield_now().await;
    }
}

/// Children of children.
fn family(depth: u32) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        if depth == 0 {
            return;
        }
        let (a, b) = (start(family(depth - 1)), start(yields(1)));
        let _ = a.join().await;
        let _ = b.join().await;
    })
}

async fn first_place(task: &Task) {
    task.aborted_at.store(line!() + 1, Relaxed);
    pending::<()>().await;
}

async fn aborted(task: Arc<Task>, deep: bool) {
    yields(2).await;
    if deep {
        first_place(&task).await;
        return;
    }
    task.aborted_at.store(line!() + 1, Relaxed);
    pending::<()>().await;
}

async fn aborts(rounds: u32) {
    for nth in 0..rounds {
        let task = new_task(false);
        let handle = start_as(task.clone(), aborted(task.clone(), nth % 2 == 0));
        let victim = Started { task, handle };
        // It stands at its place by then.
        sleep(Duration::from_millis(20)).await;
        victim.handle.abort();
        assert!(victim.join().await.is_err_and(|error| error.is_cancelled()));
    }
}

async fn panics() {
    yield_now().await;
    if cfg!(panic = "unwind") {
        panic!("on purpose");
    }
}

/// A thread that polls nothing spawns tasks, wakes one, and wakes it again when that has ended.
fn outside(runtime: &tokio::runtime::Runtime) {
    let _inside = runtime.enter();
    let kept: Arc<Mutex<Option<Waker>>> = Arc::default();
    let gives = kept.clone();
    let mut turns = 50;
    let task = new_task(false);
    let polled = task.clone();
    let handle = start_as(
        task,
        poll_fn(move |context| {
            *locked(&gives) = Some(context.waker().clone());
            turns -= 1;
            if turns == 0 { Poll::Ready(()) } else { Poll::Pending }
        }),
    );
    for turn in 1..=50 {
        while polled.polls.load(Relaxed) < turn || locked(&kept).is_none() {
            std::thread::sleep(Duration::from_micros(100));
        }
        let waker = locked(&kept).clone().expect("it was polled");
        waker.wake_by_ref();
    }
    while !handle.is_finished() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let waker = locked(&kept).take().expect("it was polled");
    waker.wake();
    runtime.block_on(handle).expect("it does not panic");
}

fn print() {
    let all = locked(&ALL).clone();
    let name = |doer: &Doer| match doer {
        Doer::Task(nth) => format!("task {}", locked(&all[*nth].id)),
        Doer::Thread(thread) => format!("thread {thread}"),
    };
    for task in &all {
        let woken: Vec<String> =
            locked(&task.woken).iter().map(|(by, times)| format!("{:?}:{times}", name(by))).collect();
        let (id, parent) = (locked(&task.id).clone(), task.parent.as_ref().map(&name));
        let line = task.aborted_at.load(Relaxed);
        truth::say(&format!(
            "{{\"truth\":\"caused\",\"id\":{id:?},\"parent\":{:?},\"polls\":{},\"woken\":{{{}}},\"aborted_at\":{},\"panics\":{}}}",
            parent.unwrap_or_default(),
            task.polls.load(Relaxed),
            woken.join(","),
            if line == 0 { "null".into() } else { line.to_string() },
            task.panics && cfg!(panic = "unwind"),
        ));
    }
}

fn main() {
    truth::end_by_itself();
    std::panic::set_hook(Box::new(|_| {}));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime with two workers");
    let _inside = runtime.enter();
    let (open, mut gate) = watch::channel(false);
    let early = start(async move {
        let _ = gate.changed().await;
        yields(3).await;
    });
    std::thread::sleep(Duration::from_millis(50));
    truth::say("{\"truth\":\"waiting\"}");
    std::io::stdin().lock().read_line(&mut String::new()).expect("stdin can be read");

    open.send(true).expect("the early task listens");
    let mut handles = vec![early];
    for _ in 0..3 {
        handles.push(start(ping_pong(200)));
        handles.push(start(driven(60)));
        handles.push(start(yields(500)));
        handles.push(start(family(4)));
        handles.push(start(by_hand_wrapped(100)));
        handles.push(start(joins(40)));
    }
    handles.push(start(aborts(6)));
    let panic = start_as(new_task(true), panics());
    for Started { handle, .. } in handles {
        runtime.block_on(handle).expect("only one panics");
    }
    assert_eq!(runtime.block_on(panic).is_err(), cfg!(panic = "unwind"));
    std::thread::scope(|scope| drop(scope.spawn(|| outside(&runtime))));
    bare(&runtime);
    // The last poll tells its task's end from inside; the worker has yet to return from it.
    std::thread::sleep(Duration::from_millis(300));
    print();
    truth::ready();
}

/// The same through our own waker.
async fn by_hand_wrapped(mut turns: u32) {
    poll_fn(|context| {
        if turns == 0 {
            return Poll::Ready(());
        }
        turns -= 1;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// A task that is not wrapped.
fn bare(runtime: &tokio::runtime::Runtime) {
    let task = new_task(false);
    let handle = tokio::spawn(by_hand(task.clone(), 100));
    *locked(&task.id) = truth::id_of(&handle);
    runtime.block_on(handle).expect("it does not panic");
}
