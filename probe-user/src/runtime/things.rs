//! What the sync types of tokio and its neighbours are to a task: a wait, a guard, an end of a channel.
//!
//! Told by path, and by the names of the members that lead to what is shared; checked against what debug information
//! says each time. A type whose members have other names is as good as unknown.

/// What is said of a value of a known type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Keeps others out while it lives.
    Guard(Admits),
    Sender,
    Receiver,
    /// A source of readiness: a socket, a pipe, any descriptor.
    Descriptor,
    /// What is shared, itself.
    Object,
    /// Keeps the waker of who is to be woken.
    Waker,
}

/// How many of a guard's kind a lock admits at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admits {
    One,
    Readers,
    /// As many permits as the member of this name says.
    Permits(&'static str),
    /// One permit.
    Permit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum ResourceKind {
    Timer,
    Mutex,
    RwLock,
    Semaphore,
    Mpsc,
    Oneshot,
    Watch,
    Broadcast,
    Notify,
    Barrier,
    Join,
    Io,
    OnceCell,
    Unknown,
}

impl ResourceKind {
    /// The word of the JSON schema.
    pub fn as_str(self) -> &'static str {
        match self {
            ResourceKind::Timer => "timer",
            ResourceKind::Mutex => "mutex",
            ResourceKind::RwLock => "rwlock",
            ResourceKind::Semaphore => "semaphore",
            ResourceKind::Mpsc => "mpsc",
            ResourceKind::Oneshot => "oneshot",
            ResourceKind::Watch => "watch",
            ResourceKind::Broadcast => "broadcast",
            ResourceKind::Notify => "notify",
            ResourceKind::Barrier => "barrier",
            ResourceKind::Join => "join",
            ResourceKind::Io => "io",
            ResourceKind::OnceCell => "once_cell",
            ResourceKind::Unknown => "unknown",
        }
    }
}

#[derive(Debug)]
pub struct Thing {
    /// Beginning of its path.
    pub path: &'static str,
    pub kind: ResourceKind,
    pub part: Part,
    /// Names of members, from the value to the pointer (`&T`, `Arc<T>`) to what all parties share; `*` follows one before.
    pub shared: &'static [&'static str],
}

impl Thing {
    /// Of a lock for which threads wait, not tasks.
    pub fn blocks_threads(&self) -> bool {
        matches!(self.part, Part::Guard(_))
            && ["std::sync::", "lock_api::"].iter().any(|of| self.path.starts_with(of))
    }
}

const fn guard(
    path: &'static str,
    kind: ResourceKind,
    admits: Admits,
    shared: &'static [&'static str],
) -> Thing {
    Thing { path, kind, part: Part::Guard(admits), shared }
}

