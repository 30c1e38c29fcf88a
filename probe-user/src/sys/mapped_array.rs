//! BPF arrays mapped into our memory: what the programs write is there without a system call.
#![expect(unsafe_code, reason = "memory that the kernel shares with us")]

use memmap2::{MmapOptions, MmapRaw};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering};

/// An array made with `BPF_F_MMAPABLE`, whose values are whole words.
#[derive(Debug)]
pub struct MappedArray {
    map: MmapRaw,
    entries: usize,
    /// Of one value.
    words: usize,
}

impl MappedArray {
    /// `entries` and `words` (of 8 bytes, for each entry) as the map was made; with less than that only its beginning is seen.
    ///
    /// # Errors
    /// What the kernel says: EINVAL for more than there is.
    pub fn new(map: BorrowedFd<'_>, entries: usize, words: usize) -> io::Result<MappedArray> {
        let bytes = entries.checked_mul(words).and_then(|all| all.checked_mul(8));
        let bytes = bytes.ok_or(io::ErrorKind::InvalidInput)?;
        let map = MmapOptions::new().len(bytes).map_raw(map.as_raw_fd())?;
        Ok(MappedArray { map, entries, words })
    }

    pub fn entries(&self) -> usize {
        self.entries
    }

    /// Word `word` of entry `entry`, as it is now.
    ///
    /// # Panics
    /// Where there is no such.
    pub fn load(&self, entry: usize, word: usize) -> u64 {
        self.place(entry, word).load(Ordering::Acquire)
    }

    /// As [`MappedArray::load`].
    pub fn store(&self, entry: usize, word: usize, value: u64) {
        self.place(entry, word).store(value, Ordering::Release);
    }

    /// As [`MappedArray::load`]; wraps.
    pub fn subtract(&self, entry: usize, word: usize, by: u64) {
        self.place(entry, word).fetch_sub(by, Ordering::AcqRel);
    }

    fn place(&self, entry: usize, word: usize) -> &AtomicU64 {
        assert!(entry < self.entries && word < self.words, "word {word} of entry {entry}");
        let place = self.map.as_mut_ptr().cast::<u64>().wrapping_add(entry * self.words + word);
        // SAFETY: within the mapping, which lives as long as this and is page-aligned; on our side nobody touches it but by
        // atomic operations, and what the programs do to it at the same time is whole words too.
        unsafe { AtomicU64::from_ptr(place) }
    }
}
