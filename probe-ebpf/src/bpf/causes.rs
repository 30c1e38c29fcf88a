//! What is done to tasks, and by whom: they are woken, they are spawned, they are dropped.
//!
//! The one who does it is the task whose poll is under way on this thread, or else the thread alone: a driver, a `block_on`,
//! a thread of the user's own.

use super::{
    accounts,
    maps::{CAUSES, CONFIG, POLLS, SITES, count, epoch},
    memory::{frame, get, put},
    target::{Registers, thread_of_target},
};
use async_inspect_ebpf::{
    Account, CAUSE_BY_TASK, CAUSE_DROP, CAUSE_SPAWN, CAUSE_WAKE, COOKIE_AFTER, COOKIE_DEAR, Cause, Counter,
    EVENT_UNREADABLE, NONE, Thread, WOKEN_AFTER,
};
use aya_ebpf::{
    EbpfContext,
    bindings::BPF_RB_NO_WAKEUP,
    helpers::{
        bpf_ktime_get_ns,
        generated::{bpf_get_attach_cookie, bpf_probe_read_user},
    },
};

/// In [`Cause::flags`], for the programs themselves: as [`COOKIE_AFTER`].
const AFTER: u32 = 1 << 31;

#[inline(always)]
pub fn wake(ctx: &impl EbpfContext) {
    let Some(thread) = thread_of_target() else { return };
    let mut cause = begin(ctx, thread, CAUSE_WAKE, Registers::of(ctx).first_argument());
    put!((*thread).header, cause.header);
    let account = accounts::of(thread).filter(|account| {
        get!((**account).begun) != get!((**account).ended) && get!((**account).epoch) == epoch()
    });
    let known = match account {
        // Nobody wakes a task before its first poll, so that the account of another at this address is told by its end.
        Some(account) => {
            cause.task = get!((*account).task);
            cause.site = get!((*account).site);
            note_wake(account, &cause);
            true
        }
        None => introduce(&mut cause),
    };
    finish(&cause, known);
}

/// From now on the task waits for its next poll, unless it did already.
///
/// tokio marks a task that is woken, and takes the mark off when it is polled, a moment after our probe of that. So where a task has
/// the mark before this wake, a poll may have been seen to begin that answers this wake too. Where the wake itself is done, the mark
/// may be its own: then the end of the poll under way, if one is, tells whether it was answered (`accounts::forget_answered`).
#[inline(always)]
fn note_wake(account: *mut Account, cause: &Cause) {
    let Some(config) = CONFIG.get(0).filter(|config| config.notified != 0) else { return };
    if get!((*account).woken_ns) != 0 {
        return;
    }
    let Some(state) = read(cause.header) else { return };
    let after = cause.flags & AFTER != 0;
    if (state & config.notified != 0) == after {
        let woken_ns = if after { cause.t_ns | WOKEN_AFTER } else { cause.t_ns & !WOKEN_AFTER };
        put!((*account).woken_ns, woken_ns);
    }
}

#[inline(always)]
pub fn spawn(ctx: &impl EbpfContext) {
    let Some(thread) = thread_of_target() else { return };
    let mut cause = begin(ctx, thread, CAUSE_SPAWN, Registers::of(ctx).second_argument());
    let known = introduce(&mut cause);
    finish(&cause, known);
}

/// tokio's `raw::shutdown`: nobody polls the task any more, unless that is under way.
///
/// Whatever had the account, the next poll at this address is another task's.
#[inline(always)]
pub fn drop_task(ctx: &impl EbpfContext) {
    let Some(thread) = thread_of_target() else { return };
    let mut cause = begin(ctx, thread, CAUSE_DROP, Registers::of(ctx).first_argument());
    let at_work = CONFIG.get(0).map_or(0, |config| config.busy_or_over);
    if read(cause.header).is_none_or(|state| state & at_work != 0) {
        return;
    }
    put!((*thread).header, cause.header);
    if let Some(account) = accounts::of(thread) {
        put!((*account).ended, get!((*account).begun));
    }
    let known = introduce(&mut cause);
    // The scheduler lets go of it next, on this thread.
    put!((*thread).over_header, cause.header);
    put!((*thread).over_task, cause.task);
    finish(&cause, known);
}

/// Counts the hit of a probe, with what it costs. Answers its cookie.
#[inline(always)]
pub fn hit(ctx: &impl EbpfContext, thread: *mut Thread) -> u64 {
    put!((*thread).causes, get!((*thread).causes).wrapping_add(1));
    // SAFETY: the helper takes any context of this program type.
    let cookie = unsafe { bpf_get_attach_cookie(ctx.as_ptr()) };
    put!((*thread).dear, get!((*thread).dear).wrapping_add(cookie & COOKIE_DEAR));
    cookie
}

/// Who does it, and when.
#[inline(always)]
fn begin(ctx: &impl EbpfContext, thread: *mut Thread, kind: u32, header: u64) -> Cause {
    let cookie = hit(ctx, thread);
    let flags = if cookie & COOKIE_AFTER != 0 { AFTER } else { 0 };
    // SAFETY: no arguments.
    let t_ns = unsafe { bpf_ktime_get_ns() };
    let mut cause = Cause { t_ns, header, task: 0, by: 0, site: NONE, tid: get!((*thread).tid), kind, flags };
    let depth = get!((*thread).depth);
    if depth > 0 {
        let top = frame(thread, depth.wrapping_sub(1));
        // The stack grows down: a frame below is one whose return was never seen.
        let sees_who = get!((*top).flags) & EVENT_UNREADABLE as u32 == 0
            && SITES.get(get!((*top).site)).is_some_and(|site| site.id_offset != NONE);
        if sees_who && get!((*top).sp) > Registers::of(ctx).stack_pointer() {
            cause.by = get!((*top).task);
            cause.flags |= CAUSE_BY_TASK;
        }
    }
    cause
}

/// Reads in the task what it is. False where that cannot be told.
#[inline(always)]
fn introduce(cause: &mut Cause) -> bool {
    let Some((site, task)) = identify(cause.header) else { return false };
    cause.site = site;
    cause.task = task;
    true
}

/// The kind and the id of the task with this header; 0 where tasks of its kind are not told apart. None: it is no task of a kind that
/// is known.
#[inline(always)]
pub fn identify(header: u64) -> Option<(u32, u64)> {
    let config = CONFIG.get(0)?;
    let vtable = read(header.wrapping_add(config.vtable_off as u64))?;
    let poll = read(vtable.wrapping_add(config.poll_slot as u64))?;
    // SAFETY: user space fills this map before it attaches and never removes from it.
    let nth = (unsafe { POLLS.get(poll) }).copied()?;
    let site = SITES.get(nth)?;
    if site.id_offset == NONE {
        return Some((nth, 0));
    }
    Some((nth, read(header.wrapping_add(site.id_offset as u64))?))
}

/// A word of the target.
#[inline(always)]
pub fn read(at: u64) -> Option<u64> {
    let mut word = 0u64;
    // SAFETY: `word` has room for eight bytes.
    let failed = unsafe { bpf_probe_read_user((&raw mut word).cast(), 8, at as *const _) };
    if failed == 0 { Some(word) } else { None }
}

/// Writes the record. No wake-up, as for polls.
#[inline(always)]
fn finish(cause: &Cause, known: bool) {
    if !known {
        count(Counter::Unidentified);
    } else if CAUSES.output::<Cause>(cause, BPF_RB_NO_WAKEUP as u64).is_err() {
        count(Counter::Lost);
    }
}
