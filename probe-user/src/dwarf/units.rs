//! Units of debug information, set up when first needed; skeletons are followed into the `.dwp` or their `.dwo`.

use super::sections::{Dwarf, DwarfError, Sections, Slice, split_unit};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

/// Brings the bytes of a file that debug information names: `comp_dir` + `dwo_name`.
pub type OpenSibling<'a> = dyn Fn(&std::path::Path) -> Option<&'a [u8]> + Sync + 'a;

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

pub(super) struct Units<'a> {
    dwarf: Arc<Dwarf<'a>>,
    package: Option<Arc<gimli::DwarfPackage<Slice<'a>>>>,
    open_sibling: &'a OpenSibling<'a>,
    slots: Vec<Slot<'a>>,
    /// Skeletons whose split unit was looked for in vain.
    missing: AtomicU32,
}

impl<'a> Units<'a> {
    /// Reads the unit headers only. A damaged header ends the list: what stands before it is kept.
    pub fn new(
        sections: &'a Sections<'a>,
        open_sibling: &'a OpenSibling<'a>,
    ) -> Result<(Self, Option<DwarfError>), DwarfError> {
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
        let missing = AtomicU32::new(0);
        Ok((Units { dwarf: Arc::new(dwarf), package, open_sibling, slots, missing }, damaged))
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
        let Some(dwarf) = self.split(&unit) else {
            return Some(Unit { dwarf: self.dwarf.clone(), unit, skeleton: None });
        };
        let header = dwarf.units().next().ok()??;
        let mut split = dwarf.unit(header).ok()?;
        split.copy_relocated_attributes(&unit);
        Some(Unit { dwarf: Arc::new(dwarf), unit: split, skeleton: Some((self.dwarf.clone(), unit)) })
    }

    /// Debug information of the split unit that a skeleton stands for. None for a whole unit, too.
    fn split(&self, skeleton: &gimli::Unit<Slice<'a>>) -> Option<Dwarf<'a>> {
        let id = skeleton.dwo_id?;
        let packaged = self.package.as_ref().and_then(|package| package.find_cu(id, &self.dwarf).ok()?);
        let found = packaged.or_else(|| {
            let text = |value| {
                self.dwarf.attr_string(skeleton, value).ok().map(|s| s.to_string_lossy().into_owned())
            };
            let mut path = PathBuf::from(
                skeleton.comp_dir.map(|d| d.to_string_lossy().into_owned()).unwrap_or_default(),
            );
            path.push(text(skeleton.dwo_name().ok()??)?);
            split_unit((self.open_sibling)(&path)?, id, &self.dwarf)
        });
        if found.is_none() {
            self.missing.fetch_add(1, Ordering::Relaxed);
        }
        found
    }

    /// Skeletons, so far, whose split unit was not found.
    pub fn missing(&self) -> u32 {
        self.missing.load(Ordering::Relaxed)
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

impl std::fmt::Debug for Units<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Units").field("len", &self.slots.len()).finish_non_exhaustive()
    }
}

impl<'a> Unit<'a> {
    pub fn string(&self, value: gimli::AttributeValue<Slice<'a>>) -> Option<&'a [u8]> {
        self.dwarf.attr_string(&self.unit, value).ok().map(|s| s.slice())
    }
}
