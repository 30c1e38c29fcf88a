//! Functions by the names that the linker knows them by.

use crate::target::Svma;
use object::{Object, ObjectSection, ObjectSymbol, RelocationTarget};

/// A symbol that the object itself has.
#[derive(Clone, Copy, Debug)]
pub struct Defined<'a> {
    pub name: &'a str,
    pub at: Svma,
    /// Bytes; 0: not said.
    pub size: u64,
    /// Others than the unit that defines it may use it: no compiler that saw the whole program has made it local.
    pub is_global: bool,
}

/// Calls `each` with every function that the file defines: its linkage name, and its size in bytes (0: not said).
pub fn defined(object: &[u8], each: &mut dyn FnMut(Defined<'_>)) {
    let Ok(file) = object::File::parse(object) else { return };
    for symbol in file.symbols().chain(file.dynamic_symbols()).filter(|symbol| symbol.is_definition()) {
        if let Ok(name) = symbol.name() {
            let (at, size, is_global) = (Svma(symbol.address()), symbol.size(), symbol.is_global());
            each(Defined { name, at, size, is_global });
        }
    }
}

/// Calls `each` with the name of every symbol that the loader looks for in shared libraries, and the word where it puts
/// the address.
pub fn imported(object: &[u8], each: &mut dyn FnMut(&str, Svma)) {
    let Ok(file) = object::File::parse(object) else { return };
    let (Some(relocations), Some(symbols)) = (file.dynamic_relocations(), file.dynamic_symbol_table()) else {
        return;
    };
    use object::ObjectSymbolTable;
    for (slot, relocation) in relocations {
        let RelocationTarget::Symbol(index) = relocation.target() else { continue };
        let symbol = symbols.symbol_by_index(index).ok().filter(|symbol| symbol.is_undefined());
        if let Some(name) = symbol.as_ref().and_then(|symbol| symbol.name().ok()) {
            each(name, Svma(slot));
        }
    }
}

/// Calls `each` with every word of the global offset table that has an address of the file itself, and that address: code
/// calls functions of other crates through it, where the linker has not made a direct call of that.
pub fn offset_table(object: &[u8], each: &mut dyn FnMut(Svma, Svma)) {
    let Ok(file) = object::File::parse(object) else { return };
    let Some(table) = file.section_by_name(".got") else { return };
    let words = table.address()..table.address().saturating_add(table.size());
    for (i, word) in table.data().unwrap_or_default().chunks_exact(8).enumerate() {
        let target = u64::from_le_bytes(word.try_into().expect("eight bytes"));
        if target != 0 {
            each(Svma(words.start + i as u64 * 8), Svma(target));
        }
    }
    for (slot, relocation) in file.dynamic_relocations().into_iter().flatten() {
        let ours = words.contains(&slot) && relocation.target() == RelocationTarget::Absolute;
        if let Some(target) = u64::try_from(relocation.addend()).ok().filter(|_| ours) {
            each(Svma(slot), Svma(target));
        }
    }
}
