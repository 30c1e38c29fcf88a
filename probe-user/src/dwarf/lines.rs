//! Files and lines out of the line table.

use super::sections::Slice;
use super::units::{Unit, Units};
use std::sync::Arc;

type Header<'a> = gimli::LineProgramHeader<Slice<'a>>;

impl<'a> Unit<'a> {
    /// A split unit's file numbers mean its skeleton's line table, unless it has one of its own.
    fn line_program(
        &self,
    ) -> Option<(&gimli::Dwarf<Slice<'a>>, &gimli::Unit<Slice<'a>>, gimli::IncompleteLineProgram<Slice<'a>>)>
    {
        if let Some(program) = &self.unit.line_program {
            return Some((&self.dwarf, &self.unit, program.clone()));
        }
        let (dwarf, unit) = self.skeleton.as_ref()?;
        Some((dwarf, unit, unit.line_program.clone()?))
    }

    /// Path of a file number, as the compiler wrote it, made absolute where the unit tells from where.
    pub fn file(&self, number: u64) -> Option<Arc<str>> {
        let (dwarf, unit, program) = self.line_program()?;
        file_path(dwarf, unit, program.header(), number)
    }

    /// Address, file number and line of every row, sorted; line 0 where a sequence ends or the compiler names none.
    pub fn line_rows(&self) -> Vec<(u64, u64, u32)> {
        let Some((.., program)) = self.line_program() else { return Vec::new() };
        let mut rows = program.rows();
        let mut found = Vec::new();
        while let Ok(Some((_, row))) = rows.next_row() {
            let line = row.line().filter(|_| !row.end_sequence()).map_or(0, |line| line.get() as u32);
            // 0 is what a linker leaves of a function that it dropped.
            if row.address() != 0 {
                found.push((row.address(), row.file_index(), line));
            }
        }
        // Stable: of several rows at one address the last counts, and where a sequence ends another may begin.
        found.sort_by_key(|(address, _, line)| (*address, *line != 0));
        found
    }

    /// File and line of the row that covers `address`.
    pub fn line_at(&self, address: u64) -> Option<(Arc<str>, u32)> {
        let (dwarf, unit, program) = self.line_program()?;
        let mut rows = program.rows();
        let mut best: Option<(u64, u64, u32)> = None;
        while let Ok(Some((_, row))) = rows.next_row() {
            if row.end_sequence() {
                if best.is_some_and(|(start, ..)| start <= address) && address < row.address() {
                    break;
                }
                best = None;
            } else if row.address() <= address {
                let line = row.line().map_or(0, |l| l.get() as u32);
                best = Some((row.address(), row.file_index(), line));
            } else if best.is_some() {
                break;
            }
        }
        let (_, file, line) = best.filter(|(_, _, line)| *line != 0)?;
        Some((file_path(dwarf, unit, rows.header(), file)?, line))
    }
}

fn file_path<'a>(
    dwarf: &gimli::Dwarf<Slice<'a>>,
    unit: &gimli::Unit<Slice<'a>>,
    header: &Header<'a>,
    number: u64,
) -> Option<Arc<str>> {
    let text =
        |value| dwarf.attr_string(unit, value).ok().map(|s| String::from_utf8_lossy(s.slice()).into_owned());
    let file = header.file(number)?;
    let name = text(file.path_name())?;
    if name.starts_with('/') {
        return Some(name.into());
    }
    let directory = file.directory(header).and_then(text).filter(|d| !d.is_empty());
    let comp_dir = unit.comp_dir.map(|d| String::from_utf8_lossy(d.slice()).into_owned());
    let path = match (directory, comp_dir) {
        (Some(directory), _) if directory.starts_with('/') => format!("{directory}/{name}"),
        (Some(directory), Some(comp)) => format!("{comp}/{directory}/{name}"),
        (Some(directory), None) => format!("{directory}/{name}"),
        (None, Some(comp)) => format!("{comp}/{name}"),
        (None, None) => name,
    };
    Some(path.into())
}

/// Which unit's code covers an address, by `.debug_aranges`; sorted by start.
#[derive(Debug)]
pub(super) struct CodeMap {
    ranges: Vec<(u64, u64, u32)>,
}

impl CodeMap {
    pub fn new(units: &Units<'_>) -> Self {
        let mut ranges = Vec::new();
        let mut headers = units.aranges().headers();
        while let Ok(Some(header)) = headers.next() {
            let Some(unit) = units.locate(header.debug_info_offset().0 as u64) else { continue };
            let mut entries = header.entries();
            while let Ok(Some(entry)) = entries.next() {
                ranges.push((entry.address(), entry.address().saturating_add(entry.length()), unit.unit));
            }
        }
        ranges.sort_unstable();
        CodeMap { ranges }
    }

    pub fn unit(&self, address: u64) -> Option<u32> {
        let i = self.ranges.partition_point(|(start, ..)| *start <= address).checked_sub(1)?;
        let (_, end, unit) = self.ranges[i];
        (address < end).then_some(unit)
    }
}

/// Not under the compiler's own sources, a registry, a git checkout or `vendor/`.
pub(super) fn is_own_code(file: &str) -> bool {
    let foreign = [
        "/rustc/",
        "/rustlib/src/rust/",
        "/.cargo/registry/",
        "/registry/src/",
        "/.cargo/git/",
        "/git/checkouts/",
        "/vendor/",
    ];
    !foreign.iter().any(|part| file.contains(part))
        && !file.starts_with("vendor/")
        && !file.starts_with("/rust/deps/")
        && !file.contains("/library/std/")
}

/// The compiler's sources: `/rustc/HASH/library/core/src/…`, and what std itself is made of, `/rust/deps/…`.
pub fn is_of_std(file: &str) -> bool {
    let part_of = |part: &str| file.contains(&format!("/library/{part}/src/"));
    file.starts_with("/rustc/")
        || file.starts_with("/rust/deps/")
        || file.contains("/rustlib/src/rust/")
        || ["std", "core", "alloc"].into_iter().any(part_of)
}
