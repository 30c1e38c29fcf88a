//! What a type is to an await tree, told by its path.

/// The part a type plays in an await tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Only passes polls on (or only holds a future); it gets no node of its own.
    Transparent,
    /// Waits for something that is not a future.
    Leaf,
    /// A future by its name, with whatever futures its fields hold.
    Future,
    /// Nothing is known of it but its fields.
    Plain,
}

/// Wrappers of `core`, `alloc` and the runtimes that only hold a value.
const TRANSPARENT: &[&str] = &[
    "core::pin::Pin<",
    "core::pin::unsafe_pinned::UnsafePinned<",
    "core::mem::manually_drop::ManuallyDrop<",
    "core::mem::maybe_uninit::MaybeUninit<",
    "core::mem::maybe_dangling::MaybeDangling<",
    "core::cell::UnsafeCell<",
    "core::cell::SyncUnsafeCell<",
    "core::option::Option<",
    "core::panic::unwind_safe::AssertUnwindSafe<",
    "alloc::boxed::Box<",
    "core::ptr::non_null::NonNull<",
    // Of a `Shared`.
    "alloc::sync::ArcInner<",
    "tokio::loom::std::unsafe_cell::UnsafeCell<",
    "tokio::runtime::task::core::Stage<",
    "tokio::future::maybe_done::MaybeDone<",
    "tokio::future::try_join::",
    "futures_util::future::maybe_done::MaybeDone<",
    "futures_util::future::try_maybe_done::TryMaybeDone<",
    "futures_util::future::future::shared::Inner<",
    "futures_util::future::future::shared::FutureOrOutput<",
    "futures_util::stream::futures_ordered::OrderWrapper<",
    "tokio_util::task::task_tracker::TrackedFuture<",
    "tokio_util::util::maybe_dangling::MaybeDangling<",
    "sync_wrapper::SyncWrapper<",
    // What executors put around the future that is spawned on them.
    "async_executor::AsyncCallOnDrop<",
    "async_std::task::builder::SupportTaskLocals<",
    "futures_task::future_obj::",
    "futures_util::future::future::remote_handle::Remote<",
    "futures_util::future::future::catch_unwind::CatchUnwind<",
    "event_listener_strategy::FutureWrapper<",
];

/// Futures that wait for a timer, a lock, a channel, a socket, another task.
const LEAVES: &[&str] = &[
    "tokio::time::sleep::Sleep",
    "tokio::sync::batch_semaphore::Acquire",
    "tokio::sync::notify::Notified",
    "tokio::sync::oneshot::Receiver<",
    "tokio::runtime::task::join::JoinHandle<",
    "tokio::runtime::io::scheduled_io::Readiness",
    "tokio::io::driver::scheduled_io::Readiness",
    "futures_channel::oneshot::Receiver<",
    "futures_channel::mpsc::Receiver<",
    "futures_channel::mpsc::UnboundedReceiver<",
    "event_listener::EventListener",
    "async_task::task::Task<",
    "async_task::task::FallibleTask<",
    "async_io::Timer",
    "async_io::reactor::Ready<",
    "flume::async::RecvFut<",
    "flume::async::SendFut<",
    "core::future::pending::Pending<",
    "core::future::ready::Ready<",
];

/// A list of futures, each in an allocation of its own.
pub const FUTURES_UNORDERED: &str = "futures_util::stream::futures_unordered::FuturesUnordered<";
/// A set of tasks.
pub const JOIN_SET: &str = "tokio::task::join_set::JoinSet<";
/// One future that several poll.
pub const SHARED: &str = "futures_util::future::future::shared::Shared<";

/// Futures that poll what a closure says.
const POLL_FNS: &[&str] = &[
    "core::future::poll_fn::PollFn<",
    "tokio::future::poll_fn::PollFn<",
    "futures_util::future::poll_fn::PollFn<",
    "futures_util::stream::poll_fn::PollFn<",
];

/// Futures of several that end only when all of them have.
const NEED_ALL: &[&str] = &[
    "tokio::join!",
    "futures_util::future::join::Join",
    "futures_util::future::join_all::JoinAll<",
    "futures_util::stream::stream::collect::Collect<",
];

/// Whether the future of this path, or the macro of this name, goes on only when all the futures that it awaits are over.
pub fn needs_all(function: &str) -> bool {
    NEED_ALL.iter().any(|prefix| function.starts_with(prefix))
}

pub fn role(path: &str) -> Role {
    // Tuples and closures are only containers of what a macro captured.
    if path.starts_with('(') || is_closure(path) {
        return Role::Transparent;
    }
    let is = |list: &[&str]| list.iter().any(|prefix| path.starts_with(prefix));
    if is(TRANSPARENT) {
        Role::Transparent
    } else if is(LEAVES) {
        Role::Leaf
    } else if is(POLL_FNS) {
        Role::Future
    } else {
        Role::Plain
    }
}

/// Futures that are kept far more often than they are polled in place: handles and ends of channels.
pub fn is_handle(path: &str) -> bool {
    path.contains("JoinHandle<")
        || path.contains("oneshot::Receiver<")
        || path.starts_with("futures_channel::mpsc::")
        || path.starts_with("async_task::task::")
}

/// `app::f::{closure_env#0}<T>`.
pub fn is_closure(path: &str) -> bool {
    let base = path.split('<').next().unwrap_or(path);
    base.rsplit("::").next().is_some_and(|name| name.starts_with("{closure_env#"))
}

/// The macro whose expansion stands in this file: `tokio::select!` for tokio's `src/macros/select.rs`.
pub fn macro_name(file: &str) -> Option<&'static str> {
    let known = [
        ("/src/macros/select.rs", "tokio::select!"),
        ("/src/macros/join.rs", "tokio::join!"),
        ("/src/macros/try_join.rs", "tokio::try_join!"),
    ];
    if !file.contains("/tokio-") {
        return None;
    }
    known.iter().find(|(end, _)| file.ends_with(end)).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_by_path() {
        assert_eq!(role("core::pin::Pin<&mut app::f::{async_fn_env#0}>"), Role::Transparent);
        assert_eq!(role("(tokio::time::sleep::Sleep, u8)"), Role::Transparent);
        assert_eq!(role("app::f::{async_fn#0}::{closure_env#3}"), Role::Transparent);
        assert_eq!(role("core::future::poll_fn::PollFn<app::{closure_env#3}>"), Role::Future);
        assert_eq!(role("tokio::time::sleep::Sleep"), Role::Leaf);
        assert_eq!(role("tokio::time::timeout::Timeout<app::F>"), Role::Plain);
        assert_eq!(role("async_executor::AsyncCallOnDrop<app::F, app::C>"), Role::Transparent);
        assert_eq!(role("async_io::reactor::Ready<&async_io::Async<T>, T>"), Role::Leaf);
    }
}
