//! The DWARF sections of a target's files, decompressed where they are compressed.

use gimli::{DwarfPackageSections, DwarfSections, EndianSlice, LittleEndian, SectionId};
use object::{Object, ObjectSection};
use std::borrow::Cow;
use thiserror::Error;

pub(super) type Slice<'a> = EndianSlice<'a, LittleEndian>;
pub(super) type Dwarf<'a> = gimli::Dwarf<Slice<'a>>;

#[derive(Debug, Error)]
pub enum DwarfError {
    #[error("the file is not a readable ELF object: {0}")]
    Object(#[from] object::Error),
    #[error("the debug information is damaged: {0}")]
    Dwarf(#[from] gimli::Error),
}

/// Owns what has to be decompressed; borrows the rest from the mapped files.
#[derive(Debug)]
pub struct Sections<'a> {
    main: DwarfSections<Cow<'a, [u8]>>,
    package: Option<DwarfPackageSections<Cow<'a, [u8]>>>,
}

impl<'a> Sections<'a> {
    /// `debug` is the file that holds `.debug_info`; `package` the `.dwp` beside it, if there is one.
    pub fn load(debug: &'a [u8], package: Option<&'a [u8]>) -> Result<Self, DwarfError> {
        let file = object::File::parse(debug)?;
        let main = DwarfSections::load(|id| section(&file, id.name()))?;
        let package = match package {
            None => None,
            Some(bytes) => {
                let file = object::File::parse(bytes)?;
                Some(DwarfPackageSections::load(|id: SectionId| match id.dwo_name() {
                    Some(name) => section(&file, name),
                    None => Ok(Cow::Borrowed(&[][..])),
                })?)
            }
        };
        Ok(Sections { main, package })
    }

    pub(super) fn dwarf(&'a self) -> Dwarf<'a> {
        self.main.borrow(|bytes| EndianSlice::new(bytes, LittleEndian))
    }

    pub(super) fn package(&'a self) -> Result<Option<gimli::DwarfPackage<Slice<'a>>>, gimli::Error> {
        let empty = EndianSlice::new(&[], LittleEndian);
        self.package
            .as_ref()
            .map(|p| p.borrow(|bytes| EndianSlice::new(bytes, LittleEndian), empty))
            .transpose()
    }
}

/// The split unit of this id in a `.dwo` file. Sections of a `.dwo` are never compressed by rustc; others are left out.
pub(super) fn split_unit<'a>(file: &'a [u8], id: gimli::DwoId, parent: &Dwarf<'a>) -> Option<Dwarf<'a>> {
    let object = object::File::parse(file).ok()?;
    let mut dwarf = Dwarf::load(|section: SectionId| -> Result<_, ()> {
        let data =
            section.dwo_name().and_then(|name| object.section_by_name(name)).and_then(|s| s.data().ok());
        Ok(EndianSlice::new(data.unwrap_or_default(), LittleEndian))
    })
    .ok()?;
    dwarf.make_dwo(parent);
    let header = dwarf.units().next().ok()??;
    // A .dwo of another build must not describe this one.
    (dwarf.unit(header).ok()?.dwo_id == Some(id)).then_some(dwarf)
}

fn section<'a>(file: &object::File<'a>, name: &str) -> Result<Cow<'a, [u8]>, DwarfError> {
    match file.section_by_name(name) {
        Some(section) => Ok(section.uncompressed_data()?),
        None => Ok(Cow::Borrowed(&[])),
    }
}
