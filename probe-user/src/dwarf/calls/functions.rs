//! The functions of all units: what each is to somebody who reads calls, and where its code begins.

use crate::dwarf::lines::is_of_std;
use crate::dwarf::program::Program;
use crate::dwarf::sections::Slice;
use crate::dwarf::units::{DieRef, Unit};
use crate::target::Svma;
use foldhash::HashMap;
use gimli::{AttributeValue, constants as dw};
use rayon::prelude::*;

/// From an inlined call over the abstract function to its declaration.
const MAX_ORIGINS: usize = 4;
/// Nesting of namespaces and types.
const MAX_SCOPES: usize = 64;

/// What a function is to somebody who reads calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// The body of an `async fn`, block or closure, whoever wrote it.
    Coroutine,
    /// The user's own code.
    Own,
    /// What was asked for by its path.
    Marked,
    /// `core`, `alloc`, `std`.
    Std,
    Dependency,
}

impl Class {
    /// Calls are told of these; those of others belong to whoever calls them.
    pub fn is_told(self) -> bool {
        matches!(self, Class::Coroutine | Class::Own)
    }
}

/// Which functions are looked for.
pub struct Wanted<'w> {
    /// By the path, `tokio::task::spawn::spawn<app::f>`.
    pub marked: &'w (dyn Fn(&str) -> bool + Sync),
    /// Crates that count as the user's own wherever their sources lie.
    pub own_crates: &'w [String],
    /// Words that hold addresses while the program runs: [`crate::dwarf::offset_table`].
    pub words: &'w HashMap<Svma, Svma>,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Named(Class),
    /// The declaration, or the abstract instance of an inlined function.
    Refers(DieRef),
}

/// A function's entry, and its class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// The entry that has the name.
    pub die: DieRef,
    pub class: Class,
}

#[derive(Debug, Default)]
struct OfUnit {
    /// Sorted by offset.
    entries: Vec<(u32, What)>,
    /// Address and the offset of the entry.
    code: Vec<(u64, u32)>,
    paths: Vec<(u32, Box<str>)>,
}

#[derive(Debug, Default)]
pub(super) struct Functions {
    units: Vec<Box<[(u32, What)]>>,
    /// Where functions begin; sorted.
    code: Vec<(u64, DieRef)>,
    /// The bodies of coroutines.
    pub bodies: Vec<DieRef>,
    /// Paths of those that are marked.
    pub paths: HashMap<DieRef, Box<str>>,
}

impl Functions {
    pub fn find(program: &Program<'_>, wanted: &Wanted<'_>) -> Functions {
        let numbers = 0..program.units().len() as u32;
        let parts: Vec<OfUnit> =
            numbers.into_par_iter().map(|number| of_unit(program, wanted, number)).collect();
        let mut all = Functions::default();
        for (number, part) in parts.into_iter().enumerate() {
            let die = |offset| DieRef { unit: number as u32, offset };
            all.code.extend(part.code.into_iter().map(|(address, offset)| (address, die(offset))));
            all.paths.extend(part.paths.into_iter().map(|(offset, path)| (die(offset), path)));
            let body = |entry: &&(u32, What)| matches!(entry.1, What::Named(Class::Coroutine));
            all.bodies.extend(part.entries.iter().filter(body).map(|(offset, _)| die(*offset)));
            all.units.push(part.entries.into());
        }
        all.code.sort_unstable();
        all
    }

    /// The function that an entry is of. None where nothing names it.
    pub fn known(&self, mut die: DieRef) -> Option<Known> {
        for _ in 0..MAX_ORIGINS {
            let entries = self.units.get(die.unit as usize)?;
            let i = entries.binary_search_by_key(&die.offset, |(offset, _)| *offset).ok()?;
            match entries[i].1 {
                What::Named(class) => return Some(Known { die, class }),
                What::Refers(to) => die = to,
            }
        }
        None
    }

    /// The functions whose code begins at an address: several where equal ones were folded into one.
    pub fn at(&self, address: u64) -> impl Iterator<Item = Known> {
        let from = self.code.partition_point(|(start, _)| *start < address);
        let here = self.code[from..].iter().take_while(move |(start, _)| *start == address);
        here.filter_map(|(_, die)| self.known(*die))
    }

    pub fn begins_at(&self, address: u64) -> bool {
        self.code.binary_search_by_key(&address, |(start, _)| *start).is_ok()
    }
}

fn of_unit(program: &Program<'_>, wanted: &Wanted<'_>, number: u32) -> OfUnit {
    let Some(unit) = program.units().load(number) else { return OfUnit::default() };
    let mut pass = Pass {
        program,
        wanted,
        unit: &unit,
        number,
        scopes: Vec::new(),
        files: HashMap::default(),
        path: String::new(),
        found: OfUnit::default(),
    };
    // What stands before a damaged entry is kept.
    let _ = pass.run();
    pass.found
}

