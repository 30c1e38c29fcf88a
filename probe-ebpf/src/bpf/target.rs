//! Which process and thread was hit, and what its registers say.

use super::maps::{CONFIG, THREAD_KEYS, THREADS, count, target};
use super::memory::put;
use super::slots::{find, settle, take};
use async_inspect_ebpf::{Counter, Thread, thread_slot};
use aya_ebpf::{
    EbpfContext,
    bindings::{bpf_pidns_info, pt_regs},
    helpers::{bpf_get_current_pid_tgid, generated::bpf_get_ns_current_pid_tgid},
};

/// The thread's entry if it belongs to the target. Uprobes follow the inode, so that any other process that runs
/// the same file may hit them as well, in another container too.
///
/// Who it is is asked once for each thread: the key has the process's id in it, so that one with an entry is the target's.
#[inline(always)]
pub fn thread_of_target() -> Option<*mut Thread> {
    let key = bpf_get_current_pid_tgid();
    if let Some(thread) = known_thread(key) {
        return Some(thread);
    }
    let Some(tid) = own_tid() else {
        count(Counter::Foreign);
        return None;
    };
    let thread = new_thread(key, tid);
    if thread.is_none() {
        count(Counter::NoRoom);
    }
    thread
}

/// The entry of the thread with this key.
#[inline(always)]
pub fn known_thread(key: u64) -> Option<*mut Thread> {
    THREADS.get_ptr_mut(find(&THREAD_KEYS, key, thread_slot)?)
}

/// The entry of the thread with this key, which runs; made now, since there is none. None when there is no room.
#[inline(always)]
fn new_thread(key: u64, tid: u32) -> Option<*mut Thread> {
    let slot = take(&THREAD_KEYS, key, thread_slot)?;
    let thread = THREADS.get_ptr_mut(slot)?;
    // What is left of another thread here; all else is written before it is read.
    put!((*thread).depth, 0);
    put!((*thread).entries, 0);
    put!((*thread).returns, 0);
    put!((*thread).causes, 0);
    put!((*thread).dear, 0);
    put!((*thread).over_header, 0);
    put!((*thread).panicking, 0);
    put!((*thread).off_since_ns, 0);
    put!((*thread).sampled_poll_ns, 0);
    put!((*thread).tid, tid);
    if let Some(target) = target() {
        put!((*target).tgid, (key >> 32) as u32);
    }
    settle(&THREAD_KEYS, slot, key);
    Some(thread)
}

/// The thread's id in the target's namespace; None in another process.
#[inline(always)]
fn own_tid() -> Option<u32> {
    let config = CONFIG.get(0)?;
    let mut ids = bpf_pidns_info { pid: 0, tgid: 0 };
    // SAFETY: `ids` is as large as the size given.
    let failed = unsafe {
        bpf_get_ns_current_pid_tgid(
            config.ns_dev,
            config.ns_ino,
            &raw mut ids,
            size_of::<bpf_pidns_info>() as u32,
        )
    };
    if failed == 0 && ids.tgid == config.tgid { Some(ids.pid) } else { None }
}

/// The registers that the programs look at.
pub struct Registers<'a>(&'a pt_regs);

impl<'a> Registers<'a> {
    #[inline(always)]
    pub fn of(ctx: &'a impl EbpfContext) -> Self {
        // SAFETY: the context of a uprobe program is a pt_regs.
        Registers(unsafe { &*ctx.as_ptr().cast::<pt_regs>() })
    }

    #[inline(always)]
    pub fn first_argument(&self) -> u64 {
        self.0.rdi
    }

    #[inline(always)]
    pub fn second_argument(&self) -> u64 {
        self.0.rsi
    }

    #[inline(always)]
    pub fn stack_pointer(&self) -> u64 {
        self.0.rsp
    }

    #[inline(always)]
    pub fn instruction_pointer(&self) -> u64 {
        self.0.rip
    }
}
