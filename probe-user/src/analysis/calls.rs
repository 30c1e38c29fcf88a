//! Calls that block a thread, recognised by the functions on its stack.

use crate::decode::CodeFrame;

/// A call for which async code has another way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BlockingCall {
    /// As its users write it.
    pub what: &'static str,
    /// It waits for others to let go of a lock.
    pub lock: bool,
    pub remedy: &'static str,
}

/// Path, what its function must have in its name, and what that is.
type Row = (&'static [&'static str], &'static [&'static str], BlockingCall);

const fn call(what: &'static str, remedy: &'static str) -> BlockingCall {
    BlockingCall { what, lock: false, remedy }
}

const fn lock(what: &'static str, remedy: &'static str) -> BlockingCall {
    BlockingCall { what, lock: true, remedy }
}

const SHORT: &str = "hold this lock for a short time only and never while blocking or across an await; else use tokio::sync's, or spawn_blocking";
const BLOCK_ON: BlockingCall = call(
    "block_on",
    "await the future; where the code cannot be async, run it in tokio::task::spawn_blocking",
);
const PARK: BlockingCall = call("std::thread::park", "await a tokio::sync::Notify or a channel");

/// Paths of std as they were and are: it moves its modules about
/// (<https://github.com/rust-lang/rust/tree/1.95.0/library/std/src/sys>).
const CALLS: &[Row] = &[
    (&["std::thread"], &["sleep"], call("std::thread::sleep", "use tokio::time::sleep(…).await")),
    (&["std::thread"], &["scope"], call("std::thread::scope", "do it in tokio::task::spawn_blocking")),
    (
        &["std::thread"],
        &["::join"],
        call("std::thread's join", "use tokio::task::spawn_blocking, and await its handle"),
    ),
    (&["std::thread"], &["park"], PARK),
    (
        &["std::fs", "std::sys::fs", "std::sys::pal::unix::fs"],
        &[],
        call("std::fs", "use tokio::fs, or do it in tokio::task::spawn_blocking"),
    ),
    (
        &["std::net", "std::sys::net", "std::sys_common::net", "std::sys::pal::unix::net"],
        &[],
        call("std::net", "use tokio::net"),
    ),
    (&["std::os::unix::net"], &[], call("std::os::unix::net", "use tokio::net")),
    (
        &["std::process", "std::sys::process", "std::sys::pal::unix::process"],
        &[],
        call("std::process", "use tokio::process::Command, or tokio::task::spawn_blocking"),
    ),
    (
        &["std::sync::mpsc", "std::sync::mpmc"],
        &[],
        call("std::sync::mpsc", "use tokio::sync::mpsc, or receive in tokio::task::spawn_blocking"),
    ),
    (
        &["crossbeam_channel", "flume", "kanal"],
        &[],
        call("a blocking channel", "use tokio::sync::mpsc, or the channel's async methods"),
    ),
    (
        &["std::sync::condvar", "std::sync::poison::condvar", "std::sys::sync::condvar"],
        &[],
        call("std::sync::Condvar", "use tokio::sync::Notify or watch"),
    ),
    (&["std::sync::barrier"], &[], call("std::sync::Barrier", "use tokio::sync::Barrier")),
    (
        &[
            "std::sync::mutex",
            "std::sync::poison::mutex",
            "std::sys::sync::mutex",
            "std::sys::pal::unix::locks::futex_mutex",
        ],
        &[],
        lock("std::sync::Mutex::lock", SHORT),
    ),
    (
        &[
            "std::sync::rwlock",
            "std::sync::poison::rwlock",
            "std::sys::sync::rwlock",
            "std::sys::pal::unix::locks::futex_rwlock",
        ],
        &[],
        lock("a std::sync::RwLock", SHORT),
    ),
    (&["parking_lot", "lock_api"], &[], lock("a parking_lot lock", SHORT)),
    (
        &[
            "std::sync::once",
            "std::sync::lazy_lock",
            "std::sync::once_lock",
            "std::sync::poison::once",
            "std::sys::sync::once",
        ],
        &[],
        lock(
            "a value that another thread makes (Once, OnceLock, LazyLock)",
            "make it before the runtime starts, or use tokio::sync::OnceCell",
        ),
    ),
    (
        &["std::io::stdio"],
        &[],
        call(
            "std::io's stdin, stdout or stderr",
            "use tokio::io::stdin and stdout, or a thread of its own for logging",
        ),
    ),
    (
        &["reqwest::blocking", "ureq", "attohttpc"],
        &[],
        call("a blocking HTTP client", "use reqwest's async client, or tokio::task::spawn_blocking"),
    ),
    (
        &["rusqlite", "diesel", "postgres", "mysql"],
        &[],
        call("a blocking database client", "do it in tokio::task::spawn_blocking, or use an async client"),
    ),
];

/// Function and line of the innermost own code, by its number on the stack.
pub(super) fn own_frame(stack: &[CodeFrame]) -> Option<usize> {
    stack.iter().position(|frame| frame.own_code && frame.line.is_some())
}

