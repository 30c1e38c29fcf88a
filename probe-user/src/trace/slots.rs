//! The programs' tables (`probe-ebpf/src/slots.rs`), seen from here.

use super::TraceError;
use super::object::Programs;
use crate::sys::mapped_array::MappedArray;
use async_inspect_ebpf::{FREE, TAKEN};
use std::marker::PhantomData;
use std::os::fd::AsFd;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes};

/// Keys, and a value for each.
pub(super) struct Table<V> {
    keys: Values<u64>,
    values: Values<V>,
}

/// An array of values that is mapped.
pub(super) struct Values<V> {
    array: MappedArray,
    kind: PhantomData<V>,
}

/// Where a key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Slot(usize);

impl<V: FromBytes + FromZeros + IntoBytes + Immutable> Values<V> {
    const WORDS: usize = {
        assert!(size_of::<V>().is_multiple_of(8));
        size_of::<V>() / 8
    };

    /// # Errors
    /// What the kernel says, which is a bug of ours.
    pub fn of(programs: &Programs, name: &'static str, entries: u32) -> Result<Self, TraceError> {
        let map = programs.map_fd(name)?;
        let array = MappedArray::new(map.as_fd(), entries as usize, Self::WORDS);
        let array = array.map_err(|error| TraceError::from_io("map a BPF map", error))?;
        Ok(Values { array, kind: PhantomData })
    }

    pub fn len(&self) -> usize {
        self.array.entries()
    }

    /// Makes it all zeros.
    pub fn clear(&self, nth: usize) {
        for word in 0..Self::WORDS {
            self.array.store(nth, word, 0);
        }
    }

    /// Takes this from a word of it, which a program may change at the same time.
    pub fn subtract(&self, nth: usize, word: usize, by: u64) {
        self.array.subtract(nth, word, by);
    }

    /// What stands there, read word by word: a program may write to it meanwhile.
    pub fn get(&self, nth: usize) -> V {
        let mut value = V::new_zeroed();
        for (word, bytes) in value.as_mut_bytes().chunks_exact_mut(8).enumerate() {
            bytes.copy_from_slice(&self.array.load(nth, word).to_ne_bytes());
        }
        value
    }
}

impl<V: FromBytes + FromZeros + IntoBytes + Immutable> Table<V> {
    /// The table of `slots` slots in the maps of these names.
    ///
    /// # Errors
    /// As of [`Values::of`].
    pub fn of(
        programs: &Programs,
        keys: &'static str,
        values: &'static str,
        slots: u32,
    ) -> Result<Self, TraceError> {
        Ok(Table { keys: Values::of(programs, keys, slots)?, values: Values::of(programs, values, slots)? })
    }

    /// Keys that stand somewhere now. What comes or goes meanwhile may be missed.
    pub fn keys(&self) -> impl Iterator<Item = (Slot, u64)> {
        let keys = (0..self.keys.len()).map(|slot| (Slot(slot), self.keys.get(slot)));
        keys.filter(|(_, key)| ![FREE, TAKEN].contains(key))
    }

    pub fn value(&self, Slot(slot): Slot) -> V {
        self.values.get(slot)
    }

    /// The key that stands in the slot, or none.
    pub fn key(&self, Slot(slot): Slot) -> u64 {
        self.keys.get(slot)
    }

    /// As it was made. No program may run meanwhile.
    pub fn clear(&self) {
        for (slot, _) in self.keys() {
            self.values.clear(slot.0);
            self.free(slot);
        }
    }

    /// Forgets the key: the next one that comes may have the slot.
    pub fn free(&self, Slot(slot): Slot) {
        self.keys.array.store(slot, 0, FREE);
    }
}
