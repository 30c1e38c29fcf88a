//! Every kind of guard that tokio has.

use std::future::{Future, pending};
use std::sync::Arc;
use tokio::sync::{
    MappedMutexGuard, Mutex, MutexGuard, OwnedMutexGuard, OwnedRwLockWriteGuard, RwLock, RwLockReadGuard,
    RwLockWriteGuard, Semaphore, mpsc,
};
use truth::resources::{Case, Claim, Wait, standing, start};

/// A pair whose first half a mapped guard is of.
type Halves = (u64, u64);

pub fn start_all() {
    mapped();
    readers();
    writers();
    permits();
    channels();
}

fn holds<F>(name: &str, body: impl FnOnce(Case) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    start(name, body);
}

fn mapped() {
    holds("MappedMutexGuard", |case| async move {
        let lock = Mutex::<Halves>::new((1, 2));
        case.takes("mutex", "exclusive", &lock, Claim::Told);
        let guard: MappedMutexGuard<u64> = MutexGuard::map(lock.lock().await, |halves| &mut halves.1);
        case.stands();
        pending::<()>().await;
        drop(guard);
    });
    holds("OwnedMappedMutexGuard", |case| async move {
        let lock = Arc::new(Mutex::<Halves>::new((1, 2)));
        case.takes("mutex", "exclusive", &*lock, Claim::Told);
        let guard = OwnedMutexGuard::map(lock.lock_owned().await, |halves| &mut halves.1);
        case.stands();
        pending::<()>().await;
        drop(guard);
    });
    holds("RwLockReadGuard, mapped", |case| async move {
        let lock = RwLock::<Halves>::new((1, 2));
        case.takes("rwlock", "shared", &lock, Claim::Told);
        let guard = RwLockReadGuard::map(lock.read().await, |halves| &halves.1);
        case.stands();
        pending::<()>().await;
        drop(guard);
    });
    holds("RwLockMappedWriteGuard", |case| async move {
        let lock = RwLock::<Halves>::new((1, 2));
        case.takes("rwlock", "exclusive", &lock, Claim::Told);
        let guard = RwLockWriteGuard::map(lock.write().await, |halves| &mut halves.1);
        case.stands();
        pending::<()>().await;
        drop(guard);
    });
    holds("OwnedRwLockMappedWriteGuard", |case| async move {
        let lock = Arc::new(RwLock::<Halves>::new((1, 2)));
        case.takes("rwlock", "exclusive", &*lock, Claim::Told);
        let guard = OwnedRwLockWriteGuard::map(lock.write_owned().await, |halves| &mut halves.1);
        case.stands();
        pending::<()>().await;
        drop(guard);
    });
}

fn readers() {
    let lock = Arc::new(RwLock::new(0_u64));
    let mut holders = Vec::new();
    for name in ["RwLockReadGuard", "RwLockReadGuard, a second one"] {
        let lock = lock.clone();
        holders.push(start(name, |case| async move {
            case.takes("rwlock", "shared", &*lock, Claim::Told);
            let guard = lock.read().await;
            case.stands();
            pending::<()>().await;
            drop(guard);
        }));
    }
    let same = lock.clone();
    holders.push(start("OwnedRwLockReadGuard", |case| async move {
        case.takes("rwlock", "shared", &*same, Claim::Told);
        let guard = same.clone().read_owned().await;
        case.stands();
        pending::<()>().await;
        drop(guard);
    }));
    start("write, behind three readers", |case| async move {
        for holder in &holders {
            standing(*holder).await;
        }
        case.waits(Wait::of("rwlock").at(&*lock).held_by(&holders, Claim::Told));
        case.stands();
        *lock.write().await += 1;
    });
}

fn writers() {
    let lock = Arc::new(RwLock::new(0_u64));
    let same = lock.clone();
    let writer = start("RwLockWriteGuard", |case| async move {
        case.takes("rwlock", "exclusive", &*same, Claim::Proven);
        let guard = same.write().await;
        case.stands();
        pending::<()>().await;
        drop(guard);
    });
    start("read, behind a writer", |case| async move {
        standing(writer).await;
        case.waits(Wait::of("rwlock").at(&*lock).held_by(&[writer], Claim::Proven));
        case.stands();
        std::hint::black_box(*lock.read().await);
    });
    holds("OwnedRwLockWriteGuard", |case| async move {
        let lock = Arc::new(RwLock::new(0_u64));
        case.takes("rwlock", "exclusive", &*lock, Claim::Proven);
        let guard = lock.clone().write_owned().await;
        case.stands();
        pending::<()>().await;
        drop(guard);
    });
    holds("RwLockReadGuard, downgraded from a writer", |case| async move {
        let lock = RwLock::new(0_u64);
        let writer = lock.write().await;
        case.takes("rwlock", "shared", &lock, Claim::Told);
        let guard = writer.downgrade();
        case.stands();
        pending::<()>().await;
        drop(guard);
    });
}

fn permits() {
    let semaphore = Arc::new(Semaphore::new(6));
    let same = semaphore.clone();
    let mut holders = Vec::new();
    holders.push(start("SemaphorePermit, one of six", |case| async move {
        case.takes("semaphore", "permits", &*same, Claim::Told);
        let permit = same.acquire().await;
        case.stands();
        pending::<()>().await;
        drop(permit);
    }));
    let same = semaphore.clone();
    holders.push(start("SemaphorePermit, two of six", |case| async move {
        case.takes("semaphore", "permits", &*same, Claim::Told);
        let permit = same.acquire_many(2).await.expect("nobody closes it");
        case.stands();
        pending::<()>().await;
        drop(permit);
    }));
    let same = semaphore.clone();
    holders.push(start("OwnedSemaphorePermit, three of six", |case| async move {
        case.takes("semaphore", "permits", &*same, Claim::Told);
        let permit = same.clone().acquire_many_owned(3).await.expect("nobody closes it");
        case.stands();
        pending::<()>().await;
        drop(permit);
    }));
    start("acquire, with all six taken", |case| async move {
        for holder in &holders {
            standing(*holder).await;
        }
        case.waits(Wait::of("semaphore").at(&*semaphore).held_by(&holders, Claim::Told));
        case.stands();
        let _ = semaphore.acquire().await;
    });
    holds("SemaphorePermit, forgotten", |case| async move {
        let semaphore = Semaphore::new(1);
        case.takes("semaphore", "permits", &semaphore, Claim::Possible);
        let permit = semaphore.acquire().await.expect("nobody closes it");
        permit.forget();
        case.stands();
        pending::<()>().await;
    });
}

fn channels() {
    let (sender, receiver) = mpsc::channel::<u64>(1);
    let same = sender.clone();
    let holder = start("mpsc::Permit", |case| async move {
        let permit = same.reserve().await;
        case.has_end("mpsc", "permits", "reserved").has_end("mpsc", "sender", "reserved");
        case.stands();
        pending::<()>().await;
        drop(permit);
    });
    start("send, where the only permit is reserved", |case| async move {
        standing(holder).await;
        case.has_end("mpsc", "sender", "reserved").has_end("mpsc", "receiver", "reserved");
        case.waits(Wait::of("mpsc").channel("reserved").held_by(&[holder], Claim::Any));
        case.stands();
        let _ = sender.send(1).await;
        drop(receiver);
    });
    holds("mpsc::OwnedPermit", |case| async move {
        let (sender, receiver) = mpsc::channel::<u64>(1);
        let permit = sender.reserve_owned().await;
        case.has_end("mpsc", "permits", "owned").has_end("mpsc", "receiver", "owned");
        case.stands();
        pending::<()>().await;
        drop((permit, receiver));
    });
}
