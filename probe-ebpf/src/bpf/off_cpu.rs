//! Time within polls in which their thread was off CPU.
//!
//! The scheduler tells of each switch of a CPU, whosever the threads are: those of others must cost next to nothing. So
//! processes are compared first, and only then a thread is looked up; and who comes in is read only while somebody is waited for.

use super::{
    maps::{CONFIG, add_to, target},
    memory::{get, put},
    target::known_thread,
};
use async_inspect_ebpf::{Account, Frame, Target, Thread};
use aya_ebpf::{
    helpers::{bpf_get_current_pid_tgid, bpf_ktime_get_ns, generated::bpf_probe_read_kernel},
    programs::RawTracePointContext,
};

/// Arguments of the tracepoint since Linux 5.18 (include/trace/events/sched.h, `TP_PROTO` of `sched_switch`).
const PREEMPT: usize = 0;
const NEXT: usize = 2;
const PREV_STATE: usize = 3;

/// The thread that leaves its CPU is still the current one.
#[inline(always)]
pub fn switched(ctx: &RawTracePointContext) {
    let Some(target) = target() else { return };
    let tgid = get!((*target).tgid);
    // 0 is the idle thread's.
    if tgid == 0 {
        return;
    }
    let leaves = bpf_get_current_pid_tgid();
    if (leaves >> 32) as u32 == tgid {
        goes_out(ctx, leaves, target);
    }
    // Of a thread that is waited for the cpu that it left has told before it can come in.
    if get!((*target).off_cpu) == 0 {
        return;
    }
    let Some(config) = CONFIG.get(0) else { return };
    let next: u64 = ctx.arg(NEXT);
    let mut comes = 0u64;
    // SAFETY: `comes` has room for eight bytes. The two ids stand next to one another as in what
    // `bpf_get_current_pid_tgid` answers, which is how threads are known.
    let failed = unsafe {
        bpf_probe_read_kernel(
            (&raw mut comes).cast(),
            8,
            next.wrapping_add(config.kernel_ids as u64) as *const _,
        )
    };
    if failed == 0 && (comes >> 32) as u32 == tgid {
        comes_in(comes, target);
    }
}

#[inline(always)]
fn goes_out(ctx: &RawTracePointContext, key: u64, target: *mut Target) {
    let Some(thread) = known_thread(key) else { return };
    if get!((*thread).depth) == 0 {
        return;
    }
    let (preempt, state): (u64, u64) = (ctx.arg(PREEMPT), ctx.arg(PREV_STATE));
    // A thread that was about to sleep and is preempted before it does is still ready to run. A bool and an unsigned int: what
    // stands above them in the register is not defined.
    let asleep = preempt & 0xff == 0 && state as u32 != 0;
    put!((*thread).asleep, asleep as u32);
    if get!((*thread).off_since_ns) == 0 {
        // SAFETY: only an address in the map value is made here.
        add_to(unsafe { &raw mut (*target).off_cpu }, 1);
    }
    // SAFETY: no arguments.
    put!((*thread).off_since_ns, unsafe { bpf_ktime_get_ns() });
}

/// Nobody else writes to the entry meanwhile: a thread comes in only when its going out is over (`on_cpu` in
/// kernel/sched/core.c).
#[inline(always)]
fn comes_in(key: u64, target: *mut Target) {
    let Some(thread) = known_thread(key) else { return };
    let since_ns = get!((*thread).off_since_ns);
    if since_ns == 0 {
        return;
    }
    // SAFETY: no arguments.
    let off_ns = unsafe { bpf_ktime_get_ns() }.wrapping_sub(since_ns);
    if get!((*thread).asleep) != 0 {
        put!((*thread).blocked_ns, get!((*thread).blocked_ns).wrapping_add(off_ns));
    } else {
        put!((*thread).preempted_ns, get!((*thread).preempted_ns).wrapping_add(off_ns));
    }
    // Last: who reads that it is back has the time as well.
    is_back(thread, target);
}

#[inline(always)]
fn is_back(thread: *mut Thread, target: *mut Target) {
    put!((*thread).off_since_ns, 0);
    // SAFETY: only an address in the map value is made here. One less.
    add_to(unsafe { &raw mut (*target).off_cpu }, u64::MAX);
}

/// After its time was taken.
#[inline(always)]
pub fn poll_begins(thread: *mut Thread, new: *mut Frame) {
    put!((*new).blocked_ns, get!((*thread).blocked_ns));
    put!((*new).preempted_ns, get!((*thread).preempted_ns));
}

/// `took_ns`: how long the poll was.
#[inline(always)]
pub fn poll_ends(thread: *mut Thread, old: *mut Frame, took_ns: u64) {
    // One in some hundred preemptions is seen to begin here and not to end (Linux 6.18). How long it was is not known: it counts
    // as time on CPU.
    if get!((*thread).off_since_ns) != 0
        && let Some(target) = target()
    {
        is_back(thread, target);
    }
    let blocked_ns = get!((*thread).blocked_ns).wrapping_sub(get!((*old).blocked_ns));
    let preempted_ns = get!((*thread).preempted_ns).wrapping_sub(get!((*old).preempted_ns));
    // Between the end of the poll and here the thread may have been preempted, and no more than that.
    let on_cpu = took_ns.saturating_sub(blocked_ns);
    put!((*thread).poll_blocked_ns, blocked_ns);
    put!((*thread).poll_preempted_ns, if preempted_ns < on_cpu { preempted_ns } else { on_cpu });
}

#[inline(always)]
pub fn add_to_account(thread: *mut Thread, account: *mut Account) {
    let (blocked_ns, preempted_ns) = (get!((*thread).poll_blocked_ns), get!((*thread).poll_preempted_ns));
    if blocked_ns | preempted_ns == 0 {
        return;
    }
    // SAFETY: only addresses in the map value are made here.
    let (all_blocked, all_preempted) =
        unsafe { (&raw mut (*account).blocked_ns, &raw mut (*account).preempted_ns) };
    add_to(all_blocked, blocked_ns);
    add_to(all_preempted, preempted_ns);
}
