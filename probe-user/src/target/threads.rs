//! Each thread's pointer (FS base) from outside, without ptrace.
//!
//! ptrace would interrupt the target's system calls. But glibc and musl make a thread's control block recognizable:
//! it begins with its own address and holds the thread's id. glibc moreover registers a robust futex list inside it, and
//! the kernel tells where that is: exact, and one system call per thread. Elsewhere (musl) memory is searched.

use super::process::{Process, Thread};
use super::{Avma, Memory, Region, TargetError};
use crate::sys::robust_list;
use std::collections::HashMap;

/// Where a thread's thread-locals hang.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadPointer {
    /// As seen where this command runs.
    pub tid: u32,
    pub fs_base: Avma,
}

#[derive(Clone, Debug, Default)]
pub struct ThreadPointers {
    pub found: Vec<ThreadPointer>,
    /// Threads that use another C library, or started just now.
    pub missing: Vec<Thread>,
}

/// glibc's `struct pthread` on x86-64: `header.tcb` at 0, `header.self` at 0x10, `tid` at 0x2d0, `robust_head` at 0x2e0
/// (nptl/descr.h; unchanged since 2.4, and checked below each time).
mod glibc {
    pub const SELF: usize = 0x10;
    pub const TID: usize = 0x2d0;
    pub const ROBUST_HEAD: u64 = 0x2e0;
}

/// musl's `struct pthread` on x86-64: `self` at 0, `prev` at 0x10, `next` at 0x18, then `tid` (src/internal/pthread_impl.h;
/// a second canary stood before it until 1.1.24).
mod musl {
    pub const PREV: u64 = 0x10;
    pub const NEXT: usize = 0x18;
    pub const TIDS: [usize; 2] = [0x30, 0x38];
}

/// Bytes that recognizing a control block needs.
const CONTROL_BLOCK: usize = glibc::TID + 4;
/// Control blocks lie at the top of a thread's stack mapping, or where the loader allocates first.
const EDGE: u64 = 64 * 1024;
/// What a search of everything may read.
const SEARCHED_AT_MOST: u64 = 256 << 20;

impl Process {
    pub fn thread_pointers(&self) -> Result<ThreadPointers, TargetError> {
        let threads = self.threads()?;
        let mut search = Search { process: self, wanted: HashMap::new(), found: Vec::new() };
        for thread in threads {
            match search.by_robust_list(&thread) {
                Some(fs_base) => search.found.push(ThreadPointer { tid: thread.tid, fs_base }),
                None => drop(search.wanted.insert(thread.ns_tid, thread)),
            }
        }
        search.edges();
        search.everything();
        let mut missing: Vec<Thread> = search.wanted.into_values().collect();
        missing.sort_by_key(|t| t.tid);
        search.found.sort_by_key(|t| t.tid);
        Ok(ThreadPointers { found: search.found, missing })
    }
}

struct Search<'a> {
    process: &'a Process,
    /// By the id that the thread itself knows.
    wanted: HashMap<u32, Thread>,
    found: Vec<ThreadPointer>,
}

impl Search<'_> {
    fn by_robust_list(&self, thread: &Thread) -> Option<Avma> {
        let head = robust_list::head(thread.tid).ok()?;
        let block = Avma(head.checked_sub(glibc::ROBUST_HEAD)?);
        let mut bytes = [0; CONTROL_BLOCK];
        self.process.read(block, &mut bytes).ok()?;
        (glibc_tid(&bytes, block) == Some(thread.ns_tid)).then_some(block)
    }

    fn edges(&mut self) {
        for region in candidates(self.process.regions()) {
            if self.wanted.is_empty() {
                return;
            }
            let first_end = Avma(region.end.0.min(region.start.0 + EDGE));
            self.range(region.start, first_end);
            self.range(Avma(first_end.0.max(region.end.0.saturating_sub(EDGE))), region.end);
        }
    }

    /// Stacks may be merged into one mapping (guard pages made by madvise), so their tops are anywhere.
    fn everything(&mut self) {
        let mut left = SEARCHED_AT_MOST;
        for region in candidates(self.process.regions()) {
            if self.wanted.is_empty() || left == 0 {
                return;
            }
            let len = region.len().min(left);
            left -= len;
            self.range(region.start, region.start.offset(len));
        }
    }

    fn range(&mut self, start: Avma, end: Avma) {
        const CHUNK: u64 = 1 << 20;
        let mut at = start;
        let mut bytes = Vec::new();
        while at < end && !self.wanted.is_empty() {
            // Chunks overlap by a control block.
            let len = (end.0 - at.0).min(CHUNK + CONTROL_BLOCK as u64);
            bytes.resize(len as usize, 0);
            if self.process.read(at, &mut bytes).is_ok() {
                self.chunk(at, &bytes);
            }
            at = at.offset(CHUNK);
        }
    }

    fn chunk(&mut self, start: Avma, bytes: &[u8]) {
        for (i, word) in bytes.chunks_exact(8).enumerate() {
            let at = start.offset(8 * i as u64);
            if u64::from_le_bytes(word.try_into().expect("chunks of 8")) != at.0 {
                continue;
            }
            let block = &bytes[8 * i..];
            let tid = glibc_tid(block, at).filter(|tid| self.wanted.contains_key(tid)).or_else(|| {
                musl_tids(block).find(|tid| self.wanted.contains_key(tid) && self.in_musl_list(block, at))
            });
            if let Some(thread) = tid.and_then(|tid| self.wanted.remove(&tid)) {
                self.found.push(ThreadPointer { tid: thread.tid, fs_base: at });
            }
        }
    }

    /// musl keeps its threads in a ring: the next one's `prev` is this one.
    fn in_musl_list(&self, block: &[u8], at: Avma) -> bool {
        let next = word(block, musl::NEXT).map(|next| Avma(next).offset(musl::PREV));
        next.is_some_and(|prev_of_next| self.process.read_u64(prev_of_next) == Ok(at.0))
    }
}

/// Private writable memory, but no stack of the main thread: control blocks of glibc and musl are never there.
fn candidates(regions: &[Region]) -> impl Iterator<Item = &Region> {
    regions.iter().filter(|r| r.readable && r.writable && !r.is_empty() && r.path != "[stack]")
}

fn glibc_tid(block: &[u8], at: Avma) -> Option<u32> {
    if word(block, 0)? != at.0 || word(block, glibc::SELF)? != at.0 {
        return None;
    }
    half(block, glibc::TID)
}

fn musl_tids(block: &[u8]) -> impl Iterator<Item = u32> {
    musl::TIDS.into_iter().filter_map(|offset| half(block, offset))
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

fn half(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}
