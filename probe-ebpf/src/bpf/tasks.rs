//! Reading a task in the target: its id, its state word, its path.

use super::bounds::{below_8, below_16, below_512};
use super::maps::{ARMS, NODES, VTABLES};
use super::memory::{clear_path, get, put};
use async_inspect_ebpf::{BLOCK, MAX_ARMS, NONE, Site, Thread, Walk, WalkArm, WalkNode, walk};
use aya_ebpf::helpers::generated::bpf_probe_read_user;

/// The target's memory as one thread's program sees it: a block around the task's header, read at once, and
/// single reads for whatever lies elsewhere.
pub struct Task {
    thread: *mut Thread,
    header: u64,
}

impl Task {
    /// Reads the block. Where that fails (the end of a mapping), single reads take its place.
    #[inline(always)]
    pub fn read(thread: *mut Thread, header: u64, site: &Site) -> Self {
        let len = site.block_len as usize;
        let len = if len >= BLOCK { BLOCK } else { below_512(len) };
        // SAFETY: `len` is within the block of the map value.
        let failed =
            unsafe { bpf_probe_read_user((&raw mut (*thread).block).cast(), len as u32, header as *const _) };
        put!((*thread).block_at, header);
        put!((*thread).block_len, if failed == 0 { len as u32 } else { 0 });
        Task { thread, header }
    }

    #[inline(always)]
    pub fn id(&mut self, site: &Site) -> Option<u64> {
        if site.id_offset == NONE {
            return Some(0);
        }
        Walk::read(self, self.header.wrapping_add(site.id_offset as u64), 8)
    }

    /// tokio's `Header::state`, the header's first word.
    #[inline(always)]
    pub fn state(&mut self) -> Option<u64> {
        Walk::read(self, self.header, 8)
    }

    /// Takes the path, into `Thread::path`.
    #[inline(always)]
    pub fn path(&mut self, site: &Site) {
        // SAFETY: only an address in the map value is made here.
        clear_path(unsafe { &raw mut (*self.thread).path });
        if site.root != NONE {
            let flags = walk(self, site.root, self.header);
            put!((*self.thread).path.flags, flags);
        }
    }
}

impl Walk for Task {
    #[inline(always)]
    fn node(&mut self, index: u32) -> Option<WalkNode> {
        NODES.get(index).copied()
    }

    #[inline(always)]
    fn arm(&mut self, index: u32) -> Option<WalkArm> {
        ARMS.get(index).copied()
    }

    #[inline(always)]
    fn vtable(&mut self, address: u64) -> Option<u32> {
        // SAFETY: user space fills this map before it attaches and never removes from it.
        unsafe { VTABLES.get(address) }.copied()
    }

    #[inline(always)]
    fn read(&mut self, at: u64, width: u32) -> Option<u64> {
        let off = at.wrapping_sub(get!((*self.thread).block_at));
        let end = off.wrapping_add(width as u64);
        if off < BLOCK as u64 && end <= get!((*self.thread).block_len) as u64 {
            // SAFETY: the block has room for eight bytes from any place below BLOCK.
            let word = unsafe { (&raw const (*self.thread).block).cast::<u8>().add(below_512(off as usize)) };
            // SAFETY: as above.
            return Some(unsafe { word.cast::<u64>().read_unaligned() });
        }
        let mut word = 0u64;
        // One call for all widths: the verifier would follow each through the rest of the walk.
        let size = below_8(width.wrapping_sub(1) as usize) as u32 + 1;
        // SAFETY: `size` is at most eight.
        let failed = unsafe { bpf_probe_read_user((&raw mut word).cast(), size, at as *const _) };
        if failed == 0 { Some(word) } else { None }
    }

    #[inline(always)]
    fn record(&mut self, arm: u32) -> bool {
        let len = get!((*self.thread).path.len);
        if len >= MAX_ARMS as u32 {
            return false;
        }
        // SAFETY: the index is below MAX_ARMS.
        let place = unsafe { (&raw mut (*self.thread).path.arms).cast::<u32>().add(below_16(len as usize)) };
        put!(*place, arm);
        put!((*self.thread).path.len, len + 1);
        true
    }
}
