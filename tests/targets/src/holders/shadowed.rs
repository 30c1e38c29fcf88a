//! Several guards of one name: debug information gives all of them the place of the first.

use std::future::pending;
use std::sync::Arc;
use tokio::sync::{Mutex, RwLock};
use truth::resources::{Case, Claim, start};

fn lock() -> Arc<Mutex<u64>> {
    Arc::new(Mutex::new(0))
}

fn keeps(case: Case, lock: &Mutex<u64>) {
    case.keeps("mutex", "exclusive", lock, Claim::Proven);
}

pub fn start_all() {
    start("two guards of one name, one shadowed", |case| async move {
        let (one, two) = (lock(), lock());
        let guard = one.lock().await;
        assert_eq!(*guard, 0);
        keeps(case, &one);
        let guard = two.lock().await;
        assert_eq!(*guard, 0);
        keeps(case, &two);
        case.stands();
        pending::<()>().await;
        drop(guard);
    });
    start("two guards of one name, of two types", |case| async move {
        let (one, two) = (lock(), lock());
        let guard = one.lock().await;
        assert_eq!(*guard, 0);
        keeps(case, &one);
        let guard = two.clone().lock_owned().await;
        assert_eq!(*guard, 0);
        keeps(case, &two);
        case.stands();
        pending::<()>().await;
        drop(guard);
    });
    start("three guards of one name", |case| async move {
        let locks = [lock(), lock(), lock()];
        let guard = locks[0].lock().await;
        assert_eq!(*guard, 0);
        keeps(case, &locks[0]);
        let guard = locks[1].lock().await;
        assert_eq!(*guard, 0);
        keeps(case, &locks[1]);
        let guard = locks[2].lock().await;
        assert_eq!(*guard, 0);
        keeps(case, &locks[2]);
        case.stands();
        pending::<()>().await;
        drop(guard);
    });
    start("three guards of one name, of two types", |case| async move {
        let (one, two) = (lock(), lock());
        let three = RwLock::new(0_u64);
        let guard = one.lock().await;
        assert_eq!(*guard, 0);
        keeps(case, &one);
        let guard = two.lock().await;
        assert_eq!(*guard, 0);
        // Where it lies, a read guard might as well.
        case.keeps("mutex", "exclusive", &*two, Claim::Any);
        case.keeps("rwlock", "shared|exclusive", &three, Claim::Any);
        let guard = three.read().await;
        assert_eq!(*guard, 0);
        case.stands();
        pending::<()>().await;
        drop(guard);
    });
    start("two guards of one name, of a lock to read and one to write", |case| async move {
        let (one, two) = (lock(), RwLock::new(0_u64));
        let guard = one.lock().await;
        assert_eq!(*guard, 0);
        keeps(case, &one);
        case.keeps("rwlock", "exclusive", &two, Claim::Any);
        let guard = two.write().await;
        assert_eq!(*guard, 0);
        case.stands();
        pending::<()>().await;
        drop(guard);
    });
    start("two guards of one name, the first dropped", |case| async move {
        let (one, two) = (lock(), lock());
        let guard = one.lock().await;
        assert_eq!(*guard, 0);
        drop(guard);
        let guard = two.lock().await;
        assert_eq!(*guard, 0);
        keeps(case, &two);
        let _one_is_free = one.try_lock().expect("nobody has it");
        keeps(case, &one);
        case.stands();
        pending::<()>().await;
        drop(guard);
    });
    start("two guards of one name, the second dropped", |case| async move {
        let (one, two) = (lock(), lock());
        let guard = one.lock().await;
        assert_eq!(*guard, 0);
        keeps(case, &one);
        {
            let guard = two.lock().await;
            assert_eq!(*guard, 0);
        }
        case.keeps("mutex", "exclusive", &*two, Claim::Possible);
        case.stands();
        pending::<()>().await;
        drop(guard);
    });
}
