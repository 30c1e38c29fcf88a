//! Where inherent methods stand: a declaration inside the type, and elsewhere the code, which refers to it.

use super::index::RunSite;
use super::units::DieRef;
use std::collections::HashMap;

/// Entries of methods, gathered from all units until both halves are there.
#[derive(Clone, Debug, Default)]
pub(super) struct Methods {
    /// Declaration of `run`, and the `RawTask` that has it.
    declared: Vec<(DieRef, DieRef)>,
    /// A function's own entry, the one that it refers to (a declaration, or the abstract instance of an inlined
    /// function), and its address; 0 where it has none.
    defined: Vec<(DieRef, DieRef, u64)>,
}

impl Methods {
    pub(super) fn declare(&mut self, declaration: DieRef, of: DieRef) {
        self.declared.push((declaration, of));
    }

    pub(super) fn define(&mut self, own: DieRef, refers_to: DieRef, address: u64) {
        self.defined.push((own, refers_to, address));
    }

    pub(super) fn append(&mut self, mut unit: Methods) {
        self.declared.append(&mut unit.declared);
        self.defined.append(&mut unit.defined);
    }

    /// Sorted by address; several at one address where the linker folded equal functions.
    pub(super) fn run_sites(self) -> Vec<RunSite> {
        if self.declared.is_empty() {
            return Vec::new();
        }
        let declared: HashMap<DieRef, DieRef> = self.declared.into_iter().collect();
        let without_code = self.defined.iter().filter(|(.., address)| *address == 0);
        let inlined: HashMap<DieRef, DieRef> =
            without_code.filter_map(|(own, to, _)| Some((*own, *declared.get(to)?))).collect();
        let with_code = self.defined.iter().filter(|(.., address)| *address != 0);
        let site = |(_, to, address): &(DieRef, DieRef, u64)| {
            let raw_task = declared.get(to).or_else(|| inlined.get(to))?;
            Some(RunSite { address: *address, raw_task: *raw_task })
        };
        let mut sites: Vec<RunSite> = with_code.filter_map(site).collect();
        sites.sort_by_key(|s| (s.address, s.raw_task));
        sites.dedup_by_key(|s| (s.address, s.raw_task));
        sites
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_found_through_the_declaration_also_of_an_inlined_function() {
        let die = |offset| DieRef { unit: 0, offset };
        let mut methods = Methods::default();
        methods.declare(die(11), die(10));
        methods.declare(die(21), die(20));
        methods.define(die(30), die(11), 0x1000);
        methods.define(die(40), die(21), 0);
        methods.define(die(50), die(40), 0x2000);
        methods.define(die(60), die(99), 0x3000);
        let sites = methods.run_sites();
        let got: Vec<_> = sites.iter().map(|s| (s.address, s.raw_task)).collect();
        assert_eq!(got, [(0x1000, die(10)), (0x2000, die(20))]);
    }
}
