//! All coroutine types of a program.

use super::units::{DieRef, Units};
use gimli::constants as dw;
use rayon::prelude::*;

/// As rustc names coroutines: see [`super::Type::coroutine`].
const PREFIX: &[u8] = b"{async_";

/// See [`super::Program::coroutines`].
pub(super) fn find(units: &Units<'_>) -> Vec<DieRef> {
    let numbers = 0..units.len() as u32;
    numbers.into_par_iter().flat_map_iter(|unit| in_unit(units, unit)).collect()
}

/// What stands before damage is kept.
fn in_unit(units: &Units<'_>, number: u32) -> Vec<DieRef> {
    let mut found = Vec::new();
    let Some(unit) = units.load(number) else { return found };
    let Ok(mut entries) = unit.unit.entries_raw(None) else { return found };
    while !entries.is_empty() {
        let offset = entries.next_offset();
        let abbreviation = match entries.read_abbreviation() {
            Ok(Some(abbreviation)) => abbreviation,
            Ok(None) => continue,
            Err(_) => break,
        };
        let wanted = abbreviation.tag() == dw::DW_TAG_structure_type && abbreviation.has_children();
        if !wanted {
            if entries.skip_attributes(abbreviation.attributes()).is_err() {
                break;
            }
            continue;
        }
        let mut name = None;
        for spec in abbreviation.attributes() {
            let Ok(attribute) = entries.read_attribute_inline(*spec) else { return found };
            if spec.name() == dw::DW_AT_name {
                name = unit.string(attribute.value());
            }
        }
        if name.is_some_and(|name| name.starts_with(PREFIX)) {
            found.push(DieRef { unit: number, offset: offset.0 as u32 });
        }
    }
    found
}
