//! One way to read a target's memory, whether it lives, is a core file, or a recorded fixture.

use super::Avma;
use thiserror::Error;

/// One mapping of the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    pub start: Avma,
    pub end: Avma,
    pub readable: bool,
    pub writable: bool,
    pub executable: bool,
    /// Offset in the mapped file; 0 for anonymous memory.
    pub file_offset: u64,
    /// Device and inode of the mapped file; `(0, 0)` for anonymous memory.
    pub device: (u32, u32),
    pub inode: u64,
    /// The path as the kernel prints it (`[heap]`, `/usr/bin/x (deleted)`), empty for anonymous memory.
    pub path: String,
}

impl Region {
    pub fn len(&self) -> u64 {
        self.end.0.saturating_sub(self.start.0)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn contains(&self, at: Avma) -> bool {
        self.start <= at && at < self.end
    }
}

#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum ReadError {
    #[error("nothing readable at {0}")]
    Unmapped(Avma),
    #[error("not permitted to read the target's memory")]
    NotPermitted,
    #[error("the target has gone")]
    Gone,
}

/// Where `at` lies in regions sorted by address.
pub fn region_of(regions: &[Region], at: Avma) -> Option<&Region> {
    let after = regions.partition_point(|r| r.start <= at);
    regions[..after].last().filter(|r| r.contains(at))
}

/// Memory of a target. Reads never stop the target, and never write to it.
pub trait Memory: Sync {
    /// Fills `buf` from `at`, all of it or an error.
    fn read(&self, at: Avma, buf: &mut [u8]) -> Result<(), ReadError>;

    /// The mappings, sorted by address, as of when the target was opened or last refreshed.
    fn regions(&self) -> &[Region];

    /// Fills many buffers; much cheaper than as many [`read`](Memory::read)s. Returns, ascending, the indices of
    /// those that could not be filled (their contents are unspecified); usually none.
    fn read_many(&self, requests: &mut [(Avma, &mut [u8])]) -> Vec<usize> {
        let read = requests.iter_mut().map(|(at, buf)| self.read(*at, buf));
        read.enumerate().filter_map(|(i, done)| done.is_err().then_some(i)).collect()
    }

    /// As [`read`](Memory::read), past any cache: what the memory holds now. Comparing it with what was read before
    /// tells torn reads.
    fn read_fresh(&self, at: Avma, buf: &mut [u8]) -> Result<(), ReadError> {
        self.read(at, buf)
    }

    /// Makes the next read of these bytes a fresh one.
    fn forget(&self, _at: Avma, _len: u64) {}

    fn read_u64(&self, at: Avma) -> Result<u64, ReadError> {
        let mut b = [0; 8];
        self.read(at, &mut b)?;
        Ok(u64::from_le_bytes(b))
    }
}
