//! A thread's stack, copied in one read, so that what is unwound does not change meanwhile.

use super::{Avma, Memory, region_of};

/// Deeper frames than these are not reached: 1 MiB is half of what Rust gives a thread.
const COPIED_AT_MOST: u64 = 1 << 20;
/// The ABI lets a leaf function use so much below its stack pointer.
const RED_ZONE: u64 = 128;

#[derive(Clone, Debug)]
pub struct StackCopy {
    start: Avma,
    bytes: Vec<u8>,
}

impl StackCopy {
    /// From the stack pointer (and the red zone below it) up. None where no writable memory is there.
    pub fn take<M: Memory + ?Sized>(memory: &M, sp: Avma) -> Option<StackCopy> {
        StackCopy::take_within(memory, sp, u64::MAX)
    }

    fn take_within<M: Memory + ?Sized>(memory: &M, sp: Avma, end: u64) -> Option<StackCopy> {
        let region = region_of(memory.regions(), sp).filter(|r| r.readable && r.writable)?;
        let start = Avma(sp.0.saturating_sub(RED_ZONE).max(region.start.0));
        let end = if end > sp.0 { region.end.0.min(end) } else { region.end.0 };
        let len = (end - start.0).min(COPIED_AT_MOST);
        let mut bytes = vec![0; usize::try_from(len).ok()?];
        memory.read(start, &mut bytes).ok()?;
        Some(StackCopy { start, bytes })
    }

    /// As [`StackCopy::take`], but not beyond `end`, where that is above in the same memory.
    pub fn take_up_to<M: Memory + ?Sized>(memory: &M, sp: Avma, end: Avma) -> Option<StackCopy> {
        StackCopy::take_within(memory, sp, end.0)
    }

    /// What was copied otherwise, from `start` on.
    pub fn of(start: Avma, bytes: Vec<u8>) -> StackCopy {
        StackCopy { start, bytes }
    }

    /// In bytes.
    #[expect(clippy::len_without_is_empty, reason = "there always is something")]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn word(&self, at: Avma) -> Option<u64> {
        let from = usize::try_from(at.0.checked_sub(self.start.0)?).ok()?;
        let word = self.bytes.get(from..from.checked_add(8)?)?;
        Some(u64::from_le_bytes(word.try_into().ok()?))
    }

    /// Does any aligned word of it equal this?
    pub fn holds(&self, word: u64) -> bool {
        let skew = (self.start.0.wrapping_neg() & 7) as usize;
        let aligned = self.bytes.get(skew..).unwrap_or_default();
        aligned.chunks_exact(8).any(|bytes| bytes == word.to_le_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_inside_and_nowhere_else() {
        let bytes = (0u64..4).flat_map(|n| (n * 3).to_le_bytes()).collect();
        let copy = StackCopy { start: Avma(0x1000), bytes };
        assert_eq!(copy.word(Avma(0x1008)), Some(3));
        assert_eq!(copy.word(Avma(0x1019)), None);
        assert_eq!(copy.word(Avma(0xff8)), None);
        assert_eq!(copy.word(Avma(u64::MAX)), None);
        assert!(copy.holds(9) && !copy.holds(4));
    }
}
