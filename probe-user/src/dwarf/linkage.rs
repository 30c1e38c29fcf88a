//! Functions by the names that the linker knows them by.

use crate::target::Svma;
use object::{Object, ObjectSymbol, RelocationTarget};

/// Calls `each` with every function that the file defines: its linkage name, and its size in bytes (0: not said).
pub fn defined(object: &[u8], each: &mut dyn FnMut(&str, Svma, u64)) {
    let Ok(file) = object::File::parse(object) else { return };
    for symbol in file.symbols().chain(file.dynamic_symbols()).filter(|symbol| symbol.is_definition()) {
        if let Ok(name) = symbol.name() {
            each(name, Svma(symbol.address()), symbol.size());
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
