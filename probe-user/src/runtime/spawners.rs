//! Functions that are given a future or a closure to run: on a runtime, on a thread, or at once.

use super::blocking_calls::{is_block_on, last_name};

/// What becomes of the future or closure that a function is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandOver {
    /// A task of its own.
    Spawn,
    /// A thread made for it, or one that may block.
    Thread(&'static str),
    /// The caller waits for it, and holds its thread.
    BlockOn,
    /// The caller's thread runs it, after other tasks have been given to another one.
    InPlace,
}

/// Crates whose functions with `spawn` in their names spawn futures.
const RUNTIMES: [&str; 12] = [
    "tokio",
    "tokio_util",
    "async_std",
    "async_executor",
    "async_global_executor",
    "smol",
    "futures_util",
    "futures_executor",
    "futures_task",
    "actix_rt",
    "monoio",
    "compio",
];

/// Names of such functions; others of the same beginning are a runtime's inside.
const SPAWN: [&str; 9] = [
    "spawn",
    "spawn_on",
    "spawn_local",
    "spawn_local_on",
    "spawn_ok",
    "spawn_with_handle",
    "spawn_local_with_handle",
    "spawn_named",
    "spawn_many",
];

impl HandOver {
    /// By the function's path, `tokio::task::spawn::spawn<app::f>`.
    pub fn of(path: &str) -> Option<HandOver> {
        // Cheap first: this is asked of every function of a program.
        if !path.contains("spawn") && !path.contains("block_") {
            return None;
        }
        let own = path.trim_start_matches(['<', '&']);
        let krate = own.split([':', '<']).next().unwrap_or(own);
        let name = last_name(path);
        if is_block_on(path) || name == "block_on" {
            return Some(HandOver::BlockOn);
        }
        match (krate, &*name) {
            ("tokio", "block_in_place") => Some(HandOver::InPlace),
            ("std", "spawn" | "spawn_unchecked" | "spawn_scoped") if own.starts_with("std::thread::") => {
                Some(HandOver::Thread("std::thread::spawn"))
            }
            ("rayon" | "rayon_core", "spawn" | "spawn_fifo") => Some(HandOver::Thread("rayon::spawn")),
            ("blocking", "unblock") => Some(HandOver::Thread("unblock")),
            (krate, name) if RUNTIMES.contains(&krate) && name.starts_with("spawn_blocking") => {
                Some(HandOver::Thread("spawn_blocking"))
            }
            (krate, name) if RUNTIMES.contains(&krate) && SPAWN.contains(&name) => Some(HandOver::Spawn),
            _ => None,
        }
    }

    /// Names of the generic argument that it is given, best first.
    pub const ARGUMENTS: [&str; 4] = ["F", "Fut", "Future", "Func"];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_that_spawn_are_known_by_their_paths() {
        use HandOver::*;
        let blocking = Some(Thread("spawn_blocking"));
        let thread = Some(Thread("std::thread::spawn"));
        let cases = [
            ("tokio::task::spawn::spawn<app::f::{async_fn_env#0}>", Some(Spawn)),
            ("tokio::runtime::runtime::Runtime::spawn<app::f>", Some(Spawn)),
            ("tokio::task::join_set::JoinSet<()>::spawn<(), app::f>", Some(Spawn)),
            ("tokio::task::local::spawn_local<app::f>", Some(Spawn)),
            ("async_executor::Executor::spawn<(), app::f>", Some(Spawn)),
            ("smol::spawn::spawn<(), app::f>", Some(Spawn)),
            ("tokio::task::blocking::spawn_blocking<app::f::{closure_env#0}, ()>", blocking),
            ("tokio::task::join_set::JoinSet<()>::spawn_blocking<(), app::f>", blocking),
            ("tokio::task::blocking::block_in_place<app::f::{closure_env#0}, ()>", Some(InPlace)),
            ("std::thread::functions::spawn<app::f, ()>", thread),
            ("std::thread::builder::Builder::spawn<app::f, ()>", thread),
            ("tokio::runtime::runtime::Runtime::block_on<app::f>", Some(BlockOn)),
            ("futures_executor::local_pool::block_on<app::f>", Some(BlockOn)),
            ("<tokio::runtime::runtime::Runtime>::block_on::<app::f>", Some(BlockOn)),
            ("std::process::Command::spawn", None),
            ("app::spawn", None),
            ("tokio::task::spawn::spawn_inner<app::f>", None),
            ("core::option::Option<tokio::task::spawn::spawn>::map<u8>", None),
        ];
        for (path, told) in cases {
            assert_eq!(HandOver::of(path), told, "{path}");
        }
    }
}