/// What a thread with this stack (innermost first) blocks in, and the number of the own frame that calls it.
pub(super) fn recognise(stack: &[CodeFrame]) -> Option<(BlockingCall, Option<usize>)> {
    let own = own_frame(stack);
    // What the own code calls tells more than what that does inside.
    let called = stack[..own.unwrap_or(stack.len())].iter().rev().find_map(row);
    if called.is_none_or(|call| call == PARK)
        && let Some(at) = stack.iter().position(is_block_on)
    {
        let caller = own_frame(&stack[at + 1..]).map(|caller| at + 1 + caller);
        return Some((BLOCK_ON, caller.or(own)));
    }
    called.map(|call| (call, own))
}

/// On a thread of the blocking pool, or one that has given its worker's part to another: the other tasks go on.
pub(super) fn may_block(stack: &[CodeFrame]) -> bool {
    let of_tokio = |frame: &CodeFrame| {
        let function = frame.function.as_deref().unwrap_or_default();
        let pool = function.contains("tokio::runtime::blocking::");
        function.starts_with("tokio::") && (pool || function.contains("block_in_place"))
    };
    stack.iter().any(of_tokio)
}

fn row(frame: &CodeFrame) -> Option<BlockingCall> {
    let function = frame.function.as_deref()?;
    let path = function.trim_start_matches(['<', '&']);
    let is_in = |module: &&str| {
        path.strip_prefix(*module).is_some_and(|rest| rest.starts_with("::") || rest.starts_with(" as"))
    };
    if is_block_on(frame) {
        return Some(BLOCK_ON);
    }
    let fits = |(modules, names, _): &&Row| {
        modules.iter().any(is_in) && (names.is_empty() || names.iter().any(|n| path.contains(n)))
    };
    CALLS.iter().find(fits).map(|(.., call)| *call)
}

/// Whether it waits for a future by holding its thread, whoever made it. Not that of a runtime, from which nothing is
/// called within a poll.
fn is_block_on(frame: &CodeFrame) -> bool {
    let Some(function) = frame.function.as_deref() else { return false };
    let path = function.split('<').next().unwrap_or(function).trim_end_matches("::");
    path.ends_with("::block_on")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::SourceLine;

    fn stack(functions: &[&str]) -> Vec<CodeFrame> {
        let frame = |function: &&str| {
            let own = function.starts_with("app::");
            let line = own.then(|| SourceLine { file: "/srv/app/src/main.rs".into(), line: 7 });
            CodeFrame { function: Some((*function).into()), line, inlined: false, own_code: own }
        };
        functions.iter().map(frame).collect()
    }

    fn what(functions: &[&str]) -> Option<(&'static str, Option<usize>)> {
        recognise(&stack(functions)).map(|(call, own)| (call.what, own))
    }

    #[test]
    fn what_own_code_calls_is_told() {
        let poll = "tokio::runtime::task::raw::poll<app::f>";
        let cases: [(&[&str], _); 9] = [
            (
                &["clock_nanosleep", "std::thread::functions::sleep", "app::f", poll],
                Some(("std::thread::sleep", Some(2))),
            ),
            (&["read", "<std::fs::File as std::io::Read>::read", "app::f", poll], Some(("std::fs", Some(2)))),
            (
                &[
                    "futex",
                    "std::thread::park",
                    "std::sync::mpmc::list::Channel<u8>::recv",
                    "std::sync::mpsc::Receiver<u8>::recv",
                    "app::f",
                ],
                Some(("std::sync::mpsc", Some(4))),
            ),
            (
                &["syscall", "std::sys::sync::mutex::futex::Mutex::lock_contended", "app::f"],
                Some(("std::sync::Mutex::lock", Some(2))),
            ),
            (
                &["syscall", "std::thread::park", "futures_executor::local_pool::block_on<app::g>", "app::f"],
                Some(("block_on", Some(3))),
            ),
            (&["syscall", "std::thread::park", "app::tiny::block_on", "app::f"], Some(("block_on", Some(3)))),
            (
                &[
                    "clock_nanosleep",
                    "std::thread::sleep",
                    "app::g",
                    "futures_executor::local_pool::block_on",
                    "app::f",
                ],
                Some(("std::thread::sleep", Some(2))),
            ),
            (&["read", "app::ffi::read", poll], None),
            (&["syscall", "std::thread::local::LocalKey<u8>::with", "app::f"], None),
        ];
        for (functions, told) in cases {
            assert_eq!(what(functions), told, "{functions:?}");
        }
    }

    #[test]
    fn what_the_runtime_knows_of_is_no_harm() {
        let pool = "tokio::runtime::task::raw::poll<tokio::runtime::blocking::task::BlockingTask<app::f>>";
        assert!(may_block(&stack(&["std::thread::sleep", "app::f", pool])));
        assert!(may_block(&stack(&[
            "std::thread::sleep",
            "app::f",
            "tokio::task::blocking::block_in_place<app::f>"
        ])));
        assert!(!may_block(&stack(&["std::thread::sleep", "app::block_in_place"])));
    }
}
