//! How tasks end, seen while their memory is still their own.
//!
//! When the last poll of a task returns, its memory may be freed and another task's by now. So its end is seen earlier, in tokio's
//! `Harness::complete`, which each task comes by once
//! (<https://github.com/tokio-rs/tokio/blob/tokio-1.48.0/tokio/src/runtime/task/harness.rs>): where that marks the task as complete, its
//! output is still there, whoever waits for it or not; where a compiler that saw the whole program has left nothing of that, where the
//! scheduler lets go of the task, which is before anything is freed.

use super::{
    accounts,
    causes::{hit, identify, read},
    frames::drop_frames_left,
    memory::{copy_path, frame, get, put},
    poll::look_within,
    send::{append_to, send, start_event},
    target::{Registers, thread_of_target},
};
use async_inspect_ebpf::{
    Account, CALM, COOKIE_HEADER, EVENT_ALONE, EVENT_ENDED, EVENT_OUTSIDE, EVENT_OVER, EVENT_PANICKED, FREE,
    Frame, PANICKING, PATH_ENDED, Thread,
};
use aya_ebpf::{EbpfContext, helpers::bpf_ktime_get_ns};

/// From a task's Stage to what its result is.
const OUTCOME_STEPS: u32 = 6;

/// tokio's `State::transition_to_complete`, whose argument is the header; or `Schedule::release`, whose second argument is a reference
/// to a pointer to it, or that pointer, where the compiler has changed what it is called with.
#[inline(always)]
pub fn task_ends(ctx: &impl EbpfContext) {
    let Some(thread) = thread_of_target() else { return };
    let is_header = hit(ctx, thread) & COOKIE_HEADER != 0;
    let registers = Registers::of(ctx);
    drop_frames_left(thread, registers.stack_pointer());
    let argument = if is_header { registers.first_argument() } else { registers.second_argument() };
    let behind = if is_header { argument } else { read(argument).unwrap_or(0) };
    if !find(thread, argument, behind) {
        return;
    }
    // What it is was written down, so that the verifier goes through this once.
    look_within::<OUTCOME_STEPS>(thread);
    let told = get!((*thread).over_header) == get!((*thread).header)
        && get!((*thread).over_task) == get!((*thread).task);
    // By a probe that it came by before on this thread, a moment ago.
    if get!((*thread).readable) == 0 || told {
        return;
    }
    match polled(thread, get!((*thread).header), FREE) {
        Some(top) => within_its_poll(thread, top),
        None => outside(thread),
    }
}

/// Which of these is a task's header, and of what kind that task is. False where neither is.
#[inline(always)]
fn find(thread: *mut Thread, argument: u64, behind: u64) -> bool {
    if let Some(top) = polled(thread, argument, behind) {
        put!((*thread).header, get!((*top).header));
        put!((*thread).site, get!((*top).site));
        return true;
    }
    let of_argument = identify(argument);
    put!((*thread).header, if of_argument.is_some() { argument } else { behind });
    let Some((site, _)) = of_argument.or_else(|| identify(behind)) else { return false };
    put!((*thread).site, site);
    true
}

/// The poll under way on this thread, if it is of the task with one of these headers.
#[inline(always)]
fn polled(thread: *mut Thread, header: u64, or: u64) -> Option<*mut Frame> {
    let depth = get!((*thread).depth);
    if depth == 0 {
        return None;
    }
    let top = frame(thread, depth.wrapping_sub(1));
    let at = get!((*top).header);
    if at == header || at == or { Some(top) } else { None }
}

/// Its poll's end tells it.
#[inline(always)]
fn within_its_poll(thread: *mut Thread, top: *mut Frame) {
    if get!((*thread).task) != get!((*top).task) {
        return;
    }
    put!((*thread).over_header, get!((*thread).header));
    put!((*thread).over_task, get!((*thread).task));
    put!((*thread).over_state, get!((*thread).state));
    // SAFETY: only addresses in the map value are made here.
    unsafe { copy_path(&raw const (*thread).path, &raw mut (*thread).over_path) };
}

/// It is told now: its runtime or `LocalSet` shuts down, or the start of its poll was not seen, or the ends of polls are not watched.
#[inline(always)]
fn outside(thread: *mut Thread) {
    let account = accounts::of(thread).filter(|account| {
        let account = *account;
        get!((*account).task) == get!((*thread).task)
    });
    if let Some(account) = account {
        if get!((*account).ended) == get!((*account).begun) {
            return;
        }
        put!((*account).ended, get!((*account).begun));
    }
    put!((*thread).over_header, get!((*thread).header));
    put!((*thread).over_task, get!((*thread).task));
    tell(thread, account);
}

#[inline(always)]
fn tell(thread: *mut Thread, account: Option<*mut Account>) {
    // SAFETY: no arguments.
    let now = unsafe { bpf_ktime_get_ns() };
    let mut flags = EVENT_ENDED | EVENT_OVER | EVENT_OUTSIDE;
    start_event(thread, account, 0);
    match account {
        Some(account) => put!((*thread).event.number, get!((*account).begun)),
        None => {
            flags |= EVENT_ALONE;
            // Of no poll.
            put!((*thread).event.polls, 0);
            put!((*thread).event.blocked_ns, 0);
            put!((*thread).event.preempted_ns, 0);
        }
    }
    if get!((*thread).panicking) == PANICKING {
        flags |= EVENT_PANICKED;
        put!((*thread).panicking, CALM);
    }
    put!((*thread).event.flags, flags);
    put!((*thread).event.start_ns, now);
    put!((*thread).event.end_ns, now);
    put!((*thread).event.task, get!((*thread).task));
    put!((*thread).event.state_before, get!((*thread).state));
    put!((*thread).event.state_after, get!((*thread).state));
    append_to(thread);
    send(thread);
}

/// Where the poll that ended was its task's last, as was seen within it, what was found of the task then takes the place of what is
/// there now. All in memory, since the verifier would go through what follows for either answer.
#[inline(always)]
pub fn take_over(thread: *mut Thread, old: *mut Frame) {
    let header = get!((*old).header);
    if get!((*thread).over_header) != header || get!((*thread).over_task) != get!((*old).task) {
        return;
    }
    put!((*thread).over_header, 0);
    put!((*old).flags, get!((*old).flags) | EVENT_OVER as u32);
    put!((*thread).state, get!((*thread).over_state));
    put!((*thread).task, get!((*old).task));
    put!((*thread).readable, 1);
    // SAFETY: only addresses in the map value are made here.
    unsafe { copy_path(&raw const (*thread).over_path, &raw mut (*thread).path) };
    put!((*thread).path.flags, get!((*thread).path.flags) | PATH_ENDED);
}

/// std's `rust_panic`: a panic begins to unwind.
#[inline(always)]
pub fn panics(ctx: &impl EbpfContext) {
    let Some(thread) = thread_of_target() else { return };
    hit(ctx, thread);
    drop_frames_left(thread, Registers::of(ctx).stack_pointer());
    if get!((*thread).panicking) == CALM {
        put!((*thread).panicking, PANICKING);
    }
    let depth = get!((*thread).depth);
    if depth > 0 {
        let top = frame(thread, depth.wrapping_sub(1));
        put!((*top).flags, get!((*top).flags) | EVENT_PANICKED as u32);
    }
}
