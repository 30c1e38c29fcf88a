//! A block cache in front of a [`Memory`]: many small neighbouring reads for a few system calls.

use super::{Avma, Memory, ReadError, Region};
use foldhash::HashMap;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

const PAGE: usize = 4096;
/// Task cells of one type lie side by side in the heap; one system call for 16 KiB costs about as much as for 8 bytes.
const BLOCK: usize = 16 * 1024;
const PAGES: usize = BLOCK / PAGE;
/// Each has a lock of its own: the few threads that decode rarely meet.
const SHARDS: usize = 64;
/// Blocks read by one call of [`CachedMemory::prefetch`]'s loop.
const BATCH: usize = 64;

/// Lives for one snapshot: what it holds is as old as its first read of each block, so a new snapshot wants a new cache.
/// May be shared by threads.
pub struct CachedMemory<'a, M: Memory> {
    inner: &'a M,
    shards: Vec<Mutex<Shard>>,
    blocks_per_shard: usize,
}

#[derive(Default)]
struct Shard {
    blocks: HashMap<u64, Block>,
    /// Oldest first.
    order: VecDeque<u64>,
    /// Of blocks that were forgotten all at once.
    spare: Vec<Box<[u8]>>,
}

struct Block {
    bytes: Box<[u8]>,
    /// Which pages could be read; what stands in the others must not be handed out.
    readable: [bool; PAGES],
}

impl<'a, M: Memory> CachedMemory<'a, M> {
    /// Holds up to `capacity` bytes (at least one block per shard: 1 MiB), oldest blocks forgotten first.
    pub fn new(inner: &'a M, capacity: usize) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        CachedMemory { inner, shards, blocks_per_shard: (capacity / BLOCK / SHARDS).max(1) }
    }

    /// Forgets everything and keeps the room for it: a new cache would cost page faults.
    pub fn clear(&mut self) {
        for shard in &mut self.shards {
            let shard = shard.get_mut().unwrap_or_else(PoisonError::into_inner);
            shard.spare.extend(shard.blocks.drain().map(|(_, block)| block.bytes));
            shard.order.clear();
        }
    }

