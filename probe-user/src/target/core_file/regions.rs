//! The mappings of a core file, as `/proc/PID/maps` would have shown them.

use super::super::{Avma, Region, region_of};
use super::memory::Dumped;
use super::notes::{AT_RANDOM, MappedFile, Notes};
use super::segments::Load;
use std::collections::HashMap;
use std::path::Path;

/// `backed` gives bytes of the program's file that are mapped at an address.
///
/// A mapping of which the end cannot be read is two: a readable one, and one that is not. The core file does not tell
/// inodes: each path gets a number.
pub fn of<'f>(dumped: &Dumped, notes: &Notes, backed: impl Fn(Avma) -> Option<&'f [u8]>) -> Vec<Region> {
    let mut inodes: HashMap<&Path, u64> = HashMap::new();
    let mut regions: Vec<Region> = Vec::new();
    let mut files = notes.files.iter().peekable();
    for load in &dumped.loads {
        while files.next_if(|file| file.addresses.start < load.start.0).is_some() {}
        // The kernel and gdb write both from one list, so a mapping of a file is one line there.
        let file = files.next_if(|file| file.addresses.start == load.start.0);
        let mut region = region(load, file);
        if let Some(file) = file {
            let next = inodes.len() as u64 + 1;
            region.inode = *inodes.entry(&file.path).or_insert(next);
        }
        let mut known = load.dumped();
        if load.missing == 0 && known < load.size {
            known +=
                backed(load.start.offset(known)).map_or(0, |bytes| bytes.len() as u64).min(load.size - known);
        }
        let cut = load.start.offset(known);
        if known > 0 {
            regions.push(Region { end: cut, ..region.clone() });
        }
        if known < load.size {
            let file_offset = region.file_offset.saturating_add(known);
            regions.push(Region { start: cut, readable: false, file_offset, ..region });
        }
    }
    name_main_stack(&mut regions, notes);
    regions
}

fn region(load: &Load, file: Option<&MappedFile>) -> Region {
    Region {
        start: load.start,
        end: load.end(),
        readable: load.readable,
        writable: load.writable,
        executable: load.executable,
        file_offset: file.map_or(0, |file| file.file_offset),
        device: (0, 0),
        inode: 0,
        path: file.map_or_else(String::new, |file| file.path.to_string_lossy().into_owned()),
    }
}

/// What the kernel puts on the main thread's stack at the start tells which mapping that is.
fn name_main_stack(regions: &mut [Region], notes: &Notes) {
    let Some(at) = notes.auxv(AT_RANDOM).map(Avma) else { return };
    let start = region_of(regions, at).filter(|region| region.inode == 0).map(|region| region.start);
    if let Some(region) = regions.iter_mut().find(|region| Some(region.start) == start) {
        region.path = "[stack]".to_owned();
    }
}

/// Private mappings that were written to are dumped whole where anonymous ones are: one bit of coredump_filter rules both
/// (`vma_dump_size` in fs/coredump.c; gdb does the same). So then what was left out of a private file mapping is as the file
/// has it.
pub fn anonymous_is_dumped(dumped: &Dumped, notes: &Notes) -> bool {
    let is_file = |load: &Load| {
        let after = notes.files.partition_point(|file| file.addresses.start <= load.start.0);
        notes.files[..after].last().is_some_and(|file| file.addresses.contains(&load.start.0))
    };
    dumped.loads.iter().any(|load| load.writable && load.dumped() + load.missing > 0 && !is_file(load))
}
