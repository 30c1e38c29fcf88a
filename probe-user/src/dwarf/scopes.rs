//! Which functions an address stands in, inlined ones too, and where their variables are there.
//!
//! Only units whose code is on somebody's stack are ever looked at, and each address once.

use super::evaluate::{Placed, Surroundings, evaluate};
use super::lines::CodeMap;
use super::program::Program;
use super::sections::Slice;
use super::units::{DieRef, Unit};
use super::unwind::Registers;
use crate::target::{Avma, Bias, Svma};
use gimli::{AttributeValue, constants as dw};
use std::collections::HashMap;
use std::sync::{Arc, OnceLock, RwLock};

/// Entries of one function that are looked at; inlining makes them many, but not this many.
const MAX_ENTRIES: usize = 1 << 18;
const MAX_SCOPES: usize = 256;
const MAX_VARIABLES: usize = 4096;
const MAX_LOCATIONS: usize = 64;
/// From an inlined call over the abstract function to its declaration.
const MAX_ORIGINS: usize = 4;

/// A local variable or parameter; it may have a place nowhere.
#[derive(Clone, Debug)]
pub struct Variable<'a> {
    pub ty: DieRef,
    /// A parameter, not a local.
    pub parameter: bool,
    location: Option<AttributeValue<Slice<'a>>>,
}

/// A function, or an inlined call of one.
#[derive(Clone, Debug)]
pub struct Scope<'a> {
    /// `block_on<app::main::{async_block_env#0}>`, as DWARF has it.
    pub name: Box<str>,
    /// Namespaces around it, `tokio::runtime::park`; a closure's has the function's name in it.
    pub path: Box<str>,
    pub variables: Vec<Variable<'a>>,
    /// The entry whose namespaces are `path`.
    pub(super) die: DieRef,
    /// Demangled, it tells the type that a method is of.
    pub(super) linkage: Option<Box<str>>,
    /// Of an inlined call: file (as its unit numbers them) and line where it stands.
    pub(super) call: Option<(u64, u32)>,
}

/// The functions at one address, the outermost (the one that was not inlined) first.
#[derive(Clone, Debug)]
pub struct Chain<'a> {
    pub(super) unit: u32,
    pub(super) address: Svma,
    /// The outermost function's entry, in its unit.
    function: usize,
    frame_base: Option<AttributeValue<Slice<'a>>>,
    pub scopes: Vec<Scope<'a>>,
}

impl Chain<'_> {
    pub(super) fn unit(&self) -> u32 {
        self.unit
    }

    /// Offset in its unit of the outermost function's entry.
    pub(super) fn function(&self) -> usize {
        self.function
    }
}

/// Code ranges of a unit's functions, sorted, with the offset of their entry.
type Functions = Arc<[(u64, u64, usize)]>;

/// What was looked up so far.
#[derive(Debug, Default)]
pub(super) struct Scopes<'a> {
    map: OnceLock<CodeMap>,
    functions: RwLock<HashMap<u32, Functions>>,
    chains: RwLock<HashMap<Svma, Option<Arc<Chain<'a>>>>>,
}

