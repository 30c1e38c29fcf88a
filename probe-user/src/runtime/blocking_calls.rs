//! Calls that block a thread, and what async code does instead.

/// A call for which async code has another way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockingCall {
    /// As its users write it.
    pub what: &'static str,
    /// It waits for others to let go of a lock.
    pub lock: bool,
    pub remedy: &'static str,
}

struct Row {
    modules: &'static [&'static str],
    /// What a function has in its path, for a thread that sleeps in it to be blocked by this. Empty: nothing.
    within: &'static [&'static str],
    /// Functions whose mere call blocks, if anything of what they wait for is not there at once.
    blocking: &'static [&'static str],
    call: BlockingCall,
}

const fn call(what: &'static str, remedy: &'static str) -> BlockingCall {
    BlockingCall { what, lock: false, remedy }
}

const fn lock(what: &'static str, remedy: &'static str) -> BlockingCall {
    BlockingCall { what, lock: true, remedy }
}

const SHORT: &str = "hold this lock for a short time only and never while blocking or across an await; else use tokio::sync's, or spawn_blocking";
pub const BLOCK_ON: BlockingCall = call(
    "block_on",
    "await the future; where the code cannot be async, run it in tokio::task::spawn_blocking",
);
pub const PARK: BlockingCall = call("std::thread::park", "await a tokio::sync::Notify or a channel");

