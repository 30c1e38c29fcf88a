//! How often probes were hit.

use async_inspect_ebpf::Thread;

/// How often the probes were hit; the base of every estimate of what the trace costs the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hits {
    /// Poll starts in the target.
    pub entries: u64,
    /// Poll ends in the target.
    pub returns: u64,
    /// Wakes, spawns, ends and panics in the target.
    pub causes: u64,
    /// Of these, those whose probe is stepped over by the kernel, for ten times the price.
    pub dear: u64,
    /// Times that a thread's clock struck.
    pub ticks: u64,
    /// Of these, those at which the thread's stack was copied.
    pub samples: u64,
    /// Records that were read: each is put in order, translated, told.
    pub records: u64,
    /// Hits in other processes that run the same file.
    pub foreign: u64,
    /// Records that the ring buffer had no room for.
    pub lost: u64,
    /// Records with a path or an id that could not be read.
    pub unreadable: u64,
    /// Polls not followed: too many threads at once, or polls nested too deeply.
    pub not_followed: u64,
    /// Polls whose end was never seen.
    pub end_unseen: u64,
    /// Ends of polls that began before the probes were in.
    pub start_unseen: u64,
    /// Wakes, spawns and drops of tasks that could not be read.
    pub causes_unread: u64,
    /// Records of tasks whose id could not be read: they became no event.
    pub unidentified: u64,
    /// Records of tasks of which nothing tells where they keep their id: they became no event either.
    pub anonymous: u64,
}

/// Entries, returns, causes, and those of them that were dear.
pub(super) fn add_hits(sums: &mut [u64; 4], thread: &Thread) {
    let of_thread = [thread.entries, thread.returns, thread.causes, thread.dear];
    sums.iter_mut().zip(of_thread).for_each(|(sum, of_thread)| *sum += of_thread);
}