impl<'a> Program<'a> {
    /// None where debug information knows no function at `address`.
    pub fn functions_at(&self, address: Svma) -> Option<Arc<Chain<'a>>> {
        if let Some(known) = self.scopes.chains.read().expect("no panic while held").get(&address) {
            return known.clone();
        }
        let chain = self.look_up(address).map(Arc::new);
        self.scopes.chains.write().expect("no panic while held").entry(address).or_insert(chain).clone()
    }

    fn look_up(&self, address: Svma) -> Option<Chain<'a>> {
        let map = self.scopes.map.get_or_init(|| CodeMap::new(&self.units));
        let number = map.unit(address.0)?;
        let unit = self.units.get(number)?;
        let functions = self.functions(number, &unit);
        // Functions do not nest, but identical ones may share their code: any of them will do.
        let before = functions.partition_point(|(start, ..)| *start <= address.0);
        let (_, end, offset) = *functions.get(before.checked_sub(1)?)?;
        if address.0 >= end {
            return None;
        }
        self.chain(number, &unit, offset, address)
    }

    pub(super) fn functions(&self, number: u32, unit: &Unit<'a>) -> Functions {
        if let Some(known) = self.scopes.functions.read().expect("no panic while held").get(&number) {
            return known.clone();
        }
        let mut found = Vec::new();
        // What stands before a damaged entry is kept.
        let _ = functions_of(unit, &mut found);
        found.sort_unstable();
        let mut known = self.scopes.functions.write().expect("no panic while held");
        known.entry(number).or_insert(found.into()).clone()
    }

    fn chain(&self, number: u32, unit: &Unit<'a>, offset: usize, address: Svma) -> Option<Chain<'a>> {
        let mut cursor = unit.unit.entries_at_offset(gimli::UnitOffset(offset)).ok()?;
        let entry = cursor.next_dfs().ok()??;
        let top = entry.depth();
        let frame_base = entry.attr_value(dw::DW_AT_frame_base);
        let mut chain = Chain {
            unit: number,
            address,
            function: offset,
            frame_base,
            scopes: vec![self.scope(number, entry)],
        };
        // Depth of the entry that each scope is.
        let mut open = vec![top];
        // Below an entry of this depth nothing is at our address.
        let mut closed: Option<isize> = None;
        for _ in 0..MAX_ENTRIES {
            let Ok(Some(entry)) = cursor.next_dfs() else { break };
            let depth = entry.depth();
            if depth <= top {
                break;
            }
            if closed.is_some_and(|closed| depth > closed) {
                continue;
            }
            closed = None;
            while open.len() > 1 && open.last().is_some_and(|scope| *scope >= depth) {
                open.pop();
            }
            match entry.tag() {
                dw::DW_TAG_inlined_subroutine => {
                    // One that is left was not at our address, or nothing after it is.
                    if chain.scopes.len() < MAX_SCOPES && covers(unit, entry, address) {
                        open.push(depth);
                        chain.scopes.push(self.scope(number, entry));
                    } else {
                        closed = Some(depth);
                    }
                }
                dw::DW_TAG_lexical_block => {
                    if !covers(unit, entry, address) {
                        closed = Some(depth);
                    }
                }
                dw::DW_TAG_formal_parameter | dw::DW_TAG_variable => {
                    let scope = &mut chain.scopes[open.len() - 1];
                    if scope.variables.len() < MAX_VARIABLES {
                        scope.variables.extend(self.variable(number, entry));
                    }
                }
                _ => closed = Some(depth),
            }
        }
        Some(chain)
    }

    /// Every variable of the outermost function, also where other code than the chain's address uses it, and of all that
    /// was inlined into it.
    pub fn variables_of(&self, chain: &Chain<'a>) -> Vec<Variable<'a>> {
        let mut found = Vec::new();
        let Some(unit) = self.units.get(chain.unit) else { return found };
        let Ok(mut cursor) = unit.unit.entries_at_offset(gimli::UnitOffset(chain.function)) else {
            return found;
        };
        let Ok(Some(top)) = cursor.next_dfs().map(|entry| entry.map(|entry| entry.depth())) else {
            return found;
        };
        for _ in 0..MAX_ENTRIES {
            let Ok(Some(entry)) = cursor.next_dfs() else { break };
            if entry.depth() <= top || found.len() >= MAX_VARIABLES {
                break;
            }
            if matches!(entry.tag(), dw::DW_TAG_formal_parameter | dw::DW_TAG_variable) {
                found.extend(self.variable(chain.unit, entry));
            }
        }
        found
    }

    /// The code of the outermost function around the chain's address.
    pub fn code_of(&self, chain: &Chain<'a>) -> &'a [u8] {
        let found = self.range_of(chain).and_then(|(start, end)| {
            let code =
                self.code.iter().find(|c| c.start.0 <= start && end - c.start.0 <= c.bytes.len() as u64)?;
            code.bytes.get((start - code.start.0) as usize..(end - code.start.0) as usize)
        });
        found.unwrap_or_default()
    }

    pub(super) fn start_of(&self, chain: &Chain<'a>) -> Option<Svma> {
        self.range_of(chain).map(|(start, _)| Svma(start))
    }

    fn range_of(&self, chain: &Chain<'a>) -> Option<(u64, u64)> {
        let unit = self.units.get(chain.unit)?;
        let functions = self.functions(chain.unit, &unit);
        let before = functions.partition_point(|(start, ..)| *start <= chain.address.0);
        let (start, end, _) = *functions.get(before.checked_sub(1)?)?;
        Some((start, end))
    }

    fn scope(&self, number: u32, entry: &Entry<'a>) -> Scope<'a> {
        let own = DieRef { unit: number, offset: entry.offset().0 as u32 };
        let Named { name, linkage, die } = self.named(own);
        let number = |attribute| entry.attr_value(attribute).and_then(|value| value.udata_value());
        let file = entry.attr_value(dw::DW_AT_call_file).and_then(|value| match value {
            AttributeValue::FileIndex(file) => Some(file),
            other => other.udata_value(),
        });
        let line = number(dw::DW_AT_call_line).and_then(|line| u32::try_from(line).ok());
        Scope {
            die,
            linkage,
            call: file.zip(line),
            name: name.unwrap_or_default(),
            path: self.namespaces(die).join("::").into(),
            variables: Vec::new(),
        }
    }

    fn variable(&self, number: u32, entry: &Entry<'a>) -> Option<Variable<'a>> {
        let location = entry.attr_value(dw::DW_AT_location);
        let parameter = entry.tag() == dw::DW_TAG_formal_parameter;
        let mut at = number;
        let mut ty = entry.attr_value(dw::DW_AT_type);
        if ty.is_none() {
            let origin = self.units.reference(number, entry.attr_value(dw::DW_AT_abstract_origin)?)?;
            let unit = self.units.get(origin.unit)?;
            let entry = unit.unit.entry(gimli::UnitOffset(origin.offset as usize)).ok()?;
            at = origin.unit;
            ty = entry.attr_value(dw::DW_AT_type);
        }
        Some(Variable { ty: self.units.reference(at, ty?)?, parameter, location })
    }

    /// A function's name, and the entry whose namespaces are its path.
    pub(super) fn named(&self, mut die: DieRef) -> Named {
        let (mut name, mut linkage) = (None, None);
        for _ in 0..MAX_ORIGINS {
            let Some(unit) = self.units.get(die.unit) else { break };
            let Ok(entry) = unit.unit.entry(gimli::UnitOffset(die.offset as usize)) else { break };
            let text = |attribute| {
                let text = entry.attr_value(attribute).and_then(|value| unit.string(value))?;
                Some(Box::from(String::from_utf8_lossy(text)))
            };
            name = name.or_else(|| text(dw::DW_AT_name));
            linkage = linkage.or_else(|| text(dw::DW_AT_linkage_name));
            let origin = [dw::DW_AT_abstract_origin, dw::DW_AT_specification]
                .iter()
                .find_map(|attribute| self.units.reference(die.unit, entry.attr_value(*attribute)?));
            match origin {
                Some(origin) => die = origin,
                None => break,
            }
        }
        Named { name, linkage, die }
    }

    /// Where a variable of the chain is, in this frame. None where it has no place at the chain's address, or what its place
    /// depends on is not known.
    pub fn locate(
        &self,
        chain: &Chain<'a>,
        variable: &Variable<'a>,
        frame: &FrameValues<'_>,
    ) -> Option<Placed> {
        self.places(chain, variable, frame, Some(chain.address)).pop()
    }

    /// Where a variable is anywhere in the function, as far as the stack frame alone tells.
    pub fn places_in_frame(
        &self,
        chain: &Chain<'a>,
        variable: &Variable<'a>,
        frame: &FrameValues<'_>,
    ) -> Vec<Placed> {
        let mut registers = Registers::default();
        registers.set(gimli::X86_64::RSP, frame.registers.get(gimli::X86_64::RSP));
        self.places(chain, variable, &FrameValues { registers: &registers, ..*frame }, None)
    }

    fn places(
        &self,
        chain: &Chain<'a>,
        variable: &Variable<'a>,
        frame: &FrameValues<'_>,
        at: Option<Svma>,
    ) -> Vec<Placed> {
        let Some(unit) = self.units.get(chain.unit) else { return Vec::new() };
        let mut around = Surroundings {
            registers: frame.registers,
            frame_base: None,
            cfa: Some(frame.cfa.0),
            bias: frame.bias,
            word: frame.word,
            indexed: &|index| unit.dwarf.address(&unit.unit, index).ok(),
        };
        let encoding = unit.unit.encoding();
        if let Some(AttributeValue::Exprloc(base)) = chain.frame_base {
            // `DW_OP_reg7`: the base is what the register holds; `DW_OP_call_frame_cfa`: it is where that says.
            let placed = evaluate(base, encoding, &around, None);
            around.frame_base =
                placed.and_then(|p| p.address().map(|at| at.0).or_else(|| p.word(0, &|_| None)));
        }
        let expressions =
            variable.location.map(|location| unit.expressions(location, at)).unwrap_or_default();
        expressions.into_iter().filter_map(|one| evaluate(one, encoding, &around, None)).collect()
    }
}

/// What is known of one frame.
#[derive(Clone, Copy)]
pub struct FrameValues<'f> {
    pub registers: &'f Registers,
    pub cfa: Avma,
    pub bias: Bias,
    pub word: &'f dyn Fn(Avma) -> Option<u64>,
}

impl<'a> Unit<'a> {
    /// A variable's locations, all of them or the one at an address.
    fn expressions(
        &self,
        location: AttributeValue<Slice<'a>>,
        at: Option<Svma>,
    ) -> Vec<gimli::Expression<Slice<'a>>> {
        if let AttributeValue::Exprloc(everywhere) = location {
            return vec![everywhere];
        }
        let mut found = Vec::new();
        let Ok(Some(mut list)) = self.dwarf.attr_locations(&self.unit, location) else { return found };
        while let Ok(Some(entry)) = list.next()
            && found.len() < MAX_LOCATIONS
        {
            if at.is_none_or(|at| (entry.range.begin..entry.range.end).contains(&at.0)) {
                found.push(entry.data);
            }
        }
        found
    }
}

type Entry<'a> = gimli::DebuggingInformationEntry<Slice<'a>>;

pub(super) struct Named {
    pub name: Option<Box<str>>,
    pub linkage: Option<Box<str>>,
    pub die: DieRef,
}

/// All functions of a unit that have code.
fn functions_of(unit: &Unit<'_>, found: &mut Vec<(u64, u64, usize)>) -> gimli::Result<()> {
    let mut entries = unit.unit.entries_raw(None)?;
    while !entries.is_empty() {
        let offset = entries.next_offset();
        let Some(abbreviation) = entries.read_abbreviation()? else { continue };
        let has_code =
            |spec: &gimli::AttributeSpecification| matches!(spec.name(), dw::DW_AT_low_pc | dw::DW_AT_ranges);
        let function = abbreviation.tag() == dw::DW_TAG_subprogram;
        let wanted = function && abbreviation.attributes().iter().any(has_code);
        entries.skip_attributes(abbreviation.attributes())?;
        if wanted {
            let mut ranges = unit.dwarf.die_ranges(&unit.unit, &unit.unit.entry(offset)?)?;
            while let Some(range) = ranges.next()? {
                // 0 is what a linker leaves of a function it dropped.
                if range.begin != 0 && range.begin < range.end {
                    found.push((range.begin, range.end, offset.0));
                }
            }
        }
    }
    Ok(())
}

/// Has this entry code at the address? One without any ranges covers what its parent covers.
fn covers<'a>(unit: &Unit<'a>, entry: &Entry<'a>, address: Svma) -> bool {
    let Ok(mut ranges) = unit.dwarf.die_ranges(&unit.unit, entry) else { return false };
    let mut any = false;
    while let Ok(Some(range)) = ranges.next() {
        any = true;
        if (range.begin..range.end).contains(&address.0) {
            return true;
        }
    }
    !any && entry.tag() == dw::DW_TAG_lexical_block
}
