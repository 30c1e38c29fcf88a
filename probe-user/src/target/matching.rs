//! Does a file with debug information describe the program that runs?

use super::elf::{self, Elf, Loaded};
use gimli::{DebugCuIndex, EndianSlice, LittleEndian, UnitIndex};
use object::Object;
use std::borrow::Cow;

/// How we know that debug information belongs to the running program; strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matched {
    /// It is the running file itself.
    SameFile,
    /// Both carry the same build-id.
    BuildId,
    /// The checksum that the program keeps of it (`.gnu_debuglink`).
    Checksum,
    /// The same code and constants, byte for byte: a twin where the build-ids differ.
    Code,
    /// All loaded sections have the same names, addresses and sizes; the file has no copy of the code to compare.
    Layout,
    /// Of the split units looked up in the package, so many were there.
    SplitUnits { found: usize, tried: usize },
}

/// `Err` says what differs.
pub fn debug_file(
    main: &Elf<'_>,
    candidate: &Elf<'_>,
    bytes: &[u8],
    crc: Option<u32>,
) -> Result<Matched, String> {
    if let (Ok(Some(ours)), Ok(Some(theirs))) = (main.build_id(), candidate.build_id()) {
        return if ours == theirs { Ok(Matched::BuildId) } else { twin(main, candidate, ours, theirs) };
    }
    if let Some(expected) = crc {
        let actual = crc32fast::hash(bytes);
        return if actual == expected {
            Ok(Matched::Checksum)
        } else {
            Err(format!("the program names a file with checksum {expected:08x}, this one's is {actual:08x}"))
        };
    }
    same_layout(&elf::loaded_sections(main), &elf::loaded_sections(candidate))
}

/// A program built again from the same source, with debug information or without stripping it: the linker gives it another
/// build-id, a hash of the whole file, but all that is loaded of it is the same.
fn twin(main: &Elf<'_>, candidate: &Elf<'_>, ours: &[u8], theirs: &[u8]) -> Result<Matched, String> {
    let differ = format!("the program's build-id is {}, this file's is {}", hex(ours), hex(theirs));
    match same_layout(&elf::loaded_sections(main), &elf::loaded_sections(candidate)) {
        Ok(Matched::Code) => Ok(Matched::Code),
        Ok(_) => Err(differ),
        Err(why) => Err(format!("{differ}, and it is no twin: {why}")),
    }
}

/// Constants, where lines of panics tell an edited source with the same code; vtables.
const CONSTANTS: [&[u8]; 2] = [b".rodata", b".data.rel.ro"];

fn same_layout(main: &[Loaded<'_>], candidate: &[Loaded<'_>]) -> Result<Matched, String> {
    let mut code_compared = false;
    for ours in main {
        let name = String::from_utf8_lossy(ours.name);
        let theirs = candidate
            .iter()
            .find(|s| s.name == ours.name && (s.address == ours.address || s.name == b".text"))
            .ok_or_else(|| format!("it has no section {name} at {:#x}", ours.address))?;
        if (ours.address, ours.size) != (theirs.address, theirs.size) {
            return Err(format!(
                "the program's {name} is {} bytes at {:#x}, this file's {} bytes at {:#x}",
                ours.size, ours.address, theirs.size, theirs.address
            ));
        }
        let compared = ours.executable || CONSTANTS.contains(&ours.name);
        if let (true, Some(a), Some(b)) = (compared, ours.data, theirs.data) {
            if a != b {
                let what = if ours.executable { "code" } else { "data" };
                let at = a.iter().zip(b).position(|(x, y)| x != y).unwrap_or(0) as u64;
                return Err(format!("the {what} in {name} differs from {:#x} on", ours.address + at));
            }
            code_compared |= ours.executable;
        }
    }
    match (main.iter().any(|s| s.executable), code_compared) {
        (false, _) => {
            Err("the program's section headers are stripped, there is nothing to compare".to_owned())
        }
        (true, true) => Ok(Matched::Code),
        (true, false) => Ok(Matched::Layout),
    }
}

/// Units looked up in a package; each costs reading its abbreviations. A stale package shows in the units that changed,
/// so they are spread over all; the DWARF layer counts those that are missing when it needs them.
const UNITS_TRIED: usize = 64;

/// Looks for the skeletons' split units in the package. `Err` says what differs.
pub fn package(skeletons: &Elf<'_>, package: &Elf<'_>) -> Result<Matched, String> {
    let index = elf::section(package, ".debug_cu_index").ok_or("it has no .debug_cu_index")?;
    let index = DebugCuIndex::from(EndianSlice::new(&index, LittleEndian));
    let index = index.index().map_err(|e| format!("its index is malformed: {e}"))?;
    let ids = split_unit_ids(skeletons).map_err(|e| format!("the program's own units are malformed: {e}"))?;
    found_in(&ids, &index)
}

fn found_in(ids: &[u64], index: &UnitIndex<EndianSlice<'_, LittleEndian>>) -> Result<Matched, String> {
    if ids.is_empty() {
        return Err("the program has no split units".to_owned());
    }
    let found = ids.iter().filter(|id| index.find(**id).is_some()).count();
    if found == 0 {
        return Err(format!("of {} split units of the program it has none", ids.len()));
    }
    Ok(Matched::SplitUnits { found, tried: ids.len() })
}

/// Ids of up to [`UNITS_TRIED`] split units, from their skeletons.
pub fn split_unit_ids(file: &Elf<'_>) -> gimli::Result<Vec<u64>> {
    let load =
        |id: gimli::SectionId| gimli::Result::Ok(elf::section(file, id.name()).unwrap_or(Cow::Borrowed(&[])));
    let sections = gimli::DwarfSections::load(load)?;
    let dwarf = sections.borrow(|data| EndianSlice::new(data, LittleEndian));
    let mut headers = Vec::new();
    let mut units = dwarf.units();
    while let Some(header) = units.next()? {
        headers.push(header);
    }
    let mut ids = Vec::new();
    let step = headers.len().div_ceil(UNITS_TRIED).max(1);
    for header in headers.into_iter().step_by(step) {
        ids.extend(dwarf.unit(header)?.dwo_id.map(|id| id.0));
    }
    Ok(ids)
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
