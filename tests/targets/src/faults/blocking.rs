//! Tasks that block their threads, in calls that are recognised and in others, and such that may.

use super::Case;
use super::told::{Fault, may_be_told, ready_soon_and_wait, runtime};
use std::future::Future;
use std::io::Read as _;
use std::pin::pin;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

pub const CASES: &[Case] = &[
    ("blocking-call-sleep", sleeps_for_ever),
    ("blocking-call-repeated", sleeps_again_and_again),
    ("blocking-call-crowd", crowd_sleeps),
    ("blocking-call-file", || blocks("std::fs", reads_a_fifo)),
    ("blocking-call-net", || blocks("std::net", accepts)),
    ("blocking-call-lock", || blocks("std::sync::Mutex::lock", locks)),
    ("blocking-call-process", || blocks("std::process", waits_for_a_child)),
    ("blocking-call-channel", || blocks("std::sync::mpsc", receives)),
    ("blocking-call-block-on", || blocks("block_on", blocks_on)),
    ("blocking-call-pool-not", pool),
    ("blocking-call-pool-again-not", pool_again),
    ("blocking-call-in-place-not", in_place),
    ("blocking-call-short-not", short),
    ("blocked-executor-foreign", foreign),
    ("blocked-executor-foreign-repeated", foreign_repeated),
];

const LONG: Duration = Duration::from_secs(600);

fn sleeps_for_ever() {
    let runtime = runtime(2);
    let task = runtime.spawn(async {
        tokio::task::yield_now().await;
        thread::sleep(LONG);
    });
    let line = line!() - 2;
    Fault::proven("blocking-call").tasks([task.id()]).lines([line]).says("std::thread::sleep").is_here();
    ready_soon_and_wait()
}