struct Pass<'p, 'a> {
    program: &'p Program<'a>,
    wanted: &'p Wanted<'p>,
    unit: &'p Unit<'a>,
    number: u32,
    /// Depth and name of the namespaces and types around.
    scopes: Vec<(isize, &'a [u8])>,
    files: HashMap<u64, Class>,
    path: String,
    found: OfUnit,
}

#[derive(Default)]
struct Attributes<'a> {
    name: Option<&'a [u8]>,
    linkage: Option<&'a [u8]>,
    file: Option<u64>,
    low_pc: Option<AttributeValue<Slice<'a>>>,
    ranges: Option<AttributeValue<Slice<'a>>>,
    refers_to: Option<DieRef>,
}

impl<'a> Pass<'_, 'a> {
    fn run(&mut self) -> gimli::Result<()> {
        let mut entries = self.unit.unit.entries_raw(None)?;
        while !entries.is_empty() {
            let depth = entries.next_depth();
            let offset = entries.next_offset().0 as u32;
            let Some(abbreviation) = entries.read_abbreviation()? else { continue };
            while self.scopes.last().is_some_and(|(above, _)| *above >= depth) {
                self.scopes.pop();
            }
            let function = abbreviation.tag() == dw::DW_TAG_subprogram;
            let scope = is_scope(abbreviation.tag()) && abbreviation.has_children();
            if !function && !scope {
                entries.skip_attributes(abbreviation.attributes())?;
                continue;
            }
            let mut at = Attributes::default();
            for spec in abbreviation.attributes() {
                let attribute = entries.read_attribute_inline(*spec)?;
                let value = attribute.value();
                match spec.name() {
                    dw::DW_AT_name => at.name = self.unit.string(value),
                    dw::DW_AT_linkage_name if function => at.linkage = self.unit.string(value),
                    dw::DW_AT_decl_file if function => at.file = file_number(value),
                    dw::DW_AT_low_pc => at.low_pc = Some(value),
                    dw::DW_AT_ranges => at.ranges = Some(value),
                    dw::DW_AT_specification | dw::DW_AT_abstract_origin => {
                        at.refers_to = self.program.units().reference(self.number, value);
                    }
                    _ => {}
                }
            }
            if function {
                self.function(offset, &at);
            } else if self.scopes.len() < MAX_SCOPES {
                self.scopes.push((depth, at.name.unwrap_or_default()));
            }
        }
        Ok(())
    }

    fn function(&mut self, offset: u32, at: &Attributes<'a>) {
        let what = match (at.refers_to, at.name) {
            (Some(to), _) => What::Refers(to),
            (None, Some(name)) => What::Named(self.class(offset, name, at)),
            (None, None) => return,
        };
        self.found.entries.push((offset, what));
        if let Some(address) = self.begins(at) {
            self.found.code.push((address, offset));
        }
    }

    /// Where the function's code begins. 0 is what a linker leaves of a function that it dropped.
    fn begins(&self, at: &Attributes<'a>) -> Option<u64> {
        let Unit { dwarf, unit, .. } = self.unit;
        let low = at.low_pc.and_then(|value| dwarf.attr_address(unit, value).ok().flatten());
        let first = || {
            let offset = dwarf.attr_ranges_offset(unit, at.ranges?).ok()??;
            Some(dwarf.ranges(unit, offset).ok()?.next().ok()??.begin)
        };
        low.or_else(first).filter(|address| *address != 0)
    }

    fn class(&mut self, offset: u32, name: &[u8], at: &Attributes<'a>) -> Class {
        if name.starts_with(b"{async_") {
            return Class::Coroutine;
        }
        let whose = self.whose(at.file);
        if whose == Class::Own {
            return whose;
        }
        self.path.clear();
        for (_, scope) in &self.scopes {
            self.path.push_str(&String::from_utf8_lossy(scope));
            self.path.push_str("::");
        }
        self.path.push_str(&String::from_utf8_lossy(name));
        // Line tables name functions without their namespaces.
        if let Some(linkage) = at.linkage.filter(|_| self.scopes.is_empty()) {
            self.path = crate::dwarf::demangled(&String::from_utf8_lossy(linkage));
        }
        let of_own_crate = self
            .wanted
            .own_crates
            .iter()
            .any(|own| self.path.strip_prefix(own.as_str()).is_some_and(|rest| rest.starts_with("::")));
        if of_own_crate {
            return Class::Own;
        }
        if (self.wanted.marked)(&self.path) {
            self.found.paths.push((offset, self.path.as_str().into()));
            return Class::Marked;
        }
        whose
    }

    fn whose(&mut self, file: Option<u64>) -> Class {
        let Some(number) = file else { return Class::Dependency };
        if let Some(known) = self.files.get(&number) {
            return *known;
        }
        let class = match self.unit.file(number) {
            Some(file) if is_of_std(&file) => Class::Std,
            Some(file) if self.program.is_own_code(&file) => Class::Own,
            _ => Class::Dependency,
        };
        self.files.insert(number, class);
        class
    }
}

fn is_scope(tag: gimli::DwTag) -> bool {
    matches!(
        tag,
        dw::DW_TAG_namespace
            | dw::DW_TAG_structure_type
            | dw::DW_TAG_union_type
            | dw::DW_TAG_enumeration_type
    )
}

/// `DW_AT_decl_file`, `DW_AT_call_file`.
pub(super) fn file_number(value: AttributeValue<Slice<'_>>) -> Option<u64> {
    match value {
        AttributeValue::FileIndex(file) => Some(file),
        other => other.udata_value(),
    }
}
