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
    "tokio::loom::std::unsafe_cell::UnsafeCell<",
    "tokio::runtime::task::core::Stage<",
    "tokio::future::maybe_done::MaybeDone<",
    "tokio::future::try_join::",
    "futures_util::future::maybe_done::MaybeDone<",
    "futures_util::future::try_maybe_done::TryMaybeDone<",
    "sync_wrapper::SyncWrapper<",
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
    "event_listener::EventListener<",
    "core::future::pending::Pending<",
    "core::future::ready::Ready<",
];

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
    } else if path.starts_with("core::future::poll_fn::PollFn<")
        || path.starts_with("tokio::future::poll_fn::PollFn<")
    {
        Role::Future
    } else {
        Role::Plain
    }
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
    }
}
