//! Tasks that wait for each other in a circle, and such that only seem to.

use super::Case;
use super::told::{Fault, may_be_told, ready_soon_and_wait, runtime};
use std::sync::{Arc, Mutex as Note};
use std::time::Duration;
use tokio::sync::{Barrier, Mutex, RwLock, mpsc, oneshot, watch};

pub const CASES: &[Case] = &[
    ("deadlock-ab-ba", || ring::<2>(false)),
    ("deadlock-three", || ring::<3>(false)),
    ("deadlock-three-not", || ring::<3>(true)),
    ("deadlock-join", joins),
    ("deadlock-upgrade", upgrades),
    ("deadlock-oneself", oneself),
    ("deadlock-channels", || channels(true)),
    ("deadlock-channels-given", || channels(false)),
    ("deadlock-oneshot", answers),
    ("deadlock-oneshot-not", answers_elsewhere),
    ("deadlock-own-sender", || own_sender(false)),
    ("deadlock-own-sender-not", || own_sender(true)),
    ("deadlock-timeout-not", times_out),
    ("deadlock-chain-not", chain),
    ("deadlock-busy-not", busy),
    ("deadlock-beside-not", beside),
];

/// Everyone takes a lock and wants its neighbour's. `open`: but for the last one, who wants none.
fn ring<const N: usize>(open: bool) {
    let runtime = runtime(2);
    let locks: [Arc<Mutex<u64>>; N] = std::array::from_fn(|nth| Arc::new(Mutex::new(nth as u64)));
    let barrier = Arc::new(Barrier::new(N));
    let lines = Arc::new(Note::new(Vec::new()));
    let tasks: Vec<_> = (0..N)
        .map(|nth| {
            let (mine, theirs) = (locks[nth].clone(), locks[(nth + 1) % N].clone());
            let (barrier, lines) = (barrier.clone(), lines.clone());
            let waits_elsewhere = open && nth + 1 == N;
            runtime.spawn(async move {
                lines.lock().unwrap().push(line!() + 1);
                let guard = mine.lock().await;
                barrier.wait().await;
                if waits_elsewhere {
                    tokio::time::sleep(Duration::from_secs(600)).await;
                } else {
                    lines.lock().unwrap().push(line!() + 1);
                    *theirs.lock().await += *guard;
                }
            })
        })
        .collect();
    std::thread::sleep(Duration::from_millis(100));
    if !open {
        let lines = lines.lock().unwrap().clone();
        Fault::proven("deadlock").tasks(tasks.iter().map(|task| task.id())).lines(lines).is_here();
    }
    ready_soon_and_wait()
}

/// One joins another, which wants a lock that the first holds.
fn joins() {
    let runtime = runtime(2);
    let lock = Arc::new(Mutex::new(0_u64));
    let (tell, told) = oneshot::channel();
    let handle = runtime.handle().clone();
    let outer = runtime.spawn(async move {
        let wanted = lock.clone();
        let guard = lock.lock().await;
        let child = handle.spawn(async move {
            *wanted.lock().await += 1;
        });
        let _ = tell.send((child.id(), [line!() + 1, line!() - 2, line!() - 4]));
        let _ = child.await;
        drop(guard);
    });
    let (child, lines) = told.blocking_recv().expect("it goes there");
    Fault::proven("deadlock").tasks([outer.id(), child]).lines(lines).is_here();
    ready_soon_and_wait()
}

/// Two readers that both want to write.
fn upgrades() {
    let runtime = runtime(2);
    let lock = Arc::new(RwLock::new(0_u64));
    let both = Arc::new(Barrier::new(2));
    let tasks = [(); 2].map(|()| {
        let (lock, both) = (lock.clone(), both.clone());
        runtime.spawn(async move {
            let seen = lock.read().await;
            both.wait().await;
            *lock.write().await += *seen;
        })
    });
    Fault::proven("deadlock").tasks(tasks.iter().map(|task| task.id())).lines([line!() - 3]).is_here();
    ready_soon_and_wait()
}

fn oneself() {
    let runtime = runtime(2);
    let task = runtime.spawn(async {
        let lock = Mutex::new(0_u64);
        let guard = lock.lock().await;
        *lock.lock().await += *guard;
    });
    let fault = Fault::proven("deadlock").tasks([task.id()]).lines([line!() - 2, line!() - 3]);
    fault.says("release the first guard").is_here();
    ready_soon_and_wait()
}

/// Two that send to each other, whose channels are full, and who do not receive. What a future was given it may have passed on to a
/// thread: it is known to keep only what it made itself.
fn channels(made: bool) {
    let runtime = runtime(2);
    let ((to_a, at_a), (to_b, at_b)) = (mpsc::channel(1), mpsc::channel(1));
    let (line, tasks) = if made {
        let ((tell_a, ask_b), (tell_b, ask_a)) = (oneshot::channel(), oneshot::channel());
        let sends = |tell: oneshot::Sender<mpsc::Sender<u64>>, ask: oneshot::Receiver<mpsc::Sender<u64>>| async move {
            let (own, mut at) = mpsc::channel(1);
            let _ = tell.send(own);
            let to = ask.await.expect("the other tells");
            for nth in 0..9 {
                let _ = to.send(nth).await;
            }
            at.recv().await
        };
        (line!() - 4, [runtime.spawn(sends(tell_a, ask_a)), runtime.spawn(sends(tell_b, ask_b))])
    } else {
        let sends = |to: mpsc::Sender<u64>, mut at: mpsc::Receiver<u64>| async move {
            for nth in 0..9 {
                let _ = to.send(nth).await;
            }
            at.recv().await
        };
        (line!() - 4, [runtime.spawn(sends(to_b, at_a)), runtime.spawn(sends(to_a, at_b))])
    };
    let ids = tasks.iter().map(|task| task.id());
    let fault = if made { Fault::proven("deadlock") } else { Fault::possible("deadlock") };
    fault.tasks(ids).lines([line]).is_here();
    may_be_told("channel-full");
    ready_soon_and_wait()
}

