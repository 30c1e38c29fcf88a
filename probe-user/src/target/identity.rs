//! Which build of a program this is: the key of everything remembered about it.

use super::elf::{self, Elf};
use super::objects::DebugFiles;
use object::{Object, ObjectSection};
use rayon::prelude::*;
use std::fmt;
use std::path::Path;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

/// Equal for equal code and debug information: a program's index made without its debug file is not the index made with it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity(pub u128);

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({self})")
    }
}

/// By build-id where there is one, else by content.
pub fn identity(files: &DebugFiles) -> Identity {
    let mut hash = Xxh3::new();
    hash.update(&of_file(&files.main).to_le_bytes());
    for located in files.debug.iter().chain(&files.dwp) {
        hash.update(&of_file(&located.bytes).to_le_bytes());
    }
    Identity(hash.digest128())
}

/// What tells one build from another. A package has an index of its units, whose ids are hashes of their contents.
const TELLING: [&str; 4] = [".text", ".debug_info", ".debug_abbrev", ".debug_cu_index"];

fn of_file(bytes: &[u8]) -> u128 {
    let Ok(file) = elf::parse(bytes, Path::new("")) else { return of_parts(&[bytes]) };
    let mut hash = Xxh3::new();
    add_section_table(&mut hash, &file);
    match file.build_id() {
        Ok(Some(id)) => hash.update(id),
        _ => {
            let parts = TELLING.iter().filter_map(|name| file.section_by_name(name)?.data().ok());
            hash.update(&of_parts(&parts.collect::<Vec<_>>()).to_le_bytes());
        }
    }
    hash.digest128()
}

/// Addresses and sizes of all sections: nearly free, and a build-id that somebody set by hand does not tell them.
fn add_section_table(hash: &mut Xxh3, file: &Elf<'_>) {
    for section in file.sections() {
        hash.update(section.name_bytes().unwrap_or_default());
        hash.update(&section.address().to_le_bytes());
        hash.update(&section.size().to_le_bytes());
    }
}

/// In pieces, on all cores: page faults cost more than hashing.
fn of_parts(parts: &[&[u8]]) -> u128 {
    const PIECE: usize = 1 << 20;
    let pieces: Vec<&[u8]> = parts.iter().flat_map(|part| part.chunks(PIECE)).collect();
    let digests: Vec<[u8; 16]> = pieces.into_par_iter().map(|piece| xxh3_128(piece).to_le_bytes()).collect();
    xxh3_128(digests.as_flattened())
}
