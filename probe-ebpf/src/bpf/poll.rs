//! A poll begins, a poll ends.

use super::{
    accounts, ends,
    frames::{drop_frames_left, take_frame},
    maps::{SITES, add_to, count, epoch, is_long},
    memory::{copy_path, frame, get, put},
    off_cpu,
    send::{append_from, append_to, send, start_event},
    target::{Registers, thread_of_target},
    tasks::Task,
    times,
};
use async_inspect_ebpf::{
    Account, CALM, Counter, EVENT_ALONE, EVENT_DISTURBED, EVENT_ENDED, EVENT_FIRST, EVENT_GONE, EVENT_NESTED,
    EVENT_OVER, EVENT_START_ONLY, EVENT_UNREADABLE, EVENT_WALKED, Frame, MAX_NESTING, MAX_STEPS, NONE,
    PATH_BROKEN, PATH_ENDED, Thread, next_number, settled,
};
use aya_ebpf::{
    EbpfContext,
    helpers::{bpf_ktime_get_ns, generated::bpf_get_attach_cookie},
};

/// What a session's entry answers to be called, or not, at the return.
const FOLLOW: u32 = 0;
const DECLINE: u32 = 1;

/// Values of `Thread::phase`.
const BEGIN: u32 = 0;
const END: u32 = 1;
/// A poll begins of a task of which everything is known.
const BEGIN_KNOWN: u32 = 2;

#[inline(always)]
pub fn session(ctx: &impl EbpfContext) -> u32 {
    let site = site(ctx);
    let begins = is_entry(ctx, site);
    let looking = if begins { prepare_begin(ctx, site) } else { prepare_end(ctx) };
    let Some(thread) = looking else { return if begins { DECLINE } else { 0 } };
    // Once for both, and which of them it is read back from memory: so the verifier goes through the walk once.
    if get!((*thread).phase) != BEGIN_KNOWN {
        look(thread);
    }
    if get!((*thread).phase) == END {
        finish_end(thread);
    } else {
        finish_begin(thread);
    }
    FOLLOW
}

