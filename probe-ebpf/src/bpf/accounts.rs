//! The accounts of tasks.

use super::maps::{TASK_KEYS, TASKS, add_to, epoch};
use super::memory::{get, put};
use super::slots::{find, settle as settle_slot, take};
use async_inspect_ebpf::{Account, Thread, next_number, settled, task_slot};

/// The account at the header that the thread looks at.
#[inline(always)]
pub fn of(thread: *mut Thread) -> Option<*mut Account> {
    TASKS.get_ptr_mut(find(&TASK_KEYS, get!((*thread).header), task_slot)?)
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
    put!((*account).woken_ns, 0);
    // Unlike the other sums: what the last task gained since it was last read is not told.
    put!((*account).delays, 0);
    put!((*account).delay_ns, 0);
    put!((*account).delay_max_ns, 0);
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
    put!((*account).task, get!((*thread).task));
    put!((*account).path, get!((*thread).path.hash));
    put!((*account).site, get!((*thread).site));
    put!((*account).epoch, epoch());
}

/// Another poll ended.
#[inline(always)]
pub fn poll_ended(thread: *mut Thread, account: *mut Account, took_ns: u64) {
    // SAFETY: only addresses in the map value are made here.
    let (polls, busy_ns) = unsafe { (&raw mut (*account).polls, &raw mut (*account).busy_ns) };
    // In this order: who reads the polls first has their time as well.
    add_to(busy_ns, took_ns);
    add_to(polls, 1);
    put!((*account).tid, get!((*thread).tid));
}

/// A poll ended that began at `start_ns`; its task had been woken for it at `woken_ns`, if that is not 0.
#[inline(always)]
pub fn add_delay(account: *mut Account, woken_ns: u64, start_ns: u64) {
    // The other way round where the probe of the wake was late.
    if woken_ns == 0 || woken_ns > start_ns {
        return;
    }
    let delay_ns = start_ns.wrapping_sub(woken_ns);
    put!((*account).delay_ns, get!((*account).delay_ns).wrapping_add(delay_ns));
    put!((*account).delays, get!((*account).delays).wrapping_add(1));
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