/// Paths of std as they were and are: it moves its modules about
/// (<https://github.com/rust-lang/rust/tree/1.95.0/library/std/src/sys>).
const CALLS: &[Row] = &[
    Row {
        modules: &["std::thread"],
        within: &["sleep"],
        blocking: &["sleep", "sleep_ms", "sleep_until"],
        call: call("std::thread::sleep", "use tokio::time::sleep(…).await"),
    },
    Row {
        modules: &["std::thread"],
        within: &["scope"],
        blocking: &["scope"],
        call: call("std::thread::scope", "do it in tokio::task::spawn_blocking"),
    },
    Row {
        modules: &["std::thread"],
        within: &["::join"],
        blocking: &["join"],
        call: call("std::thread's join", "use tokio::task::spawn_blocking, and await its handle"),
    },
    Row {
        modules: &["std::thread"],
        within: &["park"],
        blocking: &["park", "park_timeout", "park_timeout_ms"],
        call: PARK,
    },
    Row {
        modules: &["std::fs", "std::sys::fs", "std::sys::pal::unix::fs"],
        within: &[],
        blocking: &[
            "read",
            "read_to_string",
            "write",
            "copy",
            "create_dir",
            "create_dir_all",
            "remove_file",
            "remove_dir",
            "remove_dir_all",
            "rename",
            "metadata",
            "symlink_metadata",
            "canonicalize",
            "read_dir",
            "read_link",
            "hard_link",
            "set_permissions",
            "exists",
            "open",
            "create",
            "create_new",
            "sync_all",
            "sync_data",
            "set_len",
            "lock",
            "lock_shared",
            "read_exact",
            "read_to_end",
            "read_vectored",
            "write_all",
            "write_fmt",
            "write_vectored",
            "seek",
        ],
        call: call("std::fs", "use tokio::fs, or do it in tokio::task::spawn_blocking"),
    },
    Row {
        modules: &["std::path::Path"],
        within: &["exists", "metadata", "is_file", "is_dir", "canonicalize", "read_dir", "read_link"],
        blocking: &[
            "exists",
            "try_exists",
            "metadata",
            "symlink_metadata",
            "is_file",
            "is_dir",
            "is_symlink",
            "canonicalize",
            "read_dir",
            "read_link",
        ],
        call: call("std::fs", "use tokio::fs, or do it in tokio::task::spawn_blocking"),
    },
    Row {
        modules: &["std::net", "std::sys::net", "std::sys_common::net", "std::sys::pal::unix::net"],
        within: &[],
        blocking: &[
            "connect",
            "connect_timeout",
            "accept",
            "recv",
            "recv_from",
            "peek",
            "peek_from",
            "send",
            "send_to",
            "to_socket_addrs",
            "read",
            "read_exact",
            "read_to_end",
            "read_to_string",
            "write",
            "write_all",
        ],
        call: call("std::net", "use tokio::net"),
    },
    Row {
        modules: &["std::os::unix::net"],
        within: &[],
        blocking: &[
            "connect",
            "accept",
            "recv",
            "recv_from",
            "send",
            "send_to",
            "read",
            "write",
            "write_all",
        ],
        call: call("std::os::unix::net", "use tokio::net"),
    },
    Row {
        modules: &["std::process", "std::sys::process", "std::sys::pal::unix::process"],
        within: &[],
        blocking: &["output", "status", "wait", "wait_with_output"],
        call: call("std::process", "use tokio::process::Command, or tokio::task::spawn_blocking"),
    },
    Row {
        modules: &["std::sync::mpsc::SyncSender"],
        within: &[],
        blocking: &["send"],
        call: call("std::sync::mpsc", "use tokio::sync::mpsc, or send in tokio::task::spawn_blocking"),
    },
    Row {
        modules: &["std::sync::mpsc", "std::sync::mpmc"],
        within: &[],
        blocking: &["recv", "recv_timeout", "recv_deadline", "next"],
        call: call("std::sync::mpsc", "use tokio::sync::mpsc, or receive in tokio::task::spawn_blocking"),
    },
    Row {
        modules: &["crossbeam_channel", "flume", "kanal"],
        within: &[],
        blocking: &["recv", "recv_timeout", "recv_deadline"],
        call: call("a blocking channel", "use tokio::sync::mpsc, or the channel's async methods"),
    },
    Row {
        modules: &["std::sync::condvar", "std::sync::poison::condvar", "std::sys::sync::condvar"],
        within: &[],
        blocking: &["wait", "wait_while", "wait_timeout", "wait_timeout_while"],
        call: call("std::sync::Condvar", "use tokio::sync::Notify or watch"),
    },
    Row {
        modules: &["std::sync::barrier"],
        within: &[],
        blocking: &["wait"],
        call: call("std::sync::Barrier", "use tokio::sync::Barrier"),
    },
    Row {
        modules: &[
            "std::sync::mutex",
            "std::sync::poison::mutex",
            "std::sys::sync::mutex",
            "std::sys::pal::unix::locks::futex_mutex",
        ],
        within: &[],
        blocking: &["lock"],
        call: lock("std::sync::Mutex::lock", SHORT),
    },
    Row {
        modules: &[
            "std::sync::rwlock",
            "std::sync::poison::rwlock",
            "std::sys::sync::rwlock",
            "std::sys::pal::unix::locks::futex_rwlock",
        ],
        within: &[],
        blocking: &["read", "write"],
        call: lock("a std::sync::RwLock", SHORT),
    },
    Row {
        modules: &["parking_lot", "lock_api"],
        within: &[],
        blocking: &["lock", "read", "write"],
        call: lock("a parking_lot lock", SHORT),
    },
    Row {
        modules: &[
            "std::sync::once",
            "std::sync::lazy_lock",
            "std::sync::once_lock",
            "std::sync::poison::once",
            "std::sys::sync::once",
        ],
        within: &[],
        blocking: &["wait"],
        call: lock(
            "a value that another thread makes (Once, OnceLock, LazyLock)",
            "make it before the runtime starts, or use tokio::sync::OnceCell",
        ),
    },
    Row {
        modules: &["std::io::stdio"],
        within: &[],
        // To print blocks as well, but hardly ever, and everybody prints.
        blocking: &["read_line", "read_to_string", "read_to_end", "read_exact", "read", "fill_buf"],
        call: call(
            "std::io's stdin, stdout or stderr",
            "use tokio::io::stdin and stdout, or a thread of its own for logging",
        ),
    },
    Row {
        modules: &["reqwest::blocking", "ureq", "attohttpc"],
        within: &[],
        blocking: &["send", "call", "get", "execute", "text", "json", "bytes", "send_json", "send_string"],
        call: call("a blocking HTTP client", "use reqwest's async client, or tokio::task::spawn_blocking"),
    },
    Row {
        modules: &["rusqlite", "diesel", "postgres", "mysql"],
        within: &[],
        blocking: &[
            "open",
            "connect",
            "establish",
            "execute",
            "execute_batch",
            "batch_execute",
            "simple_query",
            "query",
            "query_one",
            "query_opt",
            "query_row",
            "query_map",
            "query_first",
            "query_drop",
            "exec",
            "load",
            "first",
            "get_result",
            "get_results",
        ],
        call: call(
            "a blocking database client",
            "do it in tokio::task::spawn_blocking, or use an async client",
        ),
    },
];

impl BlockingCall {
    /// What a thread is blocked by that sleeps in this function or in what it called.
    pub fn of_sleeping(function: &str) -> Option<BlockingCall> {
        if is_block_on(function) {
            return Some(BLOCK_ON);
        }
        let path = unquoted(function);
        let fits = |row: &&Row| {
            is_in(path, row.modules) && (row.within.is_empty() || row.within.iter().any(|n| path.contains(n)))
        };
        CALLS.iter().find(fits).map(|row| row.call)
    }

    /// What a call of this function may block its thread by. Functions that merely belong to what blocks do not:
    /// `std::fs::OpenOptions::new`, `std::process::Command::arg`.
    pub fn of_call(function: &str) -> Option<BlockingCall> {
        if is_block_on(function) {
            return Some(BLOCK_ON);
        }
        let path = unquoted(function);
        let mut rows = CALLS.iter().filter(|row| is_in(path, row.modules)).peekable();
        rows.peek()?;
        let name = last_name(path);
        rows.find(|row| row.blocking.contains(&&*name)).map(|row| row.call)
    }
}

