//! Who calls whom, by the program's code: calls that were inlined, by their entries, and others, by their instructions.
//!
//! Two passes over all units, in parallel: what each function is ([`functions`]), then the calls ([`bodies`]), kept only as far
//! as somebody may be told of them. Calls through pointers and trait objects are not seen; whose vtables a function takes the
//! address of is.

mod bodies;
mod code;
mod functions;

use super::program::Program;
use super::types::Decl;
use super::units::DieRef;
use crate::target::Svma;
pub use bodies::Cut;
use bodies::{Budget, End, OfUnit};
use foldhash::{HashMap, HashSet};
pub use functions::{Class, Wanted};
use gimli::constants as dw;
use rayon::prelude::*;
use std::sync::atomic::AtomicU64;

/// From an inlined call over the abstract function to its declaration.
const MAX_ORIGINS: usize = 4;

/// A function that calls or is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeFunction {
    pub class: Class,
    /// Its entry. None of what only has an address: of dependencies, and of whatever debug information does not name.
    pub die: Option<DieRef>,
    pub address: Option<Svma>,
    /// Of one that is marked: by which it was.
    pub path: Option<Box<str>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeCall {
    /// Numbers in [`Calls::functions`].
    pub from: u32,
    pub to: u32,
    /// Where in `from`. None also of calls by functions that have no entry here.
    pub place: Option<Decl>,
    /// The dependency's function that makes the call, inlined or `from` itself.
    pub by: Option<DieRef>,
}

/// A function takes the address of a trait object's vtable, as one does that makes such an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VtableUse {
    pub function: u32,
    pub vtable: Svma,
    pub place: Option<Decl>,
}

/// The calls of a program. One function may be there several times, once for each unit that has it.
#[derive(Clone, Debug, Default)]
pub struct Calls {
    pub functions: Vec<CodeFunction>,
    /// Sorted by `from`, each once.
    pub calls: Vec<CodeCall>,
    /// Sorted by function. Of `dyn Future` only.
    pub vtables: Vec<VtableUse>,
    /// The entries of all bodies of coroutines; one body may have several.
    pub bodies: Vec<DieRef>,
    /// Calls of code that several functions share: whose they are is not known, and they are left out.
    pub ambiguous: usize,
    pub cut: Cut,
}

impl Program<'_> {
    pub fn calls(&self, wanted: &Wanted<'_>) -> Calls {
        let functions = functions::Functions::find(self, wanted);
        let vtables: HashSet<u64> = self.future_vtables().map(|vtable| vtable.0).collect();
        let code: u64 = self.code().iter().map(|code| code.bytes.len() as u64).sum();
        let budget = Budget {
            code: AtomicU64::new(code.saturating_mul(bodies::READINGS)),
            pieces: AtomicU64::new(bodies::PIECES),
        };
        let numbers = 0..self.unit_count() as u32;
        let units: Vec<OfUnit> = numbers
            .into_par_iter()
            .map(|number| bodies::of_unit(self, &functions, wanted, &vtables, &budget, number))
            .collect();
        let calls = units.iter().flat_map(|unit| &unit.calls).flat_map(|call| [call.from, call.to]);
        let users = units.iter().flat_map(|unit| &unit.vtables).map(|(end, ..)| *end);
        let mut ends: Vec<End> = calls.chain(users).collect();
        ends.par_sort_unstable();
        ends.dedup();
        let ids: HashMap<End, u32> = ends.iter().enumerate().map(|(id, end)| (*end, id as u32)).collect();
        let mut all = Calls { bodies: functions.bodies.clone(), ..Calls::default() };
        for (number, unit) in units.into_iter().enumerate() {
            let place = |line: Option<bodies::Line>| {
                line.map(|(file, line)| Decl { unit: number as u32, file, line })
            };
            all.ambiguous += unit.ambiguous;
            all.cut += unit.cut;
            all.calls.extend(unit.calls.into_iter().map(|call| CodeCall {
                from: ids[&call.from],
                to: ids[&call.to],
                place: place(call.line),
                by: call.by,
            }));
            all.vtables.extend(unit.vtables.into_iter().map(|(end, vtable, line)| VtableUse {
                function: ids[&end],
                vtable: Svma(vtable),
                place: place(line),
            }));
        }
        all.functions = ends.into_iter().map(|end| functions.describe(end)).collect();
        let line = |place: Option<Decl>| place.map(|decl| (decl.unit, decl.file, decl.line));
        all.calls.par_sort_by_key(|call| (call.from, call.to, line(call.place), call.by));
        // Code that several units describe was read for each of them.
        all.calls.dedup();
        all.vtables.sort_by_key(|used| (used.function, used.vtable));
        all.vtables.dedup();
        all
    }

    /// The type that a function returns.
    pub fn returned(&self, die: DieRef) -> Option<DieRef> {
        let unit = self.units().get(die.unit)?;
        let entry = unit.unit.entry(gimli::UnitOffset(die.offset as usize)).ok()?;
        self.units().reference(die.unit, entry.attr_value(dw::DW_AT_type)?)
    }

    /// Generic arguments of a function, by name (`F`).
    pub fn function_arguments(&self, mut die: DieRef) -> Vec<(Box<str>, DieRef)> {
        let mut found = Vec::new();
        for _ in 0..MAX_ORIGINS {
            let Some(unit) = self.units().get(die.unit) else { break };
            let Ok(mut tree) = unit.unit.entries_tree(Some(gimli::UnitOffset(die.offset as usize))) else {
                break;
            };
            let Ok(root) = tree.root() else { break };
            let refers = [dw::DW_AT_abstract_origin, dw::DW_AT_specification];
            let refers = refers.iter().find_map(|name| root.entry().attr_value(*name));
            let mut children = root.children();
            while let Ok(Some(child)) = children.next() {
                let entry = child.entry();
                if entry.tag() == dw::DW_TAG_template_type_parameter {
                    let name = entry.attr_value(dw::DW_AT_name).and_then(|name| unit.string(name));
                    let ty = entry.attr_value(dw::DW_AT_type);
                    let ty = ty.and_then(|ty| self.units().reference(die.unit, ty));
                    found.extend(name.map(|name| String::from_utf8_lossy(name).into()).zip(ty));
                }
            }
            match refers.filter(|_| found.is_empty()).and_then(|to| self.units().reference(die.unit, to)) {
                Some(to) => die = to,
                None => break,
            }
        }
        found
    }
}

impl functions::Functions {
    fn describe(&self, end: End) -> CodeFunction {
        match end {
            End::Entry(die) => CodeFunction {
                class: self.known(die).map_or(Class::Dependency, |known| known.class),
                die: Some(die),
                address: None,
                path: self.paths.get(&die).cloned(),
            },
            End::Code(address) => {
                let known = self.at(address).next();
                CodeFunction {
                    class: known.map_or(Class::Dependency, |known| known.class),
                    die: known.map(|known| known.die),
                    address: Some(Svma(address)),
                    path: None,
                }
            }
        }
    }
}
