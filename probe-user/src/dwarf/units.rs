//! Units of debug information, set up when first needed; skeletons are followed into the `.dwp`.

use super::sections::{Dwarf, DwarfError, Sections, Slice};
use std::sync::{Arc, OnceLock};

/// One debugging information entry: unit number, and offset within that unit.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, serde::Serialize, serde::Deserialize)]
pub struct DieRef {
    pub(super) unit: u32,
    pub(super) offset: u32,
}

/// A unit that is ready to be read.
#[derive(Debug)]
pub(super) struct Unit<'a> {
    pub dwarf: Arc<Dwarf<'a>>,
    pub unit: gimli::Unit<Slice<'a>>,
    /// Where `unit` comes from a package: the unit in the executable that stands for it.
    pub skeleton: Option<(Arc<Dwarf<'a>>, gimli::Unit<Slice<'a>>)>,
}

#[derive(Debug)]
struct Slot<'a> {
    header: gimli::UnitHeader<Slice<'a>>,
    /// Offset of the unit in `.debug_info`.
    start: u64,
    loaded: OnceLock<Option<Arc<Unit<'a>>>>,
}

#[derive(Debug)]
pub(super) struct Units<'a> {
    dwarf: Arc<Dwarf<'a>>,
    package: Option<Arc<gimli::DwarfPackage<Slice<'a>>>>,
    slots: Vec<Slot<'a>>,
}

impl<'a> Units<'a> {
    /// Reads the unit headers only. A damaged header ends the list: what stands before it is kept.
    pub fn new(sections: &'a Sections<'a>) -> Result<(Self, Option<DwarfError>), DwarfError> {
        let dwarf = sections.dwarf();
        let package = sections.package()?.map(Arc::new);
        let mut slots = Vec::new();
        let mut damaged = None;
        let mut headers = dwarf.units();
        loop {
            match headers.next() {
                Ok(Some(header)) => {
                    let start = header.debug_info_offset().map_or(0, |o| o.0 as u64);
                    slots.push(Slot { header, start, loaded: OnceLock::new() });
                }
                Ok(None) => break,
                Err(error) => {
                    damaged = Some(error.into());
                    break;
                }
            }
        }
        Ok((Units { dwarf: Arc::new(dwarf), package, slots }, damaged))
    }

    pub fn aranges(&self) -> &gimli::DebugAranges<Slice<'a>> {
        &self.dwarf.debug_aranges
    }

    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Sets a unit up without keeping it: for passes over all of them.
    pub fn load(&self, number: u32) -> Option<Unit<'a>> {
        let slot = self.slots.get(number as usize)?;
        let unit = self.dwarf.unit(slot.header).ok()?;
        let plain = |unit| Unit { dwarf: self.dwarf.clone(), unit, skeleton: None };
        let (Some(id), Some(package)) = (unit.dwo_id, &self.package) else {
            return Some(plain(unit));
        };
        let Ok(Some(dwarf)) = package.find_cu(id, &self.dwarf) else {
            return Some(plain(unit));
        };
        let header = dwarf.units().next().ok()??;
        let mut split = dwarf.unit(header).ok()?;
        split.copy_relocated_attributes(&unit);
        Some(Unit { dwarf: Arc::new(dwarf), unit: split, skeleton: Some((self.dwarf.clone(), unit)) })
    }

    pub fn get(&self, number: u32) -> Option<Arc<Unit<'a>>> {
        let slot = self.slots.get(number as usize)?;
        slot.loaded.get_or_init(|| self.load(number).map(Arc::new)).clone()
    }

    /// The unit a `.debug_info` offset lies in, and the offset within it.
    pub fn locate(&self, offset: u64) -> Option<DieRef> {
        let number = self.slots.partition_point(|s| s.start <= offset).checked_sub(1)?;
        let within = u32::try_from(offset - self.slots[number].start).ok()?;
        Some(DieRef { unit: number as u32, offset: within })
    }

    /// The entry that an attribute of unit `from` refers to.
    pub fn reference(&self, from: u32, value: gimli::AttributeValue<Slice<'a>>) -> Option<DieRef> {
        match value {
            gimli::AttributeValue::UnitRef(offset) => {
                Some(DieRef { unit: from, offset: u32::try_from(offset.0).ok()? })
            }
            gimli::AttributeValue::DebugInfoRef(offset) => self.locate(offset.0 as u64),
            _ => None,
        }
    }
}

impl<'a> Unit<'a> {
    pub fn string(&self, value: gimli::AttributeValue<Slice<'a>>) -> Option<&'a [u8]> {
        self.dwarf.attr_string(&self.unit, value).ok().map(|s| s.slice())
    }
}