#[inline(always)]
pub fn begin(ctx: &impl EbpfContext) {
    if let Some(thread) = prepare_begin(ctx, site(ctx)) {
        if get!((*thread).phase) == BEGIN {
            look(thread);
        }
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
    let Some(thread) = hit(ctx, site(ctx)) else { return };
    put!((*thread).panicking, CALM);
    look(thread);
    let readable = get!((*thread).readable) != 0;
    let mut flags = EVENT_START_ONLY | if readable { 0 } else { EVENT_UNREADABLE };
    let mut account = accounts::of(thread);
    let known = account.is_some_and(|account| get!((*account).task) == get!((*thread).task));
    if readable && !known && accounts::open(thread, account).is_some() {
        flags |= EVENT_FIRST;
        account = accounts::of(thread);
    }
    match account {
        Some(account) if readable => {
            let whole = get!((*thread).path.flags) & PATH_BROKEN == 0;
            if whole && get!((*account).path) != get!((*thread).path.hash) {
                flags |= EVENT_WALKED;
                put!((*account).path, get!((*thread).path.hash));
            }
            accounts::poll_ended(thread, account, 0);
            let is_current = get!((*account).epoch) == epoch();
            let woken_ns = if is_current { get!((*account).woken_ns) } else { 0 };
            if let Some(delay_ns) = accounts::delay(woken_ns, now) {
                accounts::add_delay(account, delay_ns);
                times::poll_began(thread, get!((*thread).site), get!((*account).path), delay_ns);
            }
            put!((*account).woken_ns, 0);
            put!((*account).epoch, epoch());
            put!((*account).last_end_ns, now);
        }
        _ => {
            account = None;
            flags |= EVENT_ALONE;
        }
    }
    if flags != EVENT_START_ONLY {
        start_event(thread, account, 0);
        put!((*thread).event.flags, flags);
        put!((*thread).event.start_ns, now);
        put!((*thread).event.task, get!((*thread).task));
        put!((*thread).event.state_before, get!((*thread).state));
        append_to(thread);
        send(thread);
    }
}

/// In a session, whether this is the entry: there the instruction pointer is the probed one, at the return it is already
/// the caller's (kernel/events/uprobes.c, `uprobe_handle_trampoline`). `bpf_get_func_ip` would tell in a place-independent way,
/// for 15 ns more.
#[inline(always)]
fn is_entry(ctx: &impl EbpfContext, site: u32) -> bool {
    let Some(site) = SITES.get(site) else { return false };
    Registers::of(ctx).instruction_pointer() == site.address
}

/// Index of the site that was hit.
#[inline(always)]
fn site(ctx: &impl EbpfContext) -> u32 {
    // SAFETY: the helper takes any context of this program type.
    unsafe { bpf_get_attach_cookie(ctx.as_ptr()) as u32 }
}

/// A poll function is entered: notes what to look at, if it was the target that was hit.
#[inline(always)]
fn hit(ctx: &impl EbpfContext, site: u32) -> Option<*mut Thread> {
    let thread = thread_of_target()?;
    put!((*thread).entries, get!((*thread).entries).wrapping_add(1));
    put!((*thread).site, site);
    put!((*thread).header, Registers::of(ctx).first_argument());
    Some(thread)
}

#[inline(always)]
fn prepare_begin(ctx: &impl EbpfContext, site: u32) -> Option<*mut Thread> {
    let thread = hit(ctx, site)?;
    let sp = Registers::of(ctx).stack_pointer();
    drop_frames_left(thread, sp);
    let depth = get!((*thread).depth);
    if depth >= MAX_NESTING as u32 {
        count(Counter::NoRoom);
        return None;
    }
    let new = frame(thread, depth);
    put!((*new).sp, sp);
    put!((*new).flags, if depth > 0 { EVENT_NESTED as u32 } else { 0 });
    put!((*new).header, get!((*thread).header));
    put!((*new).site, get!((*thread).site));
    put!((*new).woken_ns, 0);
    put!((*new).rested_ns, 0);
    let known = match accounts::of(thread) {
        // One of another kind has taken the place of a task that was dropped without a poll.
        Some(account)
            if get!((*account).ended) != get!((*account).begun)
                && get!((*account).site) == get!((*thread).site) =>
        {
            begin_known(new, account)
        }
        _ => {
            put!((*new).number, 0);
            false
        }
    };
    put!((*thread).phase, if known { BEGIN_KNOWN } else { BEGIN });
    Some(thread)
}

/// Another poll of a task with an account. Whether that tells where the task stands.
#[inline(always)]
fn begin_known(new: *mut Frame, account: *mut Account) -> bool {
    let (before, path) = (get!((*account).begun), get!((*account).path));
    let epoch = epoch();
    let is_current = get!((*account).epoch) == epoch;
    let is_settled = get!((*account).settled) == settled(path, before) && is_current;
    put!((*account).epoch, epoch);
    // Before anything is read here, and before the task is polled: the last poll's end, should it come only now, sees it.
    put!((*account).begun, next_number(before));
    put!((*new).number, next_number(before));
    put!((*new).task, get!((*account).task));
    put!((*new).state, get!((*account).state));
    put!((*new).path.hash, path);
    if is_settled {
        // Written before it was settled.
        put!((*new).rested_ns, get!((*account).last_end_ns));
    }
    let woken_ns = get!((*account).woken_ns);
    if woken_ns != 0 {
        put!((*account).woken_ns, 0);
        // Of a wake before the probes went out, other polls may have come since.
        put!((*new).woken_ns, if is_current { woken_ns } else { 0 });
    }
    // Without a path nothing tells at a poll's end that it was the last: then the next one asks who it is.
    is_settled && SITES.get(get!((*new).site)).is_some_and(|site| site.root != NONE)
}

#[inline(always)]
fn finish_begin(thread: *mut Thread) {
    let depth = get!((*thread).depth);
    let new = frame(thread, depth);
    if get!((*thread).phase) == BEGIN {
        finish_look(thread, new);
    }
    // Late, so that what we cost is not taken for the poll's.
    // SAFETY: no arguments.
    put!((*new).start_ns, unsafe { bpf_ktime_get_ns() });
    off_cpu::poll_begins(thread, new);
    // Last: user space looks at the frames that are said to be there.
    put!((*thread).depth, depth.wrapping_add(1));
}

/// A poll begins of a task that had to be looked at: it has no account yet, or its account does not tell.
#[inline(always)]
fn finish_look(thread: *mut Thread, new: *mut Frame) {
    let readable = get!((*thread).readable) != 0;
    let known = get!((*new).number) != 0;
    let mut flags = get!((*new).flags) | EVENT_WALKED as u32;
    if !readable {
        flags |= EVENT_UNREADABLE as u32;
    }
    // An account whose task is another by now (it was dropped without a poll) is written over.
    let same = known && readable && get!((*new).task) == get!((*thread).task);
    if !same {
        let number = if readable { accounts::open(thread, accounts::of(thread)) } else { None };
        put!((*new).number, number.unwrap_or(0));
        // It was the other task that was woken.
        put!((*new).woken_ns, 0);
        put!((*new).rested_ns, 0);
        flags |= if number.is_some() { EVENT_FIRST } else { EVENT_ALONE } as u32;
    }
    put!((*new).task, get!((*thread).task));
    put!((*new).state, get!((*thread).state));
    put!((*new).flags, flags);
    // SAFETY: only addresses in the map value are made here.
    unsafe { copy_path(&raw const (*thread).path, &raw mut (*new).path) };
}

#[inline(always)]
fn prepare_end(ctx: &impl EbpfContext) -> Option<*mut Thread> {
    // SAFETY: no arguments.
    let now = unsafe { bpf_ktime_get_ns() };
    let thread = thread_of_target()?;
    put!((*thread).returns, get!((*thread).returns).wrapping_add(1));
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
    put!((*thread).now_ns, now);
    Some(thread)
}

/// The poll may have been the task's last, and its memory freed or another task's by now; and another poll of it may have
/// begun elsewhere.
#[inline(always)]
fn finish_end(thread: *mut Thread) {
    let old = frame(thread, get!((*thread).depth));
    let now = get!((*thread).now_ns);
    let took = now.wrapping_sub(get!((*old).start_ns));
    ends::take_over(thread, old);
    off_cpu::poll_ends(thread, old, took);
    let account = accounts::of(thread).filter(|account| {
        let account = *account;
        get!((*old).number) != 0 && get!((*account).task) == get!((*old).task)
    });
    let mut flags = get!((*old).flags) as u16;
    let mut tell = flags & (EVENT_FIRST | EVENT_UNREADABLE) != 0 || is_long(took);
    let gone = get!((*thread).readable) == 0 || get!((*thread).task) != get!((*old).task);
    let path_flags = get!((*thread).path.flags);
    let ended = gone || path_flags & PATH_ENDED != 0;
    let idle_ns = accounts::idle(old);
    times::poll_ended(thread, old, took, idle_ns);
    match account {
        Some(account) => {
            // Where the poll before left the task is known from this one alone. Always told: the account may be a later
            // poll's by now, and to compare with it would tell nothing. A path of nothing is that of a site without one.
            let found = flags & EVENT_WALKED != 0 && get!((*old).path.flags) & PATH_BROKEN == 0;
            tell |= found && get!((*old).path.hash) != 0;
            // Before the poll is counted: who reads the count first has this as well.
            off_cpu::add_to_account(thread, account);
            accounts::poll_ended(thread, account, took);
            if let Some(delay_ns) = accounts::delay(get!((*old).woken_ns), get!((*old).start_ns)) {
                accounts::add_delay(account, delay_ns);
            }
            // SAFETY: only an address in the map value is made here.
            add_to(unsafe { &raw mut (*account).idle_ns }, idle_ns);
            put!((*account).last_end_ns, now);
            if get!((*account).begun) != get!((*old).number) {
                flags |= EVENT_DISTURBED;
            } else if ended {
                put!((*account).ended, get!((*old).number));
                flags |= EVENT_ENDED;
            } else if path_flags & PATH_BROKEN == 0 {
                accounts::forget_answered(thread, account);
                accounts::settle(thread, account, get!((*old).number));
                tell |= get!((*thread).path.hash) != get!((*old).path.hash);
            }
        }
        None => {
            // Another task stands in the account by now. Whether this poll was the last of its own, that one's first will say.
            let late = flags & EVENT_ALONE == 0;
            flags |= EVENT_ALONE
                | if late && flags & EVENT_OVER == 0 {
                    EVENT_DISTURBED
                } else if ended {
                    EVENT_ENDED
                } else {
                    0
                };
            tell = true;
        }
    }
    if tell || flags & EVENT_ENDED != 0 {
        tell_end(thread, old, account, flags | if gone { EVENT_GONE } else { 0 });
    }
}

#[inline(always)]
fn tell_end(thread: *mut Thread, old: *mut Frame, account: Option<*mut Account>, flags: u16) {
    let now = get!((*thread).now_ns);
    start_event(thread, account, now.wrapping_sub(get!((*old).start_ns)));
    put!((*thread).event.flags, flags);
    put!((*thread).event.end_ns, now);
    put!((*thread).event.task, get!((*old).task));
    put!((*thread).event.start_ns, get!((*old).start_ns));
    put!((*thread).event.state_before, get!((*old).state));
    put!((*thread).event.number, get!((*old).number));
    put!((*thread).event.from, get!((*old).path.hash));
    if flags & (EVENT_GONE | EVENT_DISTURBED) == 0 {
        put!((*thread).event.state_after, get!((*thread).state));
        append_to(thread);
    }
    if flags & EVENT_WALKED != 0 {
        append_from(thread, old);
    }
    send(thread);
}

/// Reads the task at `Thread::header`.
#[inline(always)]
fn look(thread: *mut Thread) {
    look_within::<MAX_STEPS>(thread);
}

/// The same, its path up to so many steps.
#[inline(always)]
pub fn look_within<const STEPS: u32>(thread: *mut Thread) {
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
    task.path::<STEPS>(site);
}
