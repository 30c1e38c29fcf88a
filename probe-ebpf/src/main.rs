//! The BPF programs. Built by `cargo xtask ebpf build` only; user space loads the committed object.
//!
//! One probe site is one executor poll function (tokio's `raw::poll<F, S>`); its first argument is the task's
//! header. The programs differ only in how the kernel calls them:
//!
//! | program | kernel's attachment | since |
//! |---|---|---|
//! | `poll_session` | one uprobe session, entry and return | 6.13 |
//! | `poll_entry`, `poll_return` | `uprobe_multi`, or a perf event per site | 6.6, 5.15 |
//! | `poll_start` | as `poll_entry`, and nothing at the return | |
//! | `task_wake`, `task_spawn`, `task_end`, `task_drop` | as `poll_start`, at the functions of tokio that do so | |
//! | `panicked` | as `poll_start`, at std's | |
//! | `switched` | raw tracepoint `sched_switch`, of the whole machine | |
//! | `ticked` | perf event: a clock of a thread | 5.15 |
#![no_std]
#![no_main]
#![feature(core_intrinsics, asm_experimental_arch)]
#![expect(internal_features, reason = "the only way to an atomic add on this target")]
#![expect(
    unsafe_code,
    reason = "BPF helpers and map values are raw pointers; the kernel's verifier checks each use"
)]

mod bpf;

use aya_ebpf::{
    macros::{perf_event, raw_tracepoint, uprobe, uretprobe},
    programs::{PerfEventContext, ProbeContext, RawTracePointContext, RetProbeContext},
};
use bpf::{causes, ends, off_cpu, on_cpu, poll, stack};

/// Entry and return of one poll. Answers 1 at the entry to leave the return address alone.
#[uprobe]
pub fn poll_session(ctx: ProbeContext) -> u32 {
    stack::not_per_cpu();
    poll::session(&ctx)
}

#[uprobe]
pub fn poll_entry(ctx: ProbeContext) -> u32 {
    stack::not_per_cpu();
    poll::begin(&ctx);
    0
}

#[uretprobe]
pub fn poll_return(ctx: RetProbeContext) -> u32 {
    stack::not_per_cpu();
    poll::end(&ctx);
    0
}

/// For targets whose return addresses must not be touched.
#[uprobe]
pub fn poll_start(ctx: ProbeContext) -> u32 {
    stack::not_per_cpu();
    poll::start_only(&ctx);
    0
}

/// tokio's `wake_by_val` and `wake_by_ref`: the first argument is the header.
#[uprobe]
pub fn task_wake(ctx: ProbeContext) -> u32 {
    stack::not_per_cpu();
    causes::wake(&ctx);
    0
}

/// tokio's `OwnedTasks::bind_inner`: the second argument is the header.
#[uprobe]
pub fn task_spawn(ctx: ProbeContext) -> u32 {
    stack::not_per_cpu();
    causes::spawn(&ctx);
    0
}

/// tokio's `raw::shutdown`: the first argument is the header.
#[uprobe]
pub fn task_drop(ctx: ProbeContext) -> u32 {
    stack::not_per_cpu();
    causes::drop_task(&ctx);
    0
}

/// tokio's `Schedule::release`: the second argument leads to the header.
#[uprobe]
pub fn task_end(ctx: ProbeContext) -> u32 {
    stack::not_per_cpu();
    ends::task_ends(&ctx);
    0
}

/// std's `rust_panic`.
#[uprobe]
pub fn panicked(ctx: ProbeContext) -> u32 {
    stack::not_per_cpu();
    ends::panics(&ctx);
    0
}

/// A CPU goes from one thread to another.
#[raw_tracepoint(tracepoint = "sched_switch")]
pub fn switched(ctx: RawTracePointContext) -> i32 {
    stack::not_per_cpu();
    off_cpu::switched(&ctx);
    0
}

/// A thread's clock strikes. Answers 0: there is no other record of it.
#[perf_event]
pub fn ticked(_: PerfEventContext) -> u32 {
    stack::not_per_cpu();
    on_cpu::ticked();
    0
}

/// `bpf_probe_read_user` and the ring buffer are for GPL-compatible programs only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// Read by user space before it loads anything.
#[unsafe(link_section = ".rodata.abi")]
#[unsafe(no_mangle)]
static ASYNC_INSPECT_ABI: u64 = async_inspect_ebpf::ABI_HASH;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
