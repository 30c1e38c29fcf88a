//! Guards that are gone, in every way in which a compiler may leave their bytes where they were.
//!
//! Each case comes twice: with the lock free, and with the lock held by somebody whom nobody can see.

use super::waiter;
use std::future::{Future, pending};
use std::sync::Arc;
use tokio::sync::Mutex;
use truth::resources::{Case, Claim, keep, start};

/// What a case does with its guard, after which it lets the lock be held unseen or not.
#[derive(Clone)]
pub struct Lock {
    pub lock: Arc<Mutex<u64>>,
    unseen: bool,
}

impl Lock {
    /// From here on the lock is held by nobody who can be found, if it is to be.
    pub fn now_unseen(&self) {
        if self.unseen {
            keep(self.lock.clone().try_lock_owned().expect("it is free again"));
        }
    }
}

/// Says that it takes the lock on the line below, and that it will have it no longer when it stands.
#[track_caller]
pub fn takes(case: Case, lock: &Lock) {
    case.takes("mutex", "exclusive", &*lock.lock, Claim::Possible);
}

pub fn both<F>(name: &str, body: impl Fn(Case, Lock) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    for unseen in [false, true] {
        let lock = Arc::new(Mutex::new(0_u64));
        let name = format!("{name}, {}", if unseen { "then held unseen" } else { "then free" });
        let given = Lock { lock: lock.clone(), unseen };
        let suspect = start(&name, |case| body(case, given));
        if unseen {
            waiter(&name, lock, suspect, Claim::Possible);
        }
    }
}

pub fn start_all() {
    dropped();
    conditional();
    options();
    scopes();
}

fn dropped() {
    both("dropped, never used", |case, lock| async move {
        takes(case, &lock);
        let guard = lock.lock.lock().await;
        drop(guard);
        lock.now_unseen();
        case.stands();
        pending::<()>().await;
    });
    both("dropped after use", |case, lock| async move {
        takes(case, &lock);
        let mut guard = lock.lock.lock().await;
        *guard += 1;
        drop(guard);
        lock.now_unseen();
        case.stands();
        pending::<()>().await;
    });
    both("an owned guard dropped after use", |case, lock| async move {
        takes(case, &lock);
        let mut guard = lock.lock.clone().lock_owned().await;
        *guard += 1;
        drop(guard);
        lock.now_unseen();
        case.stands();
        pending::<()>().await;
    });
    both("dropped after it was kept across an await", |case, lock| async move {
        takes(case, &lock);
        let mut guard = lock.lock.lock().await;
        tokio::task::yield_now().await;
        *guard += 1;
        drop(guard);
        lock.now_unseen();
        case.stands();
        pending::<()>().await;
    });
    both("a tuple whose guard was dropped", |case, lock| async move {
        takes(case, &lock);
        let mut pair = (String::from("kept"), lock.lock.lock().await);
        *pair.1 += 1;
        drop(pair.1);
        lock.now_unseen();
        case.stands();
        pending::<()>().await;
        drop(pair.0);
    });
    both("forgotten, and let go by hand", |case, lock| async move {
        takes(case, &lock);
        let mut guard = lock.lock.clone().lock_owned().await;
        *guard += 1;
        let kept = std::mem::ManuallyDrop::new(guard);
        drop(std::mem::ManuallyDrop::into_inner(kept));
        lock.now_unseen();
        case.stands();
        pending::<()>().await;
    });
}

