//! Where the macro was called whose expansion awaits.
//!
//! An await inside `select!` or `join!` has the macro's own line in DWARF. But these macros await a
//! `PollFn<closure>`, each with a closure of its own, and the code that calls `PollFn<closure>::poll` is in the
//! user's function, where rustc collapses the macro's lines to the invocation's
//! (`-C collapse-macro-debuginfo`, <https://github.com/rust-lang/rust/pull/118903>). So the call's line is the
//! invocation's: from the inlined call's `DW_AT_call_line`, or from the line table at a `call` instruction whose
//! target is the out-of-line copy.
//!
//! LLVM folds equal functions (mergefunc), so several closures may share one copy and one name: then a closure has several
//! calls, another none, and only the order of the awaits in their function tells which is whose.

use super::index::PollFnDie;
use super::lines::CodeMap;
use super::program::Code;
use super::units::{DieRef, Units};
use gimli::{AttributeValue, constants as dw};
use rayon::prelude::*;
use std::collections::HashMap;

/// Calls of each closure's `PollFn::poll`: hash of the closure's type, file, line. Sorted, each once.
pub(super) type Invocations = Vec<(u64, String, u32)>;

pub(super) fn find(units: &Units<'_>, poll_fns: &[PollFnDie], code: &[Code<'_>]) -> Invocations {
    let closures: HashMap<DieRef, u64> = poll_fns.iter().map(|p| (p.die, p.closure)).collect();
    let mut found = called(units, poll_fns, code);
    let numbers = 0..units.len() as u32;
    found.par_extend(numbers.into_par_iter().flat_map_iter(|unit| inlined_in(units, unit, &closures)));
    found.sort_unstable();
    found.dedup();
    found
}

/// Places where a `PollFn::poll` was inlined.
fn inlined_in(units: &Units<'_>, number: u32, closures: &HashMap<DieRef, u64>) -> Invocations {
    let mut found = Vec::new();
    let Some(unit) = units.load(number) else { return found };
    let Ok(mut entries) = unit.unit.entries_raw(None) else { return found };
    while !entries.is_empty() {
        let abbreviation = match entries.read_abbreviation() {
            Ok(Some(abbreviation)) => abbreviation,
            Ok(None) => continue,
            Err(_) => break,
        };
        if abbreviation.tag() != dw::DW_TAG_inlined_subroutine {
            if entries.skip_attributes(abbreviation.attributes()).is_err() {
                break;
            }
            continue;
        }
        let (mut origin, mut file, mut line) = (None, None, None);
        for spec in abbreviation.attributes() {
            let Ok(attribute) = entries.read_attribute_inline(*spec) else { return found };
            match spec.name() {
                dw::DW_AT_abstract_origin => origin = units.reference(number, attribute.value()),
                dw::DW_AT_call_file => {
                    file = match attribute.value() {
                        AttributeValue::FileIndex(file) => Some(file),
                        value => value.udata_value(),
                    }
                }
                dw::DW_AT_call_line => line = attribute.udata_value(),
                _ => {}
            }
        }
        let Some(closure) = origin.and_then(|o| closures.get(&o)) else { continue };
        let place = file.and_then(|file| unit.file(file)).zip(line.and_then(|l| u32::try_from(l).ok()));
        if let Some((file, line)) = place.filter(|(_, line)| *line != 0) {
            found.push((*closure, file.as_ref().to_owned(), line));
        }
    }
    found
}

/// Places where an out-of-line `PollFn::poll` is called: `call rel32` (E8) with its address as the target.
fn called(units: &Units<'_>, poll_fns: &[PollFnDie], code: &[Code<'_>]) -> Invocations {
    let targets: HashMap<u64, u64> =
        poll_fns.iter().filter(|p| p.address != 0).map(|p| (p.address, p.closure)).collect();
    let mut found = Invocations::new();
    if targets.is_empty() {
        return found;
    }
    let map = CodeMap::new(units);
    for code in code {
        for (i, window) in code.bytes.windows(5).enumerate() {
            if window[0] != 0xe8 {
                continue;
            }
            let displacement = i32::from_le_bytes([window[1], window[2], window[3], window[4]]);
            let call = code.start.0.wrapping_add(i as u64);
            let target = call.wrapping_add(5).wrapping_add_signed(i64::from(displacement));
            let Some(closure) = targets.get(&target) else { continue };
            let line = map.unit(call).and_then(|unit| units.get(unit)).and_then(|unit| unit.line_at(call));
            if let Some((file, line)) = line {
                found.push((*closure, file.as_ref().to_owned(), line));
            }
        }
    }
    found
}
