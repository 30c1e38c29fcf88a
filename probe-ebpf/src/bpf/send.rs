//! One record for user space.

use super::bounds::below_64;
use super::maps::{EVENTS, count};
use super::memory::{append_arms, get, put};
use async_inspect_ebpf::{
    Account, Counter, EVENT_UNREADABLE, Frame, MAX_ARMS, PATH_UNREADABLE, PollEvent, Thread,
};
use aya_ebpf::bindings::BPF_RB_NO_WAKEUP;

/// A new event, of the task and site that the thread looks at: with the sums of its account, or this one poll.
#[inline(always)]
pub fn start_event(thread: *mut Thread, account: Option<*mut Account>, took_ns: u64) {
    for i in 0..size_of::<PollEvent>() / 8 {
        // SAFETY: within the event of the map value.
        put!(*(&raw mut (*thread).event).cast::<u64>().add(i), 0);
    }
    put!((*thread).event.tid, get!((*thread).tid));
    put!((*thread).event.site, get!((*thread).site));
    put!((*thread).event.header, get!((*thread).header));
    let (polls, busy_ns) = match account {
        Some(account) => {
            put!((*thread).event.delays, get!((*account).delays));
            put!((*thread).event.delay_ns, get!((*account).delay_ns));
            put!((*thread).event.delay_max_ns, get!((*account).delay_max_ns));
            put!((*thread).event.idle_ns, get!((*account).idle_ns));
            put!((*thread).event.busy_max_ns, get!((*account).busy_max_ns));
            put!((*thread).event.polls_before, get!((*account).polls_before));
            put!((*thread).event.delays_before, get!((*account).delays_before));
            (get!((*account).polls), get!((*account).busy_ns))
        }
        None => (1, took_ns),
    };
    let (blocked_ns, preempted_ns) = match account {
        Some(account) => (get!((*account).blocked_ns), get!((*account).preempted_ns)),
        None => (get!((*thread).poll_blocked_ns), get!((*thread).poll_preempted_ns)),
    };
    put!((*thread).event.blocked_ns, blocked_ns);
    put!((*thread).event.preempted_ns, preempted_ns);
    put!((*thread).event.polls, polls);
    put!((*thread).event.busy_ns, busy_ns);
}

/// The path just taken becomes the event's `to`.
#[inline(always)]
pub fn append_to(thread: *mut Thread) {
    // SAFETY: only an address in the map value is made here.
    append_arms(thread, 0, unsafe { &raw const (*thread).path });
    put!((*thread).event.to, get!((*thread).path.hash));
    put!((*thread).event.to_len, get!((*thread).path.len) as u8);
    put!((*thread).event.to_flags, get!((*thread).path.flags));
}

/// The path that was read when the poll began becomes the event's `from`. After [`append_to`].
#[inline(always)]
pub fn append_from(thread: *mut Thread, old: *mut Frame) {
    // SAFETY: only an address in the map value is made here.
    append_arms(thread, get!((*thread).event.to_len) as u32, unsafe { &raw const (*old).path });
    put!((*thread).event.from_len, get!((*old).path.len) as u8);
    put!((*thread).event.from_flags, get!((*old).path.flags));
}

/// Writes the record. No wake-up: user space looks every few milliseconds.
#[inline(always)]
pub fn send(thread: *mut Thread) {
    let path_flags = get!((*thread).event.to_flags) | get!((*thread).event.from_flags);
    if get!((*thread).event.flags) & EVENT_UNREADABLE != 0 || path_flags & PATH_UNREADABLE != 0 {
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
