//! Where a task may keep a guard.

use super::waiter;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::{Mutex, MutexGuard, OwnedMutexGuard};
use truth::resources::{Case, Claim, start};

/// A task that holds a lock of its own, and one that waits for it.
fn held<F>(name: &str, claim: Claim, body: impl FnOnce(Case, Arc<Mutex<u64>>) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let lock = Arc::new(Mutex::new(0_u64));
    let same = lock.clone();
    let holder = start(name, |case| body(case, same));
    waiter(name, lock, holder, claim);
}

fn takes(case: Case, lock: &Mutex<u64>, claim: Claim) -> Taken<'_> {
    Taken { case, lock, claim }
}

/// Says on the line above that a lock is taken.
struct Taken<'a> {
    case: Case,
    lock: &'a Mutex<u64>,
    claim: Claim,
}

impl Taken<'_> {
    #[track_caller]
    fn below(self) {
        self.case.takes("mutex", "exclusive", self.lock, self.claim);
    }
}

struct Keeper<G> {
    name: &'static str,
    guard: G,
}

pub fn start_all() {
    plain();
    frames();
    wrapped();
    pointed_at();
}

fn plain() {
    held("a local", Claim::Proven, |case, lock| async move {
        takes(case, &lock, Claim::Proven).below();
        let guard = lock.lock().await;
        case.stands();
        pending::<()>().await;
        drop(guard);
    });
    held("a local that was used", Claim::Proven, |case, lock| async move {
        takes(case, &lock, Claim::Proven).below();
        let mut guard = lock.lock().await;
        *guard += 1;
        case.stands();
        pending::<()>().await;
        std::hint::black_box(*guard);
    });
    held("a local that is never named again", Claim::Proven, |case, lock| async move {
        takes(case, &lock, Claim::Proven).below();
        let _guard = lock.lock().await;
        case.stands();
        pending::<()>().await;
    });
    held("an owned guard", Claim::Proven, |case, lock| async move {
        takes(case, &lock, Claim::Proven).below();
        let guard = lock.clone().lock_owned().await;
        case.stands();
        pending::<()>().await;
        drop(guard);
    });
    held("try_lock", Claim::Proven, |case, lock| async move {
        takes(case, &lock, Claim::Proven).below();
        let guard = lock.try_lock().expect("nobody has it");
        case.stands();
        pending::<()>().await;
        drop(guard);
    });
    held("a temporary of a match", Claim::Any, |case, lock| async move {
        takes(case, &lock, Claim::Any).below();
        match *lock.lock().await {
            0 => {
                case.stands();
                pending::<()>().await;
            }
            more => {
                std::hint::black_box(more);
            }
        }
    });
}

fn frames() {
    async fn inner(case: Case, lock: &Mutex<u64>) {
        takes(case, lock, Claim::Proven).below();
        let guard = lock.lock().await;
        case.stands();
        pending::<()>().await;
        drop(guard);
    }
    async fn given(case: Case, guard: MutexGuard<'_, u64>) {
        case.stands();
        pending::<()>().await;
        drop(guard);
    }
    held("the frame of an inner async fn", Claim::Proven, |case, lock| async move {
        inner(case, &lock).await;
    });
    // Its parameter and the local it is moved into have one name, and so one place in debug information.
    held("an argument", Claim::Told, |case, lock| async move {
        takes(case, &lock, Claim::Told).below();
        let guard = lock.lock().await;
        given(case, guard).await;
    });
    held("the capture of an async block", Claim::Told, |case, lock| async move {
        takes(case, &lock, Claim::Told).below();
        let guard = lock.clone().lock_owned().await;
        let block = async move {
            case.stands();
            pending::<()>().await;
            drop(guard);
        };
        block.await;
    });
    held("the capture of an async block that has not begun", Claim::Told, |case, lock| async move {
        takes(case, &lock, Claim::Told).below();
        let guard = lock.clone().lock_owned().await;
        let block = async move { drop(guard) };
        case.stands();
        pending::<()>().await;
        block.await;
    });
    held("a field of a hand-written future", Claim::Told, |case, lock| async move {
        takes(case, &lock, Claim::Told).below();
        let guard = lock.clone().lock_owned().await;
        let waiting = Waiting { guard: Some(guard), inner: Box::pin(pending()) };
        case.stands();
        waiting.await;
    });
}

/// Lets go of its guard when what it waits for is over.
struct Waiting {
    guard: Option<OwnedMutexGuard<u64>>,
    inner: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Future for Waiting {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        std::task::ready!(self.inner.as_mut().poll(cx));
        self.guard = None;
        Poll::Ready(())
    }
}

fn wrapped() {
    held("a tuple", Claim::Proven, |case, lock| async move {
        takes(case, &lock, Claim::Proven).below();
        let pair = (7_u64, lock.lock().await);
        case.stands();
        pending::<()>().await;
        drop(pair);
    });
    held("a field of a struct", Claim::Proven, |case, lock| async move {
        takes(case, &lock, Claim::Proven).below();
        let keeper = Keeper { name: "keeper", guard: lock.lock().await };
        case.stands();
        pending::<()>().await;
        std::hint::black_box((keeper.name, *keeper.guard));
    });
    held("Some(guard)", Claim::Told, |case, lock| async move {
        takes(case, &lock, Claim::Told).below();
        let guard = Some(lock.lock().await);
        case.stands();
        pending::<()>().await;
        drop(guard);
    });
    held("Ok(guard)", Claim::Told, |case, lock| async move {
        takes(case, &lock, Claim::Told).below();
        let guard = lock.try_lock();
        case.stands();
        pending::<()>().await;
        drop(guard);
    });
}

fn pointed_at() {
    held("Vec<guard>", Claim::Told, |case, lock| async move {
        takes(case, &lock, Claim::Told).below();
        let guards = vec![lock.lock().await];
        case.stands();
        pending::<()>().await;
        drop(guards);
    });
    held("Box<guard>", Claim::Told, |case, lock| async move {
        takes(case, &lock, Claim::Told).below();
        let guard = Box::new(lock.lock().await);
        case.stands();
        pending::<()>().await;
        drop(guard);
    });
    held("Arc<struct { guard }>", Claim::Told, |case, lock| async move {
        takes(case, &lock, Claim::Told).below();
        let keeper = Arc::new(Keeper { name: "shared", guard: lock.clone().lock_owned().await });
        case.stands();
        pending::<()>().await;
        std::hint::black_box((keeper.name, *keeper.guard));
    });
    held("Vec<Option<struct { guard }>>", Claim::Told, |case, lock| async move {
        takes(case, &lock, Claim::Told).below();
        let keepers = vec![None, Some(Keeper { name: "second", guard: lock.lock().await })];
        case.stands();
        pending::<()>().await;
        for keeper in keepers.iter().flatten() {
            std::hint::black_box((keeper.name, *keeper.guard));
        }
    });
}
