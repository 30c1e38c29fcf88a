//! The least that has to be done with debug info: one thread, every unit, every entry, nothing kept.

use anyhow::{Context as _, Result};
use gimli::{DebugAbbrev, DebugInfo, EndianSlice, LittleEndian};
use object::{Object as _, ObjectSection as _};

/// Walks all entries of a file and tells how many there are.
pub fn run(file: &str) -> Result<()> {
    let bytes = std::fs::read(file)?;
    let object = object::File::parse(bytes.as_slice())?;
    let section = |name: &str| -> Result<EndianSlice<'_, LittleEndian>> {
        let section = object.section_by_name(name).with_context(|| format!("{file} has no {name}"))?;
        Ok(EndianSlice::new(section.data()?, LittleEndian))
    };
    let info = DebugInfo::from(section(".debug_info")?);
    let abbreviations = DebugAbbrev::from(section(".debug_abbrev")?);
    let (mut units, mut entries) = (0_u64, 0_u64);
    let mut headers = info.units();
    while let Some(header) = headers.next()? {
        units += 1;
        let table = header.abbreviations(&abbreviations)?;
        let mut cursor = header.entries_raw(&table, None)?;
        while !cursor.is_empty() {
            if let Some(abbreviation) = cursor.read_abbreviation()? {
                cursor.skip_attributes(abbreviation.attributes())?;
                entries += 1;
            }
        }
    }
    println!("{units} units, {entries} entries");
    Ok(())
}

/// Bytes of .debug_info.
pub fn size(file: &std::path::Path) -> Result<u64> {
    let bytes = std::fs::read(file)?;
    let object = object::File::parse(bytes.as_slice())?;
    Ok(object.section_by_name(".debug_info").context("no .debug_info")?.size())
}