/// Types of guards, by what hands them out.
const GUARDS: [(&str, &str); 6] = [
    ("std::sync::poison::mutex::MutexGuard<", "std::sync::mutex"),
    ("std::sync::mutex::MutexGuard<", "std::sync::mutex"),
    ("std::sync::poison::rwlock::RwLock", "std::sync::rwlock"),
    ("std::sync::rwlock::RwLock", "std::sync::rwlock"),
    ("lock_api::mutex::MutexGuard<", "lock_api"),
    ("lock_api::rwlock::RwLock", "lock_api"),
];

/// The lock that a value of this type keeps: one for which other threads wait, and do nothing else meanwhile.
pub fn guard(path: &str) -> Option<BlockingCall> {
    let base = path.split('<').next().unwrap_or(path);
    let (_, module) = GUARDS.iter().find(|(prefix, _)| path.starts_with(prefix))?;
    let row = CALLS.iter().find(|row| row.modules.contains(module))?;
    base.ends_with("Guard").then_some(row.call)
}

/// Of `<&std::fs::File as std::io::Read>::read` what begins with the module.
fn unquoted(function: &str) -> &str {
    function.trim_start_matches(['<', '&'])
}

fn is_in(path: &str, modules: &[&str]) -> bool {
    let within = |rest: &str| rest.starts_with("::") || rest.starts_with(" as") || rest.starts_with('<');
    modules.iter().any(|module| path.strip_prefix(*module).is_some_and(within))
}

/// Whether it waits for a future by holding its thread, whoever made it. Not that of a runtime, from which nothing is
/// called within a poll.
pub fn is_block_on(function: &str) -> bool {
    let path = function.split('<').next().unwrap_or(function).trim_end_matches("::");
    path.ends_with("::block_on") || function.ends_with(">::block_on")
}

/// `app::f` → `f`; `<app::A<u8> as app::T>::f::<u8>`, `app::f<u8>` as well.
pub fn last_name(path: &str) -> String {
    let mut depth = 0usize;
    let mut name: Vec<char> = Vec::new();
    let mut characters = path.chars().rev().peekable();
    while let Some(c) = characters.next() {
        match c {
            '>' if characters.peek() != Some(&'-') => depth += 1,
            '<' => depth = depth.saturating_sub(1),
            ':' if depth == 0 && !name.is_empty() => break,
            ':' => {}
            _ if depth == 0 => name.push(c),
            _ => {}
        }
    }
    name.iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_name_of_a_path() {
        let cases = [
            ("std::thread::functions::sleep", "sleep"),
            ("std::fs::read_to_string<&str>", "read_to_string"),
            ("std::fs::read_to_string::<&str>", "read_to_string"),
            ("<std::fs::File as std::io::Read>::read", "read"),
            ("a::B<fn(u8) -> u8>::c<d::E>", "c"),
            ("main", "main"),
            ("", ""),
        ];
        for (path, name) in cases {
            assert_eq!(last_name(path), name, "{path}");
        }
    }

    #[test]
    fn guards_are_told_from_locks() {
        let what = |path| guard(path).map(|call| call.what);
        assert_eq!(what("std::sync::poison::mutex::MutexGuard<u8>"), Some("std::sync::Mutex::lock"));
        assert_eq!(what("std::sync::poison::rwlock::RwLockReadGuard<u8>"), Some("a std::sync::RwLock"));
        assert_eq!(what("lock_api::rwlock::RwLockWriteGuard<R, u8>"), Some("a parking_lot lock"));
        assert_eq!(what("std::sync::poison::rwlock::RwLock<u8>"), None);
        assert_eq!(what("tokio::sync::mutex::MutexGuard<u8>"), None);
    }

    #[test]
    fn only_what_blocks_is_told() {
        let what = |path| BlockingCall::of_call(path).map(|call| call.what);
        assert_eq!(what("std::thread::functions::sleep"), Some("std::thread::sleep"));
        assert_eq!(what("std::thread::join_handle::JoinHandle<()>::join<()>"), Some("std::thread's join"));
        assert_eq!(what("std::fs::read_to_string<&str>"), Some("std::fs"));
        assert_eq!(what("<std::fs::File as std::io::Read>::read"), Some("std::fs"));
        assert_eq!(what("std::sync::mpsc::Receiver<u8>::recv"), Some("std::sync::mpsc"));
        assert_eq!(what("std::sync::mpsc::SyncSender<u8>::send<u8>"), Some("std::sync::mpsc"));
        assert_eq!(what("std::process::Command::output"), Some("std::process"));
        assert_eq!(what("futures_executor::local_pool::block_on<app::f>"), Some("block_on"));
        for harmless in [
            "std::fs::OpenOptions::new",
            "std::fs::Metadata::len",
            "std::process::Command::new<&str>",
            "std::sync::mpsc::Sender<u8>::send",
            "std::thread::spawn<app::f, ()>",
            "std::thread::local::LocalKey<u8>::with",
            "std::net::TcpListener::set_nonblocking",
            "std::io::stdio::_print",
            "tokio::fs::read::read",
            "app::sleep",
        ] {
            assert_eq!(what(harmless), None, "{harmless}");
        }
    }
}
