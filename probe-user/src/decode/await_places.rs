//! The user's place of each await of a coroutine, also where the await stands in a macro.

use super::{Recipes, SourceLine};
use crate::dwarf::Variants;

/// The user's line, and the macro's where the await stands in one.
pub(super) type AwaitPlace = (Option<SourceLine>, Option<SourceLine>);

/// `Unresumed`, `Returned` and `Panicked` come first.
const FIRST_SUSPENDED: usize = 3;

impl Recipes<'_, '_> {
    /// The user's place of each state's await, and the macro's own where it stands in one.
    pub(super) fn places(
        &self,
        variants: &Variants,
        own_file: Option<&str>,
        own_code: bool,
    ) -> Vec<AwaitPlace> {
        let mut places: Vec<AwaitPlace> = Vec::new();
        let mut unknown = Vec::new();
        for (i, variant) in variants.list.iter().enumerate() {
            let declared = variant.payload.decl.and_then(|d| self.program.place(d));
            let declared = declared.map(|(file, line)| SourceLine { file, line });
            let foreign = |d: &SourceLine| Some(&*d.file) != own_file && !self.program.is_own_code(&d.file);
            if !own_code || !declared.as_ref().is_some_and(foreign) {
                places.push((declared, None));
                continue;
            }
            let awaitee = self.program.ty(variant.payload.ty);
            let awaitee = awaitee.and_then(|p| self.program.ty(p.member("__awaitee")?.ty));
            let invocation = awaitee.and_then(|ty| self.program.invocation(&ty.name));
            let line = invocation.map(|(file, line)| SourceLine { file, line });
            if line.is_none() {
                unknown.push(i);
            }
            places.push((line, declared));
        }
        self.assign_in_order(variants, &mut places, &unknown);
        places
    }

    /// Awaits whose macro calls share a folded function: as many calls are left in the function as awaits, and both stand in
    /// the order of the source. Where the numbers differ nothing is assigned.
    fn assign_in_order(&self, variants: &Variants, places: &mut [AwaitPlace], unknown: &[usize]) {
        if unknown.is_empty() {
            return;
        }
        // `Unresumed` stands where the function begins, `Returned` where it ends.
        let edge = |i: usize| variants.list.get(i).and_then(|v| self.program.place(v.payload.decl?));
        let (Some((file, first)), Some((_, last))) = (edge(0), edge(1)) else { return };
        let suspended = places.iter().skip(FIRST_SUSPENDED);
        let known: Vec<u32> = suspended.filter_map(|(line, _)| line.as_ref().map(|l| l.line)).collect();
        let mut lines = self.program.invocation_lines(&file, first..=last);
        lines.retain(|line| !known.contains(line));
        if lines.len() == unknown.len() {
            for (i, line) in unknown.iter().zip(lines) {
                places[*i].0 = Some(SourceLine { file: file.clone(), line });
            }
        }
    }

    pub(super) fn is_own(&self, file: Option<&str>, function: &str) -> bool {
        let start = function.trim_start_matches(['<', '&']);
        let named =
            |name: &String| start.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with("::"));
        self.user_crates.iter().any(named) || file.is_some_and(|file| self.program.is_own_code(file))
    }
}