fn conditional() {
    let yes = std::hint::black_box(true);
    both("dropped in the branch that was taken", move |case, lock| async move {
        takes(case, &lock);
        let mut guard = lock.lock.lock().await;
        *guard += 1;
        if yes {
            drop(guard);
        }
        lock.now_unseen();
        case.stands();
        pending::<()>().await;
    });
    both("only taken in a branch that was not", move |case, lock| async move {
        let guard;
        if !yes {
            guard = lock.lock.lock().await;
            std::hint::black_box(*guard);
        }
        takes(case, &lock);
        lock.now_unseen();
        case.stands();
        pending::<()>().await;
    });
    both("of an earlier round", move |case, lock| async move {
        for round in 0..2 {
            if round == 1 {
                lock.now_unseen();
                case.stands();
                pending::<()>().await;
            }
            takes(case, &lock);
            let mut guard = lock.lock.lock().await;
            tokio::task::yield_now().await;
            *guard += 1;
        }
    });
    let lock = Arc::new(Mutex::new(0_u64));
    let same = lock.clone();
    let holder = start("dropped in a branch that was not taken", |case| async move {
        case.takes("mutex", "exclusive", &*same, Claim::Told);
        let mut guard = same.lock().await;
        *guard += 1;
        if !yes {
            drop(guard);
        }
        case.stands();
        pending::<()>().await;
    });
    waiter("dropped in a branch that was not taken", lock, holder, Claim::Told);
}

fn options() {
    both("Option::take", |case, lock| async move {
        takes(case, &lock);
        let mut guard = Some(lock.lock.lock().await);
        drop(guard.take());
        lock.now_unseen();
        case.stands();
        pending::<()>().await;
        drop(guard);
    });
    both("an Option set to None", |case, lock| async move {
        takes(case, &lock);
        let mut guard = Some(lock.lock.clone().lock_owned().await);
        std::hint::black_box(&guard);
        guard = None;
        lock.now_unseen();
        case.stands();
        pending::<()>().await;
        drop(guard);
    });
    both("a Vec that was cleared", |case, lock| async move {
        takes(case, &lock);
        let mut guards = vec![lock.lock.lock().await];
        guards.clear();
        lock.now_unseen();
        case.stands();
        pending::<()>().await;
        drop(guards);
    });
    both("replaced by another's guard", |case, lock| async move {
        let other = Arc::new(Mutex::new(0_u64));
        takes(case, &lock);
        let mut guard = lock.lock.lock().await;
        *guard += 1;
        case.takes("mutex", "exclusive", &*other, Claim::Told);
        guard = other.lock().await;
        lock.now_unseen();
        case.stands();
        pending::<()>().await;
        drop(guard);
    });
}

fn scopes() {
    both("in a scope that is over", |case, lock| async move {
        {
            takes(case, &lock);
            let mut guard = lock.lock.lock().await;
            tokio::task::yield_now().await;
            *guard += 1;
        }
        lock.now_unseen();
        case.stands();
        pending::<()>().await;
    });
    both("a temporary of a statement that is over", |case, lock| async move {
        takes(case, &lock);
        *lock.lock.lock().await += 1;
        lock.now_unseen();
        case.stands();
        pending::<()>().await;
    });
    both("in a future that is over and kept", |case, lock| async move {
        let same = lock.clone();
        let mut over = Box::pin(async move {
            takes(case, &same);
            let mut guard = same.lock.lock().await;
            tokio::task::yield_now().await;
            *guard += 1;
        });
        over.as_mut().await;
        lock.now_unseen();
        case.stands();
        pending::<()>().await;
        drop(over);
    });
    both("in a branch of select! that lost", |case, lock| async move {
        let same = lock.clone();
        tokio::select! {
            () = async {
                takes(case, &same);
                let guard = same.lock.lock().await;
                pending::<()>().await;
                drop(guard);
            } => {}
            () = tokio::time::sleep(std::time::Duration::from_millis(20)) => {}
        }
        lock.now_unseen();
        case.stands();
        pending::<()>().await;
    });
    both("shadowed and dropped, under the same name", |case, lock| async move {
        let other = Arc::new(Mutex::new(0_u64));
        takes(case, &lock);
        let mut guard = lock.lock.lock().await;
        *guard += 1;
        drop(guard);
        case.takes("mutex", "exclusive", &*other, Claim::Any);
        let mut guard = other.lock().await;
        *guard += 1;
        lock.now_unseen();
        case.stands();
        pending::<()>().await;
        drop(guard);
    });
}
