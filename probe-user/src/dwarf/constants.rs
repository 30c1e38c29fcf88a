//! What of a file's memory cannot change while its program runs.

use crate::target::Svma;
use object::{Object, ObjectSection, ObjectSymbol, ObjectSymbolTable, RelocationTarget, SectionFlags, elf};
use std::collections::HashMap;

/// Read-only data, and the words that the loader fills in before anything runs.
#[derive(Debug, Default)]
pub struct Constants<'a> {
    /// Sorted by address.
    sections: Vec<(u64, &'a [u8])>,
    relocated: HashMap<u64, u64>,
    imported: HashMap<u64, &'a str>,
}

impl<'a> Constants<'a> {
    /// Empty where the file is none that is known.
    pub fn of(object: &'a [u8]) -> Constants<'a> {
        let mut constants = Constants::default();
        let Ok(file) = object::File::parse(object) else { return constants };
        let is_constant = |flags: SectionFlags| match flags {
            SectionFlags::Elf { sh_flags } => {
                let (alloc, write) = (u64::from(elf::SHF_ALLOC), u64::from(elf::SHF_WRITE));
                sh_flags & alloc != 0 && sh_flags & write == 0
            }
            _ => false,
        };
        let sections = file.sections().filter(|section| is_constant(section.flags()));
        constants.sections = sections.filter_map(|s| Some((s.address(), s.data().ok()?))).collect();
        constants.sections.sort_by_key(|(address, _)| *address);
        let symbols = file.dynamic_symbol_table();
        for (slot, relocation) in file.dynamic_relocations().into_iter().flatten() {
            match relocation.target() {
                RelocationTarget::Symbol(index) => {
                    let symbol = symbols.as_ref().and_then(|symbols| symbols.symbol_by_index(index).ok());
                    let name = symbol.filter(|symbol| symbol.is_undefined()).and_then(|s| s.name().ok());
                    constants.imported.extend(name.map(|name| (slot, name)));
                }
                // `R_X86_64_RELATIVE`: the load address plus this.
                _ => {
                    constants.relocated.insert(slot, relocation.addend() as u64);
                }
            }
        }
        constants
    }

    /// `length` bytes of read-only data, little-endian; at most 8.
    pub fn number(&self, at: Svma, length: usize) -> Option<u64> {
        let before = self.sections.partition_point(|(address, _)| *address <= at.0);
        let (start, data) = *self.sections.get(before.checked_sub(1)?)?;
        let from = usize::try_from(at.0 - start).ok()?;
        let bytes = data.get(from..from.checked_add(length)?)?;
        let mut word = [0; 8];
        word.get_mut(..length)?.copy_from_slice(bytes);
        Some(u64::from_le_bytes(word))
    }

    /// The address of the program's own that the loader puts into a word.
    pub fn address(&self, slot: Svma) -> Option<Svma> {
        self.relocated.get(&slot.0).copied().map(Svma)
    }

    /// The name of what the loader looks for in libraries, to put its address into a word.
    pub fn import(&self, slot: Svma) -> Option<&'a str> {
        self.imported.get(&slot.0).copied()
    }
}
