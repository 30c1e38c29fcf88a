//! `queues`: tasks that were spawned or woken and are not polled, because the threads of their schedulers are held by polls that
//! block until stdin is closed. It tells where each waits, as tokio documents it: what a worker schedules last is in its LIFO slot,
//! what it scheduled before in its own queue, and what others schedule in the injection queue; in that order.

use std::future::{pending, poll_fn};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Barrier, Condvar, Mutex, PoisonError};
use std::task::{Poll, Waker};
use tokio::runtime::{Builder, Handle, Runtime};
use truth::{id_of, ready, say};

/// Scheduled tasks of one scheduler's thread, or of those from outside, in the order in which they were.
type Ids = Vec<String>;

/// A waker that a task left, once it was polled.
type Left = Arc<Mutex<Option<Waker>>>;

/// What polls that must not end wait for.
#[derive(Default)]
struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn wait(&self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        while !*open {
            open = self.opened.wait(open).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn open(&self) {
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.opened.notify_all();
    }
}

async fn to_be_polled() {
    pending::<()>().await;
}

async fn to_be_woken(left: Left, polled: Sender<()>) {
    let mut first = true;
    poll_fn(|cx| {
        *left.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
        if std::mem::take(&mut first) {
            let _ = polled.send(());
        }
        Poll::<()>::Pending
    })
    .await;
}

/// Moves the ends of the queues, which then do not begin at their first places.
async fn warm_up() {
    for _ in 0..100 {
        let both = [tokio::spawn(async {}), tokio::spawn(async {})];
        for one in both {
            let _ = one.await;
        }
    }
}

/// A worker's queue has 256 places. Both moved by a hundred together, so that many go around the end of one at least.
const OWN: usize = 252;

fn spawn_some(count: usize, spawn: impl Fn() -> String) -> Ids {
    (0..count).map(|_| spawn()).collect()
}

fn spawned() -> String {
    id_of(&tokio::spawn(to_be_polled()))
}

/// `queue` and the tasks in it, in order; `thread` is the program's own number for who holds it.
fn tell(runtime: u32, queue: &str, thread: u32, ids: &[String]) {
    let length = ids.len();
    for (position, id) in ids.iter().enumerate() {
        say(&format!(
            "{{\"truth\":\"queued\",\"id\":{id:?},\"runtime\":{runtime},\"queue\":{queue:?},\"thread\":{thread},\"position\":{position},\
             \"length\":{length}}}"
        ));
    }
}

/// Holds a worker, and tells which tasks it scheduled before, in this order.
async fn hold(number: u32, all_hold: Arc<Barrier>, gate: Arc<Gate>, left: Left, told: Sender<(u32, Ids)>) {
    // No worker is left to take what the others schedule, and the sleeper is not being polled.
    all_hold.wait();
    let mut ids = spawn_some(OWN - number as usize, spawned);
    if number == 1 {
        let waker = left.lock().unwrap_or_else(PoisonError::into_inner).take();
        waker.expect("it was polled").wake();
        ids.push("sleeper".into());
    }
    let _ = told.send((number, ids));
    gate.wait();
}

fn multi_thread(gate: &Arc<Gate>) -> Runtime {
    let runtime = Builder::new_multi_thread().worker_threads(2).build().expect("builds");
    let _ = runtime.block_on(runtime.spawn(warm_up()));
    let (left, (polled, was_polled)) = (Left::default(), channel());
    let sleeper = id_of(&runtime.spawn(to_be_woken(left.clone(), polled)));
    was_polled.recv().expect("it is polled");
    let (told, tells): (Sender<(u32, Ids)>, Receiver<(u32, Ids)>) = channel();
    let all_hold = Arc::new(Barrier::new(2));
    for number in 0..2 {
        runtime.spawn(hold(number, all_hold.clone(), gate.clone(), left.clone(), told.clone()));
    }
    for (number, mut ids) in tells.iter().take(2) {
        ids.iter_mut().filter(|id| *id == "sleeper").for_each(|id| id.clone_from(&sleeper));
        let last = ids.split_off(ids.len() - 1);
        tell(0, "local", number, &ids);
        tell(0, "lifo-slot", number, &last);
    }
    tell(0, "injection", 2, &from_outside(runtime.handle(), 6));
    runtime
}

fn from_outside(handle: &Handle, count: usize) -> Ids {
    spawn_some(count, || id_of(&handle.spawn(to_be_polled())))
}

/// Its queue has 64 places until it grows, and does not begin at the first: these go around its end.
const AROUND: usize = 62;

fn current_thread(gate: &Arc<Gate>) -> std::thread::JoinHandle<()> {
    let (told, tells) = channel();
    let gate = gate.clone();
    let thread = std::thread::spawn(move || {
        let runtime = Builder::new_current_thread().build().expect("builds");
        runtime.block_on(async {
            warm_up().await;
            let _ = told.send((Handle::current(), spawn_some(AROUND, spawned)));
            gate.wait();
        });
    });
    let (handle, ids) = tells.recv().expect("it tells");
    tell(1, "local", 0, &ids);
    tell(1, "injection", 1, &from_outside(&handle, 3));
    thread
}

fn main() {
    let gate = Arc::new(Gate::default());
    let multi = multi_thread(&gate);
    let current = current_thread(&gate);
    ready();
    gate.open();
    let _ = current.join();
    drop(multi);
}