    /// The memory behind the cache.
    pub fn inner(&self) -> &'a M {
        self.inner
    }

    /// Loads the blocks that hold these ranges, in few system calls. Best effort: what cannot be read now fails when it
    /// is read. Stops where the cache is full.
    pub fn prefetch(&self, ranges: impl IntoIterator<Item = (Avma, u64)>) {
        let mut wanted: Vec<u64> = Vec::new();
        for (at, len) in ranges {
            let last = at.0.saturating_add(len.max(1) - 1) / BLOCK as u64;
            for number in at.0 / BLOCK as u64..=last {
                if wanted.last() != Some(&number) {
                    wanted.push(number);
                }
                if wanted.len() >= 2 * self.blocks_per_shard * SHARDS {
                    break;
                }
            }
        }
        wanted.sort_unstable();
        wanted.dedup();
        wanted.retain(|number| !self.shard(*number).blocks.contains_key(number));
        wanted.truncate(self.blocks_per_shard * SHARDS);
        for batch in wanted.chunks(BATCH) {
            self.load_batch(batch);
        }
    }

    fn load_batch(&self, numbers: &[u64]) {
        let mut blocks: Vec<Box<[u8]>> =
            numbers.iter().map(|number| self.room(&mut self.shard(*number))).collect();
        let mut requests: Vec<(Avma, &mut [u8])> = numbers
            .iter()
            .zip(&mut blocks)
            .map(|(number, block)| (Avma(number * BLOCK as u64), &mut **block))
            .collect();
        let failed = self.inner.read_many(&mut requests);
        for (i, (number, bytes)) in numbers.iter().zip(blocks).enumerate() {
            if failed.binary_search(&i).is_err() {
                Self::insert(&mut self.shard(*number), *number, Block { bytes, readable: [true; PAGES] });
            }
        }
    }

    fn shard(&self, number: u64) -> MutexGuard<'_, Shard> {
        // Neighbouring blocks go to different shards.
        let shard = &self.shards[number as usize % SHARDS];
        // Data of a panicked thread is a whole block or none.
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Room for one more block: that of the oldest where the shard is full, since new memory costs page faults.
    fn room(&self, shard: &mut Shard) -> Box<[u8]> {
        let mut room = None;
        while shard.blocks.len() >= self.blocks_per_shard
            && let Some(oldest) = shard.order.pop_front()
        {
            room = shard.blocks.remove(&oldest).map(|block| block.bytes);
        }
        room.or_else(|| shard.spare.pop()).unwrap_or_else(|| vec![0; BLOCK].into_boxed_slice())
    }

    fn insert(shard: &mut Shard, number: u64, block: Block) -> &Block {
        if !shard.blocks.contains_key(&number) {
            shard.order.push_back(number);
        }
        shard.blocks.entry(number).insert_entry(block).into_mut()
    }

    /// Whole, or page by page where a part of it is not mapped.
    fn load(&self, number: u64, mut bytes: Box<[u8]>) -> Result<Block, ReadError> {
        let start = Avma(number * BLOCK as u64);
        match self.inner.read(start, &mut bytes) {
            Ok(()) => return Ok(Block { bytes, readable: [true; PAGES] }),
            Err(ReadError::Unmapped(_)) => {}
            Err(e) => return Err(e),
        }
        let mut readable = [false; PAGES];
        for (i, page) in bytes.chunks_mut(PAGE).enumerate() {
            readable[i] = self.inner.read(start.offset((i * PAGE) as u64), page).is_ok();
        }
        Ok(Block { bytes, readable })
    }

    /// `buf` lies within one block.
    fn read_in_block(&self, at: Avma, buf: &mut [u8]) -> Result<(), ReadError> {
        let number = at.0 / BLOCK as u64;
        let mut shard = self.shard(number);
        // The lock is held while loading, so that two threads do not load one block twice.
        if let Some(block) = shard.blocks.get(&number) {
            return block.copy(at, buf);
        }
        let room = self.room(&mut shard);
        let block = self.load(number, room)?;
        Self::insert(&mut shard, number, block).copy(at, buf)
    }
}

impl Block {
    /// `buf` lies within the block.
    fn copy(&self, at: Avma, buf: &mut [u8]) -> Result<(), ReadError> {
        let (start, into) = (at.0 - at.0 % BLOCK as u64, at.0 as usize % BLOCK);
        let mut pages = into / PAGE..=(into + buf.len() - 1) / PAGE;
        if let Some(page) = pages.find(|page| !self.readable[*page]) {
            return Err(ReadError::Unmapped(Avma(start + (page * PAGE) as u64).max(at)));
        }
        buf.copy_from_slice(&self.bytes[into..into + buf.len()]);
        Ok(())
    }
}

