//! The accounts of tasks.

use super::maps::{CONFIG, TASK_KEYS, TASKS, add_to, epoch};
use super::memory::{get, put};
use super::slots::{find, settle as settle_slot, take};
use async_inspect_ebpf::{Account, FREE, Frame, TAKEN, Thread, WOKEN_AFTER, next_number, settled, task_slot};

/// The account at the header that the thread looks at.
#[inline(always)]
pub fn of(thread: *mut Thread) -> Option<*mut Account> {
    let header = get!((*thread).header);
    // What a broken program may have for a header and a table for no key.
    if header == FREE || header == TAKEN {
        return None;
    }
    TASKS.get_ptr_mut(find(&TASK_KEYS, header, task_slot)?)
}

/// Opens an account for the task just read, whose first poll begins; in the place of another that stood at the same address,
/// if there is one. The number of that poll; None where there is no room.
#[inline(always)]
pub fn open(thread: *mut Thread, over: Option<*mut Account>) -> Option<u32> {
    let Some(account) = over else { return open_anew(thread) };
    // The sums go on: user space takes differences. And so do the numbers, by which a straggler of the other task's
    // knows that it is one.
    let number = next_number(get!((*account).begun));
    put!((*account).begun, number);
    put!((*account).polls_before, get!((*account).polls));
    put!((*account).delays_before, get!((*account).delays));
    put!((*account).woken_ns, 0);
    put!((*account).delay_max_ns, 0);
    put!((*account).busy_max_ns, 0);
    introduce(thread, account);
    Some(number)
}

#[inline(always)]
fn open_anew(thread: *mut Thread) -> Option<u32> {
    const FIRST: u32 = 1;
    let header = get!((*thread).header);
    let slot = take(&TASK_KEYS, header, task_slot)?;
    let account = TASKS.get_ptr_mut(slot)?;
    for word in 0..size_of::<Account>() / 8 {
        // SAFETY: within the map value, which is made of such words.
        unsafe { account.cast::<u64>().add(word).write_volatile(0) };
    }
    put!((*account).begun, FIRST);
    introduce(thread, account);
    settle_slot(&TASK_KEYS, slot, header);
    Some(FIRST)
}

/// Whose account it is, and where that task stands.
#[inline(always)]
fn introduce(thread: *mut Thread, account: *mut Account) {
    put!((*account).path, get!((*thread).path.hash));
    put!((*account).site, get!((*thread).site));
    put!((*account).epoch, epoch());
    // Last: who reads the task first has its kind as well.
    put!((*account).task, get!((*thread).task));
}

/// Another poll ended.
#[inline(always)]
pub fn poll_ended(thread: *mut Thread, account: *mut Account, took_ns: u64) {
    // SAFETY: only addresses in the map value are made here.
    let (polls, busy_ns) = unsafe { (&raw mut (*account).polls, &raw mut (*account).busy_ns) };
    // In this order: who reads the polls first has their time as well.
    add_to(busy_ns, took_ns);
    add_to(polls, 1);
    if took_ns > get!((*account).busy_max_ns) {
        put!((*account).busy_max_ns, took_ns);
    }
    put!((*account).tid, get!((*thread).tid));
}

/// How long after it was woken, at `woken_ns` (0: it was not seen to be), a task's poll began. None as well the other way round:
/// there the probe of the wake was late.
#[inline(always)]
pub fn delay(woken_ns: u64, start_ns: u64) -> Option<u64> {
    if woken_ns == 0 || woken_ns > start_ns { None } else { Some(start_ns.wrapping_sub(woken_ns)) }
}

/// How long the task of a poll had been idle before: until it was woken, or until the poll where it was not seen to be. 0 where
/// the end of its last poll is not known, and where it was woken before that.
#[inline(always)]
pub fn idle(old: *mut Frame) -> u64 {
    let (rested_ns, woken_ns) = (get!((*old).rested_ns), get!((*old).woken_ns));
    let until_ns = if woken_ns != 0 { woken_ns } else { get!((*old).start_ns) };
    if rested_ns == 0 || until_ns < rested_ns { 0 } else { until_ns.wrapping_sub(rested_ns) }
}

/// A poll ended, and the thread has looked at its task: a wake that was noted when it was done, and has left no mark on the task, was
/// answered by that poll.
#[inline(always)]
pub fn forget_answered(thread: *mut Thread, account: *mut Account) {
    let notified = CONFIG.get(0).map_or(0, |config| config.notified);
    if get!((*account).woken_ns) & WOKEN_AFTER != 0 && get!((*thread).state) & notified == 0 {
        put!((*account).woken_ns, 0);
    }
}

/// A poll ended, or began and its end is not seen, that its task had been waiting for since it was woken.
#[inline(always)]
pub fn add_delay(account: *mut Account, delay_ns: u64) {
    // SAFETY: only addresses in the map value are made here.
    let (sum, delays) = unsafe { (&raw mut (*account).delay_ns, &raw mut (*account).delays) };
    add_to(sum, delay_ns);
    add_to(delays, 1);
    if delay_ns > get!((*account).delay_max_ns) {
        put!((*account).delay_max_ns, delay_ns);
    }
}

/// The path just taken is where poll `number` left the task, for certain.
#[inline(always)]
pub fn settle(thread: *mut Thread, account: *mut Account, number: u32) {
    put!((*account).path, get!((*thread).path.hash));
    put!((*account).state, get!((*thread).state));
    put!((*account).settled, settled(get!((*thread).path.hash), number));
}
