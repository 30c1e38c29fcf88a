//! A poll begins, a poll ends.

use super::{
    bounds::below_64,
    maps::{EVENTS, SITES, add, count, thread},
    memory::{append_arms, clear_path, copy_path, frame, get, put, same_path},
    target::{Registers, thread_of_target},
    tasks::Task,
};
use async_inspect_ebpf::{
    Counter, EVENT_GONE, EVENT_MOVED, EVENT_NESTED, EVENT_START_ONLY, EVENT_UNREADABLE, MAX_ARMS,
    MAX_NESTING, PATH_UNREADABLE, PollEvent, Thread,
};
use aya_ebpf::{
    EbpfContext,
    bindings::BPF_RB_NO_WAKEUP,
    helpers::{
        bpf_ktime_get_ns,
        generated::{bpf_get_attach_cookie, bpf_get_func_ip},
    },
};

/// What a session's entry answers to be called, or not, at the return.
const FOLLOW: u32 = 0;
const DECLINE: u32 = 1;

/// Values of `Thread::phase`.
const BEGIN: u32 = 0;
const END: u32 = 1;

#[inline(always)]
pub fn session(ctx: &impl EbpfContext) -> u32 {
    let begins = is_entry(ctx);
    let looking = if begins { prepare_begin(ctx) } else { prepare_end(ctx) };
    let Some(thread) = looking else { return if begins { DECLINE } else { 0 } };
    // Once for both, and which of them it is read back from memory: so the verifier goes through the walk once.
    look(thread);
    if get!((*thread).phase) == BEGIN {
        finish_begin(thread);
    } else {
        finish_end(thread);
    }
    FOLLOW
}

#[inline(always)]
pub fn begin(ctx: &impl EbpfContext) {
    if let Some(thread) = prepare_begin(ctx) {
        look(thread);
        finish_begin(thread);
    }
}

#[inline(always)]
pub fn end(ctx: &impl EbpfContext) {
    if let Some(thread) = prepare_end(ctx) {
        look(thread);
        finish_end(thread);
    }
}

#[inline(always)]
pub fn start_only(ctx: &impl EbpfContext) {
    // SAFETY: no arguments.
    let now = unsafe { bpf_ktime_get_ns() };
    let Some((tid, thread)) = hit(ctx) else { return };
    start_event(thread, tid);
    put!((*thread).event.start_ns, now);
    look(thread);
    put!((*thread).event.task, get!((*thread).task));
    put!((*thread).event.state_at_start, get!((*thread).state));
    let unreadable = if get!((*thread).readable) == 0 { EVENT_UNREADABLE } else { 0 };
    put!((*thread).event.flags, EVENT_START_ONLY | unreadable);
    append_to(thread);
    send(thread);
}

/// In a session, whether this is the entry. At the entry the instruction pointer is the probed one; at the
/// return it is already the caller's (kernel/events/uprobes.c, `uprobe_handle_trampoline`), while
/// `bpf_get_func_ip` names the probed function both times.
#[inline(always)]
fn is_entry(ctx: &impl EbpfContext) -> bool {
    // SAFETY: the helper takes any context of this program type.
    let function = unsafe { bpf_get_func_ip(ctx.as_ptr()) };
    Registers::of(ctx).instruction_pointer() == function
}

/// A poll function is entered: notes what to look at, if it was the target that was hit.
#[inline(always)]
fn hit(ctx: &impl EbpfContext) -> Option<(u32, *mut Thread)> {
    let Some(tid) = thread_of_target() else {
        count(Counter::Foreign);
        return None;
    };
    count(Counter::Entries);
    let Some(thread) = thread(tid) else {
        count(Counter::NoRoom);
        return None;
    };
    // SAFETY: the helper takes any context of this program type.
    let cookie = unsafe { bpf_get_attach_cookie(ctx.as_ptr()) };
    put!((*thread).site, cookie as u32);
    put!((*thread).header, Registers::of(ctx).first_argument());
    Some((tid, thread))
}

#[inline(always)]
fn prepare_begin(ctx: &impl EbpfContext) -> Option<*mut Thread> {
    let (_, thread) = hit(ctx)?;
    let sp = Registers::of(ctx).stack_pointer();
    drop_frames_left(thread, sp);
    let depth = get!((*thread).depth);
    if depth >= MAX_NESTING as u32 {
        count(Counter::NoRoom);
        return None;
    }
    put!((*frame(thread, depth)).sp, sp);
    put!((*thread).phase, BEGIN);
    Some(thread)
}

#[inline(always)]
fn finish_begin(thread: *mut Thread) {
    let depth = get!((*thread).depth);
    let new = frame(thread, depth);
    let nested = if depth > 0 { EVENT_NESTED } else { 0 };
    let unreadable = if get!((*thread).readable) == 0 { EVENT_UNREADABLE } else { 0 };
    put!((*new).flags, (nested | unreadable) as u32);
    put!((*new).header, get!((*thread).header));
    put!((*new).site, get!((*thread).site));
    put!((*new).task, get!((*thread).task));
    put!((*new).state, get!((*thread).state));
    // SAFETY: only addresses in the map value are made here.
    unsafe { copy_path(&raw const (*thread).path, &raw mut (*new).path) };
    // Late, so that what we cost is not taken for the poll's.
    // SAFETY: no arguments.
    put!((*new).start_ns, unsafe { bpf_ktime_get_ns() });
    // Last: user space looks at the frames that are said to be there.
    put!((*thread).depth, depth.wrapping_add(1));
}

