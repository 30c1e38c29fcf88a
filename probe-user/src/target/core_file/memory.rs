//! The memory that a core file has.

use super::super::{Avma, Bytes};
use super::notes::MappedFile;
use super::segments::Load;
use std::ops::Range;

/// What was dumped, and nothing else.
#[derive(Debug)]
pub struct Dumped {
    pub bytes: Bytes,
    /// By address, disjoint.
    pub loads: Vec<Load>,
    /// Every mapped file is among the mappings. Not so where gdb's file is cut: its notes come last.
    pub lists_files: bool,
}

impl Dumped {
    /// `loads` by address. gdb has no program header for a mapping of which it dumps nothing: it is in the list of mapped files
    /// alone, which tells no rights.
    pub fn new(bytes: Bytes, loads: Vec<Load>, files: &[MappedFile]) -> Dumped {
        let mut dumped = Dumped { bytes, loads, lists_files: !files.is_empty() };
        let mut end = 0;
        let mut undumped = Vec::new();
        for MappedFile { addresses, .. } in files {
            if addresses.start < end || addresses.is_empty() || dumped.overlaps(addresses) {
                continue;
            }
            end = addresses.end;
            undumped.push(Load {
                start: Avma(addresses.start),
                size: addresses.end - addresses.start,
                file: 0..0,
                missing: 0,
                readable: true,
                writable: false,
                executable: false,
            });
        }
        dumped.loads.append(&mut undumped);
        dumped.loads.sort_by_key(|load| load.start);
        dumped
    }

    fn overlaps(&self, addresses: &Range<u64>) -> bool {
        let before = self.loads.partition_point(|load| load.start.0 < addresses.end);
        self.loads[..before].last().is_some_and(|load| load.end().0 > addresses.start)
    }

    pub fn load_of(&self, at: Avma) -> Option<&Load> {
        let after = self.loads.partition_point(|load| load.start <= at);
        self.loads[..after].last().filter(|load| at < load.end())
    }

    /// Bytes from this address to the end of what was dumped of its mapping. None where that is nothing.
    pub fn at(&self, at: Avma) -> Option<&[u8]> {
        let load = self.load_of(at)?;
        let into = usize::try_from(at.0 - load.start.0).ok()?;
        self.bytes[load.file.clone()].get(into..).filter(|bytes| !bytes.is_empty())
    }

    /// The headers promise memory here that a truncated file lacks.
    pub fn is_cut_at(&self, at: Avma) -> bool {
        self.load_of(at).is_some_and(|load| {
            let into = at.0 - load.start.0;
            (load.dumped()..load.dumped() + load.missing).contains(&into)
        })
    }
}
