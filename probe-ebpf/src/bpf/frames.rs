//! The polls under way on a thread.

use super::maps::add;
use super::memory::{frame, get, put};
use async_inspect_ebpf::{Counter, MAX_NESTING, Thread};

/// Drops the frames that a function entered at `sp` leaves no room for. The stack grows down: a frame at or
/// below `sp` is one whose return was never seen.
#[inline(always)]
pub fn drop_frames_left(thread: *mut Thread, sp: u64) {
    let depth = get!((*thread).depth);
    let mut live = depth;
    for _ in 0..MAX_NESTING {
        if live == 0 || get!((*frame(thread, live.wrapping_sub(1))).sp) > sp {
            break;
        }
        live -= 1;
    }
    if live != depth {
        put!((*thread).depth, live);
        add(Counter::Stale, depth.wrapping_sub(live) as u64);
    }
}

/// Takes the frame whose function was entered at `sp` off the thread's stack, with any above it. False if there
/// is none.
#[inline(always)]
pub fn take_frame(thread: *mut Thread, sp: u64) -> bool {
    drop_frames_left(thread, sp.wrapping_sub(1));
    let depth = get!((*thread).depth);
    if depth == 0 || get!((*frame(thread, depth.wrapping_sub(1))).sp) != sp {
        return false;
    }
    put!((*thread).depth, depth.wrapping_sub(1));
    true
}
