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
    keys: MappedArray,
    values: MappedArray,
    kind: PhantomData<V>,
}

/// Where a key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot(usize);

impl<V: FromBytes + FromZeros + IntoBytes + Immutable> Table<V> {
    const WORDS: usize = {
        assert!(size_of::<V>().is_multiple_of(8));
        size_of::<V>() / 8
    };

    /// The table of `slots` slots in the maps of these names.
    ///
    /// # Errors
    /// What the kernel says, which is a bug of ours.
    pub fn of(
        programs: &Programs,
        keys: &'static str,
        values: &'static str,
        slots: u32,
    ) -> Result<Self, TraceError> {
        let mapped = |name, words| {
            let map = programs.map_fd(name)?;
            MappedArray::new(map.as_fd(), slots as usize, words)
                .map_err(|error| TraceError::from_io("map a BPF map", error))
        };
        Ok(Table { keys: mapped(keys, 1)?, values: mapped(values, Self::WORDS)?, kind: PhantomData })
    }

    /// Keys that stand somewhere now. What comes or goes meanwhile may be missed.
    pub fn keys(&self) -> impl Iterator<Item = (Slot, u64)> {
        let keys = (0..self.keys.entries()).map(|slot| (Slot(slot), self.keys.load(slot, 0)));
        keys.filter(|(_, key)| ![FREE, TAKEN].contains(key))
    }

    /// What stands in a slot, word by word: a program may write to it meanwhile.
    pub fn value(&self, Slot(slot): Slot) -> V {
        let mut value = V::new_zeroed();
        for (word, bytes) in value.as_mut_bytes().chunks_exact_mut(8).enumerate() {
            bytes.copy_from_slice(&self.values.load(slot, word).to_ne_bytes());
        }
        value
    }

    /// Forgets the key: the next one that comes may have the slot.
    pub fn free(&self, Slot(slot): Slot) {
        self.keys.store(slot, 0, FREE);
    }
}
