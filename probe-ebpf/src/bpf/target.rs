//! Which process and thread was hit, and what its registers say.

use super::maps::CONFIG;
use aya_ebpf::{
    EbpfContext,
    bindings::{bpf_pidns_info, pt_regs},
    helpers::generated::bpf_get_ns_current_pid_tgid,
};

/// The thread's id if it belongs to the target. Uprobes follow the inode, so that any other process that runs
/// the same file may hit them as well, in another container too.
#[inline(always)]
pub fn thread_of_target() -> Option<u32> {
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
    pub fn stack_pointer(&self) -> u64 {
        self.0.rsp
    }

    #[inline(always)]
    pub fn instruction_pointer(&self) -> u64 {
        self.0.rip
    }
}
