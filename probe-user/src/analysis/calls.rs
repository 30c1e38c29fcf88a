//! Calls that block a thread, recognised by the functions on its stack.

use crate::decode::CodeFrame;
use crate::runtime::{BLOCK_ON, BlockingCall, PARK, is_block_on};

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
        && let Some(at) = stack.iter().position(blocks_on)
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
    BlockingCall::of_sleeping(frame.function.as_deref()?)
}

fn blocks_on(frame: &CodeFrame) -> bool {
    frame.function.as_deref().is_some_and(is_block_on)
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