const fn end(path: &'static str, kind: ResourceKind, part: Part, shared: &'static [&'static str]) -> Thing {
    Thing { path, kind, part, shared }
}

/// By path; sources: `tokio/src/sync`, `async-lock/src`, `lock_api/src`, `futures-util/src/lock`, `std/src/sync/poison`,
/// `futures-channel/src`, `async-channel/src`, `flume/src` of the versions in `tests/targets`.
const THINGS: &[Thing] = &[
    guard("tokio::sync::mutex::MutexGuard<", ResourceKind::Mutex, Admits::One, &["lock"]),
    guard("tokio::sync::mutex::OwnedMutexGuard<", ResourceKind::Mutex, Admits::One, &["lock"]),
    guard("tokio::sync::mutex::MappedMutexGuard<", ResourceKind::Mutex, Admits::One, &["s"]),
    guard("tokio::sync::mutex::OwnedMappedMutexGuard<", ResourceKind::Mutex, Admits::One, &["lock"]),
    guard("tokio::sync::rwlock::read_guard::RwLockReadGuard<", ResourceKind::RwLock, Admits::Readers, &["s"]),
    guard(
        "tokio::sync::rwlock::owned_read_guard::OwnedRwLockReadGuard<",
        ResourceKind::RwLock,
        Admits::Readers,
        &["lock"],
    ),
    guard("tokio::sync::rwlock::write_guard::RwLockWriteGuard<", ResourceKind::RwLock, Admits::One, &["s"]),
    guard(
        "tokio::sync::rwlock::write_guard_mapped::RwLockMappedWriteGuard<",
        ResourceKind::RwLock,
        Admits::One,
        &["s"],
    ),
    guard(
        "tokio::sync::rwlock::owned_write_guard::OwnedRwLockWriteGuard<",
        ResourceKind::RwLock,
        Admits::One,
        &["lock"],
    ),
    guard(
        "tokio::sync::rwlock::owned_write_guard_mapped::OwnedRwLockMappedWriteGuard<",
        ResourceKind::RwLock,
        Admits::One,
        &["lock"],
    ),
    guard(
        "tokio::sync::semaphore::SemaphorePermit",
        ResourceKind::Semaphore,
        Admits::Permits("permits"),
        &["sem"],
    ),
    guard(
        "tokio::sync::semaphore::OwnedSemaphorePermit",
        ResourceKind::Semaphore,
        Admits::Permits("permits"),
        &["sem"],
    ),
    guard("tokio::sync::mpsc::bounded::Permit<", ResourceKind::Mpsc, Admits::Permit, &["chan", "*", "inner"]),
    guard("tokio::sync::mpsc::bounded::OwnedPermit<", ResourceKind::Mpsc, Admits::Permit, &["chan", "inner"]),
    guard("async_lock::mutex::MutexGuard<", ResourceKind::Mutex, Admits::One, &["__0"]),
    guard("async_lock::mutex::MutexGuardArc<", ResourceKind::Mutex, Admits::One, &["__0"]),
    guard("async_lock::rwlock::RwLockReadGuard<", ResourceKind::RwLock, Admits::Readers, &["lock"]),
    guard("async_lock::rwlock::RwLockWriteGuard<", ResourceKind::RwLock, Admits::One, &["lock"]),
    guard("async_lock::rwlock::RwLockUpgradableReadGuard<", ResourceKind::RwLock, Admits::Readers, &["lock"]),
    guard("async_lock::rwlock::RwLockReadGuardArc<", ResourceKind::RwLock, Admits::Readers, &["lock"]),
    guard("async_lock::rwlock::RwLockWriteGuardArc<", ResourceKind::RwLock, Admits::One, &["writer", "lock"]),
    guard("async_lock::semaphore::SemaphoreGuard", ResourceKind::Semaphore, Admits::Permit, &["__0"]),
    guard("async_lock::semaphore::SemaphoreGuardArc", ResourceKind::Semaphore, Admits::Permit, &["__0"]),
    guard("futures_util::lock::mutex::MutexGuard<", ResourceKind::Mutex, Admits::One, &["mutex"]),
    guard("futures_util::lock::mutex::OwnedMutexGuard<", ResourceKind::Mutex, Admits::One, &["mutex"]),
    guard("std::sync::poison::mutex::MutexGuard<", ResourceKind::Mutex, Admits::One, &["lock"]),
    guard("std::sync::mutex::MutexGuard<", ResourceKind::Mutex, Admits::One, &["lock"]),
    guard(
        "std::sync::poison::rwlock::RwLockReadGuard<",
        ResourceKind::RwLock,
        Admits::Readers,
        &["inner_lock"],
    ),
    guard("std::sync::poison::rwlock::RwLockWriteGuard<", ResourceKind::RwLock, Admits::One, &["lock"]),
    guard("lock_api::mutex::MutexGuard<", ResourceKind::Mutex, Admits::One, &["mutex"]),
    guard("lock_api::mutex::ArcMutexGuard<", ResourceKind::Mutex, Admits::One, &["mutex"]),
    guard("lock_api::rwlock::RwLockReadGuard<", ResourceKind::RwLock, Admits::Readers, &["rwlock"]),
    guard("lock_api::rwlock::RwLockWriteGuard<", ResourceKind::RwLock, Admits::One, &["rwlock"]),
    end("tokio::sync::mpsc::chan::Rx<", ResourceKind::Mpsc, Part::Receiver, &["inner"]),
    end("tokio::sync::mpsc::chan::Tx<", ResourceKind::Mpsc, Part::Sender, &["inner"]),
    end("tokio::sync::oneshot::Receiver<", ResourceKind::Oneshot, Part::Receiver, &["inner"]),
    end("tokio::sync::oneshot::Sender<", ResourceKind::Oneshot, Part::Sender, &["inner"]),
    end("tokio::sync::watch::Receiver<", ResourceKind::Watch, Part::Receiver, &["shared"]),
    end("tokio::sync::watch::Sender<", ResourceKind::Watch, Part::Sender, &["shared"]),
    end("tokio::sync::broadcast::Receiver<", ResourceKind::Broadcast, Part::Receiver, &["shared"]),
    end("tokio::sync::broadcast::Sender<", ResourceKind::Broadcast, Part::Sender, &["shared"]),
    end("futures_channel::oneshot::Receiver<", ResourceKind::Oneshot, Part::Receiver, &["inner"]),
    end("futures_channel::oneshot::Sender<", ResourceKind::Oneshot, Part::Sender, &["inner"]),
    end("futures_channel::mpsc::Receiver<", ResourceKind::Mpsc, Part::Receiver, &["inner"]),
    end("futures_channel::mpsc::UnboundedReceiver<", ResourceKind::Mpsc, Part::Receiver, &["inner"]),
    end("futures_channel::mpsc::BoundedSenderInner<", ResourceKind::Mpsc, Part::Sender, &["inner"]),
    end("futures_channel::mpsc::UnboundedSenderInner<", ResourceKind::Mpsc, Part::Sender, &["inner"]),
    end("async_channel::Receiver<", ResourceKind::Mpsc, Part::Receiver, &["channel"]),
    end("async_channel::Sender<", ResourceKind::Mpsc, Part::Sender, &["channel"]),
    end("flume::Receiver<", ResourceKind::Mpsc, Part::Receiver, &["shared"]),
    end("flume::Sender<", ResourceKind::Mpsc, Part::Sender, &["shared"]),
    end("tokio::sync::mutex::Mutex<", ResourceKind::Mutex, Part::Object, &[]),
    end("tokio::sync::rwlock::RwLock<", ResourceKind::RwLock, Part::Object, &[]),
    end("tokio::sync::semaphore::Semaphore", ResourceKind::Semaphore, Part::Object, &[]),
    end("tokio::sync::barrier::Barrier", ResourceKind::Barrier, Part::Object, &[]),
    end("tokio::sync::once_cell::OnceCell<", ResourceKind::OnceCell, Part::Object, &[]),
    end("async_lock::mutex::Mutex<", ResourceKind::Mutex, Part::Object, &[]),
    end("async_lock::rwlock::raw::RawRwLock", ResourceKind::RwLock, Part::Object, &[]),
    end("async_lock::semaphore::Semaphore", ResourceKind::Semaphore, Part::Object, &[]),
    end("async_lock::barrier::Barrier", ResourceKind::Barrier, Part::Object, &[]),
    end("async_lock::once_cell::OnceCell<", ResourceKind::OnceCell, Part::Object, &[]),
    end(
        "tokio::io::poll_evented::PollEvented<",
        ResourceKind::Io,
        Part::Descriptor,
        &["registration", "shared"],
    ),
    end("tokio::io::async_fd::AsyncFd<", ResourceKind::Io, Part::Descriptor, &["registration", "shared"]),
    end("async_io::Async<", ResourceKind::Io, Part::Descriptor, &["source"]),
    end("async_io::reactor::Source", ResourceKind::Io, Part::Descriptor, &[]),
    end("tokio::sync::task::atomic_waker::AtomicWaker", ResourceKind::Notify, Part::Waker, &[]),
    end("futures_core::task::__internal::atomic_waker::AtomicWaker", ResourceKind::Notify, Part::Waker, &[]),
    end("atomic_waker::AtomicWaker", ResourceKind::Notify, Part::Waker, &[]),
];

/// The type with this path, if it is one of those that are known.
pub fn thing(path: &str) -> Option<&'static Thing> {
    THINGS.iter().find(|thing| match path.strip_prefix(thing.path) {
        // A path without generic arguments is whole.
        Some(rest) => thing.path.ends_with('<') || rest.is_empty() || rest.starts_with('<'),
        None => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_told_apart() {
        let part = |path| thing(path).map(|thing| (thing.kind, thing.part));
        let guard = Part::Guard(Admits::One);
        assert_eq!(part("tokio::sync::mutex::MutexGuard<u64>"), Some((ResourceKind::Mutex, guard)));
        assert_eq!(part("tokio::sync::mutex::Mutex<u64>"), Some((ResourceKind::Mutex, Part::Object)));
        let permits = Part::Guard(Admits::Permits("permits"));
        assert_eq!(part("tokio::sync::semaphore::SemaphorePermit"), Some((ResourceKind::Semaphore, permits)));
        assert_eq!(part("tokio::sync::semaphore::SemaphorePermitX"), None);
        let blocks = |path| thing(path).is_some_and(Thing::blocks_threads);
        assert!(blocks("std::sync::poison::mutex::MutexGuard<u64>"));
        assert!(blocks("lock_api::rwlock::RwLockReadGuard<parking_lot::raw_rwlock::RawRwLock, u64>"));
        assert!(
            !blocks("tokio::sync::mutex::MutexGuard<u64>") && !blocks("tokio::sync::oneshot::Sender<u64>")
        );
    }
}