impl<M: Memory> Memory for CachedMemory<'_, M> {
    fn read(&self, at: Avma, buf: &mut [u8]) -> Result<(), ReadError> {
        // A large read gains nothing from a copy, and would push out what does.
        if buf.len() > BLOCK || at.0.checked_add(buf.len() as u64).is_none() {
            return self.inner.read(at, buf);
        }
        let mut at = at;
        let mut rest = buf;
        while !rest.is_empty() {
            let here = rest.len().min(BLOCK - at.0 as usize % BLOCK);
            let (now, later) = rest.split_at_mut(here);
            self.read_in_block(at, now)?;
            at = at.offset(here as u64);
            rest = later;
        }
        Ok(())
    }

    fn regions(&self) -> &[Region] {
        self.inner.regions()
    }

    fn read_fresh(&self, at: Avma, buf: &mut [u8]) -> Result<(), ReadError> {
        self.inner.read_fresh(at, buf)
    }

    fn forget(&self, at: Avma, len: u64) {
        let last = at.0.saturating_add(len.max(1) - 1) / BLOCK as u64;
        for number in
            at.0 / BLOCK as u64..=last.min(at.0 / BLOCK as u64 + (self.blocks_per_shard * SHARDS) as u64)
        {
            let mut shard = self.shard(number);
            if shard.blocks.remove(&number).is_some() {
                shard.order.retain(|n| *n != number);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Pages of bytes, some of them not mapped, that count how often they are asked.
    struct Pages {
        base: u64,
        pages: Vec<Option<Vec<u8>>>,
        calls: AtomicUsize,
    }

    impl Pages {
        fn new(mapped: &[bool]) -> Pages {
            let page = |(i, mapped): (usize, &bool)| {
                mapped.then(|| (0..PAGE).map(|at| (i * 7 + at / 3) as u8).collect())
            };
            Pages {
                base: 5 * PAGE as u64,
                pages: mapped.iter().enumerate().map(page).collect(),
                calls: AtomicUsize::new(0),
            }
        }
    }

    impl Memory for Pages {
        fn read(&self, at: Avma, buf: &mut [u8]) -> Result<(), ReadError> {
            self.calls.fetch_add(1, Ordering::Relaxed);
            for (i, byte) in buf.iter_mut().enumerate() {
                let at = at.offset(i as u64);
                let offset = at.0.checked_sub(self.base).ok_or(ReadError::Unmapped(at))? as usize;
                let page = self.pages.get(offset / PAGE).and_then(Option::as_ref);
                *byte = page.ok_or(ReadError::Unmapped(at))?[offset % PAGE];
            }
            Ok(())
        }

        fn regions(&self) -> &[Region] {
            &[]
        }
    }

    proptest! {
        #[test]
        fn reads_what_lies_behind_it(
            mapped in proptest::collection::vec(any::<bool>(), 1..24),
            reads in proptest::collection::vec((0u64..30 * PAGE as u64, 0usize..3 * BLOCK), 1..40),
            capacity in 0usize..8 * BLOCK,
        ) {
            let memory = Pages::new(&mapped);
            let cached = CachedMemory::new(&memory, capacity);
            cached.prefetch(reads.iter().step_by(3).map(|(at, len)| (Avma(*at), *len as u64)));
            for (at, len) in reads {
                let (mut through, mut behind) = (vec![0; len], vec![0; len]);
                let expected = memory.read(Avma(at), &mut behind);
                prop_assert_eq!(cached.read(Avma(at), &mut through), expected);
                if expected.is_ok() {
                    prop_assert_eq!(through, behind);
                }
            }
        }
    }

    #[test]
    fn neighbours_cost_one_call_and_forgotten_blocks_another() {
        let memory = Pages::new(&[true; 64]);
        let cached = CachedMemory::new(&memory, 1 << 20);
        let start = Avma(8 * PAGE as u64);
        for i in 0..1000 {
            cached.read_u64(start.offset(i * 8)).expect("mapped");
        }
        assert_eq!(memory.calls.load(Ordering::Relaxed), 1);
        cached.read_fresh(start, &mut [0; 8]).expect("mapped");
        assert_eq!(memory.calls.load(Ordering::Relaxed), 2);
        cached.forget(start, 8);
        cached.read_u64(start).expect("mapped");
        assert_eq!(memory.calls.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn the_last_bytes_of_the_address_space_are_an_error_like_any_other() {
        let memory = Pages::new(&[true]);
        let cached = CachedMemory::new(&memory, 1 << 20);
        assert!(cached.read(Avma(u64::MAX - 3), &mut [0; 8]).is_err());
        assert!(cached.read(Avma(u64::MAX - 8), &mut [0; 8]).is_err());
        cached.prefetch([(Avma(u64::MAX - 3), 100), (Avma(0), u64::MAX)]);
    }
}
