//! What threads compute in polls that take long: their stacks, copied while they are on a CPU.
//!
//! User space sets a clock for a thread when it sees that its poll has lasted for a while (`trace/on_cpu.rs`). The program runs when it
//! strikes, in an interrupt, on the thread that was interrupted, perhaps in the middle of another program of ours: it reads what that one
//! keeps of its polls, and writes to none of it. The poll that the clock was set for may be over by then.

use super::{
    bounds::below_32768,
    maps::{SAMPLES, count, is_long, target},
    memory::{frame, get, put},
    target::known_thread,
};
use async_inspect_ebpf::{
    Counter, EVENT_UNREADABLE, Frame, RED_ZONE, Registers, SAMPLED_STACK, Sample, Thread,
};
use aya_ebpf::{
    bindings::BPF_RB_NO_WAKEUP,
    helpers::{
        bpf_get_current_pid_tgid, bpf_ktime_get_ns,
        generated::{bpf_get_current_task_btf, bpf_probe_read_kernel, bpf_probe_read_user, bpf_task_pt_regs},
    },
};

/// A poll that lasts longer has samples less often, ns.
const LONG_NS: u64 = 1_000_000_000;
/// No sooner than so long after the last one, ns.
const SELDOM_NS: u64 = 100_000_000;

#[inline(always)]
pub fn ticked() {
    let Some(target) = target() else { return };
    let tgid = get!((*target).tgid);
    let key = bpf_get_current_pid_tgid();
    // 0 is the idle thread's.
    if tgid == 0 || (key >> 32) as u32 != tgid {
        return;
    }
    count(Counter::Ticks);
    let Some(thread) = known_thread(key) else { return };
    let depth = get!((*thread).depth);
    if depth == 0 {
        return;
    }
    let poll = frame(thread, depth.wrapping_sub(1));
    if get!((*poll).flags) & EVENT_UNREADABLE as u32 != 0 {
        return;
    }
    // SAFETY: no arguments.
    let now = unsafe { bpf_ktime_get_ns() };
    let took_ns = now.saturating_sub(get!((*poll).start_ns));
    if is_long(took_ns) && is_due(thread, poll, now, took_ns) {
        take(thread, poll, now);
    }
}

/// Notes that it is, with its number.
#[inline(always)]
fn is_due(thread: *mut Thread, poll: *mut Frame, now: u64, took_ns: u64) -> bool {
    let start_ns = get!((*poll).start_ns);
    let first = get!((*thread).sampled_poll_ns) != start_ns;
    if !first && took_ns > LONG_NS && now.wrapping_sub(get!((*thread).sampled_ns)) < SELDOM_NS {
        return false;
    }
    let before = if first { 0 } else { get!((*thread).sampled) };
    put!((*thread).sampled_poll_ns, start_ns);
    put!((*thread).sampled_ns, now);
    put!((*thread).sampled, before.wrapping_add(1));
    true
}

#[inline(always)]
fn take(thread: *mut Thread, poll: *mut Frame, now: u64) {
    count(Counter::Samples);
    let Some(mut entry) = SAMPLES.reserve::<Sample>(0) else { return };
    let sample = entry.as_mut_ptr();
    put!((*sample).t_ns, now);
    put!((*sample).start_ns, get!((*poll).start_ns));
    put!((*sample).sp, get!((*poll).sp));
    put!((*sample).task, get!((*poll).task));
    put!((*sample).blocked_ns, get!((*thread).blocked_ns).wrapping_sub(get!((*poll).blocked_ns)));
    put!((*sample).preempted_ns, get!((*thread).preempted_ns).wrapping_sub(get!((*poll).preempted_ns)));
    put!((*sample).nth, get!((*thread).sampled));
    put!((*sample).site, get!((*poll).site));
    put!((*sample).tid, get!((*thread).tid));
    copy_stack(sample, get!((*poll).sp));
    // No wake-up, as for polls.
    entry.submit(BPF_RB_NO_WAKEUP as u64);
}

/// From the stack pointer up to the return address of the poll function, which was entered at `poll_sp`. The registers are those that
/// user space had, be it that the clock interrupted it or the kernel at work for it (`task_pt_regs`): a call of the kernel may compute
/// for long as well.
#[inline(always)]
fn copy_stack(sample: *mut Sample, poll_sp: u64) {
    // SAFETY: the record has room for as much as is read; where that fails the kernel fills it with zeros. The helpers answer and
    // take pointers of the kernel's, which the verifier knows.
    unsafe {
        let kept = bpf_task_pt_regs(bpf_get_current_task_btf());
        let registers = (&raw mut (*sample).registers).cast();
        bpf_probe_read_kernel(registers, size_of::<Registers>() as u32, kept as *const _);
    }
    let from = get!((*sample).registers.sp).wrapping_sub(RED_ZONE);
    let len = poll_sp.wrapping_add(8).wrapping_sub(from);
    put!((*sample).stack_at, from);
    put!((*sample).stack_len, 0);
    if len >= SAMPLED_STACK as u64 {
        return;
    }
    let len = below_32768(len as usize);
    // SAFETY: as above.
    let failed =
        unsafe { bpf_probe_read_user((&raw mut (*sample).stack).cast(), len as u32, from as *const _) };
    if failed == 0 {
        put!((*sample).stack_len, len as u64);
    }
}