/// One waits for an answer while it has the lock that whoever is to answer wants.
fn answers() {
    let runtime = runtime(2);
    let lock = Arc::new(Mutex::new(0_u64));
    let (pass, passed) = oneshot::channel::<oneshot::Receiver<u64>>();
    let wanted = lock.clone();
    let asks = runtime.spawn(async move {
        let guard = lock.lock().await;
        let told = passed.await.expect("it is passed");
        told.await.unwrap_or(0) + *guard
    });
    let answers = runtime.spawn(async move {
        let tell = promises(pass);
        tokio::time::sleep(Duration::from_millis(50)).await;
        let answer = *wanted.lock().await;
        tell.send(answer)
    });
    let lines = [line!() - 8, line!() - 3];
    Fault::proven("deadlock").tasks([asks.id(), answers.id()]).lines(lines).is_here();
    ready_soon_and_wait()
}

fn promises(pass: oneshot::Sender<oneshot::Receiver<u64>>) -> oneshot::Sender<u64> {
    let (tell, told) = oneshot::channel();
    let _ = pass.send(told);
    tell
}

/// The same, but a thread may answer.
fn answers_elsewhere() {
    let runtime = runtime(2);
    let lock = Arc::new(Mutex::new(0_u64));
    let (_tell, told) = oneshot::channel::<u64>();
    let wanted = lock.clone();
    runtime.spawn(async move {
        let guard = lock.lock().await;
        told.await.unwrap_or(0) + *guard
    });
    runtime.spawn(async move {
        tokio::time::sleep(Duration::from_millis(50)).await;
        *wanted.lock().await += 1;
    });
    ready_soon_and_wait()
}

/// Receives until all senders are gone, and keeps one itself. `open`: a thread has another.
fn own_sender(open: bool) {
    let runtime = runtime(2);
    let (tell, told) = std::sync::mpsc::channel();
    let task = runtime.spawn(async move {
        let (to, mut at) = mpsc::channel::<u64>(4);
        let _ = tell.send(to.clone());
        let mut sum = 0;
        while let Some(next) = at.recv().await {
            sum += next;
        }
        drop(to);
        sum
    });
    let _elsewhere = told.recv().ok().filter(|_| open);
    if !open {
        let fault = Fault::proven("deadlock").tasks([task.id()]).lines([line!() - 8]);
        fault.says("drop the Sender that this task keeps").is_here();
    }
    ready_soon_and_wait()
}

/// In a circle, but one of them will not wait for ever.
fn times_out() {
    let runtime = runtime(2);
    let locks = [Arc::new(Mutex::new(0_u64)), Arc::new(Mutex::new(0_u64))];
    let both = Arc::new(Barrier::new(2));
    for nth in 0..2 {
        let (mine, theirs, both) = (locks[nth].clone(), locks[1 - nth].clone(), both.clone());
        runtime.spawn(async move {
            let guard = mine.lock().await;
            both.wait().await;
            if nth == 0 {
                let _ = tokio::time::timeout(Duration::from_secs(600), theirs.lock()).await;
            } else {
                *theirs.lock().await += *guard;
            }
        });
    }
    ready_soon_and_wait()
}

/// Many wait one behind the other, and the first of them for time.
fn chain() {
    let runtime = runtime(2);
    let locks: Vec<_> = (0..20_u64).map(|nth| Arc::new(Mutex::new(nth))).collect();
    for nth in 0..locks.len() {
        let mine = locks[nth].clone();
        let next = locks.get(nth + 1).cloned();
        runtime.spawn(async move {
            let guard = mine.lock().await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            match next {
                Some(next) => *next.lock().await += *guard,
                None => tokio::time::sleep(Duration::from_secs(600)).await,
            }
        });
    }
    may_be_told("lock-convoy");
    ready_soon_and_wait()
}

/// Locks go round as fast as they can: a snapshot that is not atomic may see circles that never were.
fn busy() {
    let runtime = runtime(2);
    let locks: Vec<_> = (0..3_u64).map(|nth| Arc::new(Mutex::new(nth))).collect();
    for nth in 0..12 {
        let locks = locks.clone();
        runtime.spawn(async move {
            loop {
                // Always in the order of the list, whichever two it takes.
                let (first, second) = [(0, 1), (1, 2), (0, 2)][nth % 3];
                let guard = locks[first].lock().await;
                tokio::time::sleep(Duration::from_micros(100)).await;
                *locks[second].lock().await += *guard;
                drop(guard);
                tokio::task::yield_now().await;
            }
        });
    }
    may_be_told("lock-convoy");
    ready_soon_and_wait()
}

/// Reads from a socket, or until it is told to stop: as servers do. Who would tell it waits for its end.
fn beside() {
    let runtime = runtime(2);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let socket = std::net::TcpStream::connect(listener.local_addr().expect("it has one")).expect("connects");
    socket.set_nonblocking(true).expect("a socket");
    let (stop, mut stopped) = watch::channel(());
    let serves = runtime.spawn(async move {
        tokio::select! {
            byte = reads(socket) => byte,
            _ = stopped.changed() => None,
        }
    });
    runtime.spawn(async move {
        let byte = serves.await;
        drop(stop);
        byte
    });
    ready_soon_and_wait()
}

async fn reads(socket: std::net::TcpStream) -> Option<u8> {
    let mut socket = tokio::net::TcpStream::from_std(socket).ok()?;
    tokio::io::AsyncReadExt::read_u8(&mut socket).await.ok()
}
