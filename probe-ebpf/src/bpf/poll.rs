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
    MAX_NESTING, PATH_UNREADABLE, PollEvent, Site, Thread,
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

/// In a session, whether this is the entry. At the entry the instruction pointer is the probed one; at the
/// return it is already the caller's (kernel/events/uprobes.c, `uprobe_handle_trampoline`), while
/// `bpf_get_func_ip` names the probed function both times.
#[inline(always)]
pub fn is_entry(ctx: &impl EbpfContext) -> bool {
    // SAFETY: the helper takes any context of this program type.
    let function = unsafe { bpf_get_func_ip(ctx.as_ptr()) };
    Registers::of(ctx).instruction_pointer() == function
}

#[inline(always)]
pub fn begin(ctx: &impl EbpfContext) -> u32 {
    let Some((tid, site_index, site)) = hit(ctx) else { return DECLINE };
    let Some(thread) = thread(tid) else {
        count(Counter::NoRoom);
        return DECLINE;
    };
    let registers = Registers::of(ctx);
    let sp = registers.stack_pointer();
    drop_frames_left(thread, sp);
    let depth = get!((*thread).depth);
    if depth >= MAX_NESTING as u32 {
        count(Counter::NoRoom);
        return DECLINE;
    }
    let header = registers.first_argument();
    let new = frame(thread, depth);
    put!((*new).sp, sp);
    put!((*new).header, header);
    put!((*new).site, site_index);
    put!((*new).flags, if depth > 0 { EVENT_NESTED as u32 } else { 0 });
    put!((*thread).depth, depth + 1);
    let mut task = Task::read(thread, header, site);
    match task.id(site) {
        Some(id) => put!((*new).task, id),
        None => put!((*new).flags, get!((*new).flags) | EVENT_UNREADABLE as u32),
    }
    match task.state() {
        Some(state) => put!((*new).state, state),
        None => put!((*new).flags, get!((*new).flags) | EVENT_UNREADABLE as u32),
    }
    task.path(site);
    let new = frame(thread, get!((*thread).depth).wrapping_sub(1));
    // SAFETY: only addresses in the map value are made here.
    unsafe { copy_path(&raw const (*thread).path, &raw mut (*new).path) };
    // Last, so that what we cost is not taken for the poll's.
    // SAFETY: no arguments.
    put!((*new).start_ns, unsafe { bpf_ktime_get_ns() });
    FOLLOW
}

#[inline(always)]
pub fn end(ctx: &impl EbpfContext) {
    // SAFETY: no arguments.
    let now = unsafe { bpf_ktime_get_ns() };
    let Some(tid) = thread_of_target() else {
        count(Counter::Foreign);
        return;
    };
    count(Counter::Returns);
    let Some(thread) = thread(tid) else { return };
    // The return popped the address that the stack pointer stood at on entry.
    let sp = Registers::of(ctx).stack_pointer().wrapping_sub(8);
    if !take_frame(thread, sp) {
        count(Counter::Unmatched);
        return;
    }
    // It has been taken off the stack, and is still there.
    let old = frame(thread, get!((*thread).depth));
    let Some(site) = SITES.get(get!((*old).site)) else { return };
    start_event(thread, tid, get!((*old).site), get!((*old).header));
    put!((*thread).event.task, get!((*old).task));
    put!((*thread).event.start_ns, get!((*old).start_ns));
    put!((*thread).event.end_ns, now);
    put!((*thread).event.state_at_start, get!((*old).state));
    put!((*thread).event.flags, get!((*old).flags) as u16);
    // The poll may have been the task's last, and its memory freed or another task's by now.
    let mut task = Task::read(thread, get!((*old).header), site);
    match (task.id(site), task.state()) {
        (Some(id), Some(state)) if id == get!((*old).task) => put!((*thread).event.state_at_end, state),
        _ => put!((*thread).event.flags, get!((*thread).event.flags) | EVENT_GONE),
    }
    // SAFETY: only an address in the map value is made here.
    let path = unsafe { &raw mut (*thread).path };
    if get!((*thread).event.flags) & EVENT_GONE == 0 {
        task.path(site);
    } else {
        clear_path(path);
    }
    let old = frame(thread, get!((*thread).depth));
    // SAFETY: as above.
    let before = unsafe { &raw const (*old).path };
    append_arms(thread, 0, path);
    put!((*thread).event.to_len, get!((*path).len) as u8);
    put!((*thread).event.to_flags, get!((*path).flags) as u16);
    if !same_path(before, path) {
        append_arms(thread, get!((*path).len), before);
        put!((*thread).event.from_len, get!((*before).len) as u8);
        put!((*thread).event.from_flags, get!((*before).flags) as u16);
        put!((*thread).event.flags, get!((*thread).event.flags) | EVENT_MOVED);
    }
    send(thread);
}

#[inline(always)]
pub fn start_only(ctx: &impl EbpfContext) {
    // SAFETY: no arguments.
    let now = unsafe { bpf_ktime_get_ns() };
    let Some((tid, site_index, site)) = hit(ctx) else { return };
    let Some(thread) = thread(tid) else {
        count(Counter::NoRoom);
        return;
    };
    let header = Registers::of(ctx).first_argument();
    start_event(thread, tid, site_index, header);
    put!((*thread).event.start_ns, now);
    put!((*thread).event.flags, EVENT_START_ONLY);
    let mut task = Task::read(thread, header, site);
    match (task.id(site), task.state()) {
        (Some(id), Some(state)) => {
            put!((*thread).event.task, id);
            put!((*thread).event.state_at_start, state);
        }
        _ => put!((*thread).event.flags, EVENT_START_ONLY | EVENT_UNREADABLE),
    }
    task.path(site);
    // SAFETY: only an address in the map value is made here.
    let path = unsafe { &raw const (*thread).path };
    append_arms(thread, 0, path);
    put!((*thread).event.to_len, get!((*path).len) as u8);
    put!((*thread).event.to_flags, get!((*path).flags) as u16);
    send(thread);
}

/// A poll begins: the thread, the site and its index, if it is the target that was hit.
#[inline(always)]
fn hit(ctx: &impl EbpfContext) -> Option<(u32, u32, &'static Site)> {
    let Some(tid) = thread_of_target() else {
        count(Counter::Foreign);
        return None;
    };
    count(Counter::Entries);
    // SAFETY: the helper takes any context of this program type.
    let index = unsafe { bpf_get_attach_cookie(ctx.as_ptr()) } as u32;
    match SITES.get(index) {
        Some(site) => Some((tid, index, site)),
        None => {
            count(Counter::NoRoom);
            None
        }
    }
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
fn start_event(thread: *mut Thread, tid: u32, site: u32, header: u64) {
    for i in 0..size_of::<PollEvent>() / 8 {
        // SAFETY: within the event of the map value.
        put!(*(&raw mut (*thread).event).cast::<u64>().add(i), 0);
    }
    put!((*thread).event.tid, tid);
    put!((*thread).event.site, site);
    put!((*thread).event.header, header);
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
