//! The object file: what is committed of it, and how two differ.

use anyhow::Result;
use object::build::elf::{Builder, SectionData};
use object::{Object, ObjectSection};
use std::collections::BTreeSet;

/// Drops DWARF, which is large and full of paths. BTF stays: it is what the kernel and its tools read.
pub fn without_debug_sections(elf: &[u8]) -> Result<Vec<u8>> {
    let mut builder = Builder::read(elf)?;
    for section in builder.sections.iter_mut() {
        let name = section.name.to_string();
        if name.starts_with(".debug_") || name.starts_with(".rel.debug_") {
            section.delete = true;
        }
    }
    // LLVM keeps the names of sections and symbols in one table; the writer wants two.
    let names = builder.sections.add();
    names.name = ".shstrtab".into();
    names.sh_type = object::elf::SHT_STRTAB;
    names.data = SectionData::SectionString;
    // The symbols of deleted sections go with them.
    builder.delete_orphans();
    let mut stripped = Vec::new();
    builder.write(&mut stripped)?;
    Ok(stripped)
}

/// Names of sections that only one has or that differ in a byte.
pub fn differing_sections(a: &[u8], b: &[u8]) -> Result<Vec<String>> {
    let (a, b) = (object::File::parse(a)?, object::File::parse(b)?);
    let names = |file: &object::File<'_>| -> Result<BTreeSet<String>> {
        file.sections().map(|section| Ok(section.name()?.to_owned())).collect()
    };
    let data = |file: &object::File<'_>, name: &str| -> Result<Option<Vec<u8>>> {
        Ok(file.section_by_name(name).map(|section| section.data().map(<[u8]>::to_vec)).transpose()?)
    };
    let mut differing = Vec::new();
    for name in names(&a)?.union(&names(&b)?) {
        if data(&a, name)? != data(&b, name)? {
            differing.push(name.clone());
        }
    }
    Ok(differing)
}