#[inline(always)]
fn prepare_end(ctx: &impl EbpfContext) -> Option<*mut Thread> {
    // SAFETY: no arguments.
    let now = unsafe { bpf_ktime_get_ns() };
    let Some(tid) = thread_of_target() else {
        count(Counter::Foreign);
        return None;
    };
    count(Counter::Returns);
    let thread = thread(tid)?;
    // The return popped the address that the stack pointer stood at on entry.
    let sp = Registers::of(ctx).stack_pointer().wrapping_sub(8);
    if !take_frame(thread, sp) {
        count(Counter::Unmatched);
        return None;
    }
    // It has been taken off the stack, and is still there.
    let old = frame(thread, get!((*thread).depth));
    put!((*thread).site, get!((*old).site));
    put!((*thread).header, get!((*old).header));
    put!((*thread).phase, END);
    start_event(thread, tid);
    put!((*thread).event.end_ns, now);
    Some(thread)
}

/// The poll may have been the task's last, and its memory freed or another task's by now.
#[inline(always)]
fn finish_end(thread: *mut Thread) {
    let old = frame(thread, get!((*thread).depth));
    put!((*thread).event.task, get!((*old).task));
    put!((*thread).event.start_ns, get!((*old).start_ns));
    put!((*thread).event.state_at_start, get!((*old).state));
    let gone = get!((*thread).readable) == 0 || get!((*thread).task) != get!((*old).task);
    // SAFETY: only addresses in the map value are made here.
    let (before, after) = unsafe { (&raw const (*old).path, &raw mut (*thread).path) };
    if gone {
        clear_path(after);
    } else {
        put!((*thread).event.state_at_end, get!((*thread).state));
    }
    append_to(thread);
    let mut flags = get!((*old).flags) as u16 | if gone { EVENT_GONE } else { 0 };
    if !same_path(before, after) {
        append_arms(thread, get!((*after).len), before);
        put!((*thread).event.from_len, get!((*before).len) as u8);
        put!((*thread).event.from_flags, get!((*before).flags) as u16);
        flags |= EVENT_MOVED;
    }
    put!((*thread).event.flags, flags);
    send(thread);
}

/// Reads the task at `Thread::header`.
#[inline(always)]
fn look(thread: *mut Thread) {
    put!((*thread).readable, 0);
    let Some(site) = SITES.get(get!((*thread).site)) else { return };
    let mut task = Task::read(thread, get!((*thread).header), site);
    if let Some(id) = task.id(site) {
        put!((*thread).task, id);
        if let Some(state) = task.state() {
            put!((*thread).state, state);
            put!((*thread).readable, 1);
        }
    }
    task.path(site);
}

/// Drops the frames that a function entered at `sp` leaves no room for. The stack grows down: a frame at or
/// below `sp` is one whose return was never seen.
#[inline(always)]
fn drop_frames_left(thread: *mut Thread, sp: u64) {
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
fn take_frame(thread: *mut Thread, sp: u64) -> bool {
    drop_frames_left(thread, sp.wrapping_sub(1));
    let depth = get!((*thread).depth);
    if depth == 0 || get!((*frame(thread, depth.wrapping_sub(1))).sp) != sp {
        return false;
    }
    put!((*thread).depth, depth.wrapping_sub(1));
    true
}

#[inline(always)]
fn start_event(thread: *mut Thread, tid: u32) {
    for i in 0..size_of::<PollEvent>() / 8 {
        // SAFETY: within the event of the map value.
        put!(*(&raw mut (*thread).event).cast::<u64>().add(i), 0);
    }
    put!((*thread).event.tid, tid);
    put!((*thread).event.site, get!((*thread).site));
    put!((*thread).event.header, get!((*thread).header));
}

/// The path just taken becomes the event's `to`.
#[inline(always)]
fn append_to(thread: *mut Thread) {
    // SAFETY: only an address in the map value is made here.
    let path = unsafe { &raw const (*thread).path };
    append_arms(thread, 0, path);
    put!((*thread).event.to_len, get!((*path).len) as u8);
    put!((*thread).event.to_flags, get!((*path).flags) as u16);
}

/// Writes one record. No wake-up: user space looks every few milliseconds.
#[inline(always)]
fn send(thread: *mut Thread) {
    let flags = get!((*thread).event.flags);
    let path_flags = get!((*thread).event.to_flags) | get!((*thread).event.from_flags);
    if flags & EVENT_UNREADABLE != 0 || path_flags & PATH_UNREADABLE as u16 != 0 {
        count(Counter::Unreadable);
    }
    let arms = get!((*thread).event.to_len) as usize + get!((*thread).event.from_len) as usize;
    let len = size_of::<PollEvent>() + 4 * below_64(arms).min(2 * MAX_ARMS);
    // SAFETY: event and arms lie next to one another in the map value, and `len` ends within them.
    let record = unsafe { core::slice::from_raw_parts((&raw const (*thread).event).cast::<u8>(), len) };
    if EVENTS.output::<[u8]>(record, BPF_RB_NO_WAKEUP as u64).is_err() {
        count(Counter::Lost);
    }
}