fn sleeps_again_and_again() {
    let runtime = runtime(2);
    let task = runtime.spawn(async {
        loop {
            thread::sleep(Duration::from_millis(300));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let line = line!() - 4;
    Fault::proven("blocking-call").tasks([task.id()]).lines([line]).says("clock_nanosleep").is_here();
    ready_soon_and_wait()
}

/// One bug, whoever comes by it.
fn crowd_sleeps() {
    let runtime = runtime(2);
    let tasks: Vec<_> = (0..4)
        .map(|nth| {
            runtime.spawn(async move {
                tokio::time::sleep(Duration::from_millis(200 * nth)).await;
                loop {
                    thread::sleep(Duration::from_millis(120));
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            })
        })
        .collect();
    let line = line!() - 6;
    Fault::proven("blocking-call").tasks(tasks.iter().map(|task| task.id())).lines([line]).is_here();
    may_wait_for_its_worker();
    ready_soon_and_wait()
}

/// What else is right to say of programs all of whose workers are held up at times.
fn may_wait_for_its_worker() {
    super::told::may_be_told("starved-task");
    super::told::may_be_told("io-driver-stalled");
}

/// A task that calls `call`, which never returns and tells its line.
fn blocks(what: &str, call: fn(mpsc::Sender<u32>)) {
    let runtime = runtime(2);
    let (tell, told) = mpsc::channel();
    let task = runtime.spawn(async move {
        tokio::task::yield_now().await;
        call(tell);
    });
    let line = told.recv().expect("it goes there");
    Fault::proven("blocking-call").tasks([task.id()]).lines([line]).says(what).is_here();
    ready_soon_and_wait()
}

fn reads_a_fifo(tell: mpsc::Sender<u32>) {
    let path = std::env::temp_dir().join(format!("faults-{}.fifo", std::process::id()));
    let made = Command::new("mkfifo").arg(&path).status();
    assert!(made.is_ok_and(|status| status.success()), "mkfifo");
    // Opened for both, so that opening does not wait, and there is nothing to read.
    let mut file = std::fs::File::options().read(true).write(true).open(&path).expect("opens");
    std::fs::remove_file(&path).expect("removes");
    let _ = tell.send(line!() + 1);
    let _ = file.read(&mut [0; 8]);
}

fn accepts(tell: mpsc::Sender<u32>) {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("binds");
    let _ = tell.send(line!() + 1);
    let _ = listener.accept();
}

fn locks(tell: mpsc::Sender<u32>) {
    let lock = Arc::new(Mutex::new(0_u64));
    let (hold, held) = mpsc::channel();
    let theirs = lock.clone();
    thread::spawn(move || {
        let _guard = theirs.lock();
        let _ = hold.send(());
        thread::sleep(LONG);
    });
    let _ = held.recv();
    let _ = tell.send(line!() + 1);
    let mut value = lock.lock().expect("nobody panics");
    *value += 1;
}

fn waits_for_a_child(tell: mpsc::Sender<u32>) {
    // It ends as this program does: with stdin.
    let mut command = Command::new("cat");
    command.stdin(Stdio::inherit()).stdout(Stdio::null()).stderr(Stdio::null());
    let _ = tell.send(line!() + 1);
    let _ = command.status();
}

fn receives(tell: mpsc::Sender<u32>) {
    let (_never, nothing) = mpsc::channel::<u64>();
    let _ = tell.send(line!() + 1);
    let _ = nothing.recv();
}

fn blocks_on(tell: mpsc::Sender<u32>) {
    let (_never, nothing) = tokio::sync::oneshot::channel::<u64>();
    let _ = tell.send(line!() + 1);
    let _ = block_on(nothing);
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// As pollster and futures do it.
#[inline(never)]
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park();
    }
}

/// Where blocking calls belong.
fn pool() {
    let runtime = runtime(2);
    runtime.spawn(async {
        let _ = tokio::task::spawn_blocking(|| thread::sleep(LONG)).await;
    });
    ready_soon_and_wait()
}

/// The same while it is looked at: some sleep there, some compute.
fn pool_again() {
    let runtime = runtime(2);
    runtime.spawn(async {
        loop {
            let slept = tokio::task::spawn_blocking(|| thread::sleep(Duration::from_millis(150)));
            let computed = tokio::task::spawn_blocking(|| {
                let end = std::time::Instant::now() + Duration::from_millis(250);
                while std::time::Instant::now() < end {}
            });
            let _ = slept.await;
            let _ = computed.await;
        }
    });
    // It spawns two at once, but the next two only when both have ended.
    may_be_told("sequential-awaits");
    ready_soon_and_wait()
}

/// The worker's other tasks go on, on another thread.
fn in_place() {
    let runtime = runtime(2);
    runtime.spawn(async {
        tokio::task::yield_now().await;
        tokio::task::block_in_place(|| thread::sleep(LONG));
    });
    ready_soon_and_wait()
}

/// It is not good, and not worth a word.
fn short() {
    let runtime = runtime(2);
    for _ in 0..2 {
        runtime.spawn(async {
            loop {
                thread::sleep(Duration::from_millis(1));
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
    }
    ready_soon_and_wait()
}

unsafe extern "C" {
    fn usleep(microseconds: u32) -> i32;
}

/// Of a C library that nobody knows.
fn foreign() {
    let runtime = runtime(2);
    let task = runtime.spawn(async {
        tokio::task::yield_now().await;
        // SAFETY: it takes a number.
        unsafe { while usleep(600_000_000) != 0 {} }
    });
    let line = line!() - 2;
    Fault::proven("blocked-executor").tasks([task.id()]).lines([line]).says("clock_nanosleep").is_here();
    ready_soon_and_wait()
}

fn foreign_repeated() {
    let runtime = runtime(2);
    let task = runtime.spawn(async {
        loop {
            // SAFETY: it takes a number.
            unsafe { usleep(250_000) };
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let line = line!() - 4;
    Fault::proven("blocked-executor").tasks([task.id()]).lines([line]).says("usleep").is_here();
    ready_soon_and_wait()
}
