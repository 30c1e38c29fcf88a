//! Tasks that wait for each other in a circle, each ring apart from the others.

use std::sync::Arc;
use tokio::sync::{Barrier, Mutex, RwLock, Semaphore, oneshot};
use tokio::task::JoinHandle;
use truth::resources::{Case, Claim, Wait, start};

/// Everyone takes the first of its locks, then, when all have theirs, wants its neighbour's.
fn ring<const N: usize>(name: &str) {
    let locks: [Arc<Mutex<u64>>; N] = std::array::from_fn(|nth| Arc::new(Mutex::new(nth as u64)));
    let all_have_theirs = Arc::new(Barrier::new(N));
    let cases: [Case; N] = std::array::from_fn(|nth| Case::named(&format!("{name}, {}", nth + 1)));
    for nth in 0..N {
        let (case, next) = (cases[nth], cases[(nth + 1) % N]);
        let (mine, theirs) = (locks[nth].clone(), locks[(nth + 1) % N].clone());
        let all = all_have_theirs.clone();
        case.runs(async move {
            case.takes("mutex", "exclusive", &*mine, Claim::Proven);
            let guard = mine.lock().await;
            all.wait().await;
            case.waits(Wait::of("mutex").at(&*theirs).held_by(&[next], Claim::Proven));
            case.stands();
            *theirs.lock().await += *guard;
        });
    }
}

/// Two readers that both want to write.
fn upgrades() {
    let lock = Arc::new(RwLock::new(0_u64));
    let both_read = Arc::new(Barrier::new(2));
    let cases = ["RwLock upgrade, 1", "RwLock upgrade, 2"].map(Case::named);
    for case in cases {
        let (lock, both) = (lock.clone(), both_read.clone());
        case.runs(async move {
            case.takes("rwlock", "shared", &*lock, Claim::Told);
            let seen = lock.read().await;
            both.wait().await;
            // Itself among them.
            case.waits(Wait::of("rwlock").at(&*lock).held_by(&cases, Claim::Told));
            case.stands();
            *lock.write().await += *seen;
        });
    }
}

/// Two that each have one of two permits and want both.
fn permits() {
    let semaphore = Arc::new(Semaphore::new(2));
    let both_have_one = Arc::new(Barrier::new(2));
    let cases = ["semaphore cycle, 1", "semaphore cycle, 2"].map(Case::named);
    for case in cases {
        let (semaphore, both) = (semaphore.clone(), both_have_one.clone());
        case.runs(async move {
            case.takes("semaphore", "permits", &*semaphore, Claim::Told);
            let permit = semaphore.acquire().await;
            both.wait().await;
            case.waits(Wait::of("semaphore").at(&*semaphore).held_by(&cases, Claim::Told));
            case.stands();
            let second = semaphore.acquire().await;
            drop((permit, second));
        });
    }
}

/// A joins B, which waits for a lock that A holds.
fn joins() {
    let lock = Arc::new(Mutex::new(0_u64));
    let (joins, is_joined) = (Case::named("join cycle, who joins"), Case::named("join cycle, who is joined"));
    let same = lock.clone();
    joins.runs(async move {
        joins.takes("mutex", "exclusive", &*same, Claim::Proven);
        let guard = same.lock().await;
        let wanted = same.clone();
        let child: JoinHandle<()> = is_joined.runs_and_is_joined(async move {
            is_joined.waits(Wait::of("mutex").at(&*wanted).held_by(&[joins], Claim::Proven));
            is_joined.stands();
            *wanted.lock().await += 1;
        });
        joins.waits(Wait::of("join").task(&child).held_by(&[is_joined], Claim::Told));
        joins.stands();
        let _ = child.await;
        drop(guard);
    });
}

fn oneself() {
    let itself = Case::named("waits for a lock of its own");
    itself.runs(async move {
        let lock = Mutex::new(0_u64);
        itself.takes("mutex", "exclusive", &lock, Claim::Proven);
        let guard = lock.lock().await;
        itself.waits(Wait::of("mutex").at(&lock).held_by(&[itself], Claim::Proven));
        itself.stands();
        *lock.lock().await += *guard;
    });
    let reads_twice = Case::named("reads, while a writer waits behind its own reading");
    let lock = Arc::new(RwLock::new(0_u64));
    let same = lock.clone();
    let (has_read, first_reading) = oneshot::channel::<()>();
    let (queued, writer_waits) = oneshot::channel::<()>();
    reads_twice.runs(async move {
        reads_twice.takes("rwlock", "shared", &*same, Claim::Told);
        let first = same.read().await;
        let _ = has_read.send(());
        let _ = writer_waits.await;
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        // The lock is fair: it waits behind the writer, which waits for its own first reading.
        reads_twice.waits(Wait::of("rwlock").at(&*same).held_by(&[reads_twice], Claim::Any));
        reads_twice.stands();
        let second = same.read().await;
        drop((first, second));
    });
    start("writes, behind somebody who reads twice", |case| async move {
        let _ = first_reading.await;
        case.waits(Wait::of("rwlock").at(&*lock).held_by(&[reads_twice], Claim::Told));
        let _ = queued.send(());
        case.stands();
        *lock.write().await += 1;
    });
}

/// Each would answer when it has its own answer.
fn answers() {
    let (to_first, first) = oneshot::channel::<u64>();
    let (to_second, second) = oneshot::channel::<u64>();
    let [one, two] = ["oneshot cycle, 1", "oneshot cycle, 2"].map(Case::named);
    one.runs(async move {
        one.has_end("oneshot", "sender", "second");
        one.waits(Wait::of("oneshot").channel("first").held_by(&[two], Claim::Told));
        one.stands();
        let answer = first.await;
        let _ = to_second.send(answer.unwrap_or(0));
    });
    two.runs(async move {
        two.has_end("oneshot", "sender", "first");
        two.waits(Wait::of("oneshot").channel("second").held_by(&[one], Claim::Told));
        two.stands();
        let answer = second.await;
        let _ = to_first.send(answer.unwrap_or(0));
    });
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime with two workers");
    runtime.block_on(async {
        ring::<2>("AB/BA");
        ring::<3>("three in a ring");
        upgrades();
        permits();
        joins();
        oneself();
        answers();
    });
    truth::resources::tell_and_wait();
}
