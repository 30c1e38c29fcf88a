//! Reading a task in the target: its id, its state word, its path.

use super::bounds::{below_8, below_16, below_512, load_unaligned};
use super::maps::{ARMS, NODES, VTABLES};
use super::memory::{clear_path, get, put};
use async_inspect_ebpf::{
    BLOCK, MAX_ARMS, NONE, PATH_ENDED, Site, Thread, Walk, WalkArm, WalkNode, path_hash, walk_at_most,
};
use aya_ebpf::helpers::generated::bpf_probe_read_user;
use core::mem::MaybeUninit;

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
        let worth = site.block_len as usize;
        put!((*thread).block_at, header);
        put!((*thread).block_len, 0);
        if worth <= 96 {
            read_by_stack::<12>(thread, header);
        } else if worth <= 192 {
            read_by_stack::<24>(thread, header);
        } else if worth <= 256 {
            read_by_stack::<32>(thread, header);
        } else if worth <= 320 {
            // More than this the stack has no room for.
            read_by_stack::<40>(thread, header);
        } else {
            let len = if worth >= BLOCK { BLOCK } else { below_512(worth) } as u32;
            // SAFETY: `len` is within the block of the map value.
            let failed =
                unsafe { bpf_probe_read_user((&raw mut (*thread).block).cast(), len, header as *const _) };
            if failed == 0 {
                put!((*thread).block_len, len);
            }
        }
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
    pub fn path<const STEPS: u32>(&mut self, site: &Site) {
        // SAFETY: only an address in the map value is made here.
        clear_path(unsafe { &raw mut (*self.thread).path });
        if site.root != NONE {
            let flags =
                walk_at_most::<STEPS>(self, site.root, self.header.wrapping_add(site.root_off as u64));
            put!((*self.thread).path.flags, flags | get!((*self.thread).path.flags));
        }
    }
}

/// Reads `WORDS` words into the block, by way of the stack: there the kernel is quick to see that they may be written
/// (`check_object_size` in mm/usercopy.c asks for the stack first). A map's memory costs it 75 ns more than they take to copy.
#[inline(always)]
fn read_by_stack<const WORDS: usize>(thread: *mut Thread, header: u64) {
    let mut words = MaybeUninit::<[u64; WORDS]>::uninit();
    let len = (8 * WORDS) as u32;
    // SAFETY: `len` is what `words` has room for.
    let failed = unsafe { bpf_probe_read_user(words.as_mut_ptr().cast(), len, header as *const _) };
    if failed != 0 {
        return;
    }
    for i in 0..WORDS {
        // SAFETY: all of `words` was written, and the block has more room than that.
        unsafe {
            let word = words.as_ptr().cast::<u64>().add(i).read_volatile();
            (&raw mut (*thread).block).cast::<u64>().add(i).write_volatile(word);
        }
    }
    put!((*thread).block_len, len);
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
            return Some(unsafe { load_unaligned(word) });
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
        put!((*self.thread).path.hash, path_hash(get!((*self.thread).path.hash), arm));
        true
    }

    #[inline(always)]
    fn ended(&mut self) {
        put!((*self.thread).path.flags, PATH_ENDED);
    }
}
