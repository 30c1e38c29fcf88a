//! Where a coroutine's locals are declared. The saved state has no lines: they are those of the function's own variables.

use super::program::Program;
use super::types::Type;
use super::units::DieRef;
use gimli::constants as dw;
use std::sync::Arc;

/// Entries of one namespace that are looked at.
const MAX_ENTRIES: usize = 2_000_000;

/// A variable of a function's body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalVariable {
    pub name: Box<str>,
    /// Name of its type, without namespaces.
    pub ty: Box<str>,
    /// That type.
    pub die: DieRef,
    pub file: Arc<str>,
    pub line: u32,
}

impl Program<'_> {
    /// Variables of the function whose state the coroutine type is; of all its copies, if there are several in one unit.
    pub fn locals(&self, ty: &Type) -> Vec<LocalVariable> {
        let own = self.namespace_around(ty.die).map(|span| self.locals_in(ty, ty.die.unit, span));
        let own = own.unwrap_or_default();
        if !own.is_empty() {
            return own;
        }
        // The body may be in another unit of the crate.
        let path = self.namespaces(ty.die);
        let others = self.units_of_crate(ty.die.unit).filter(|unit| *unit != ty.die.unit);
        others
            .flat_map(|unit| self.namespaces_of(unit, &path).map(move |span| (unit, span)))
            .map(|(unit, span)| self.locals_in(ty, unit, span))
            .find(|found| !found.is_empty())
            .unwrap_or_default()
    }

    fn locals_in(&self, ty: &Type, number: u32, (from, to): (u32, u32)) -> Vec<LocalVariable> {
        let mut found = Vec::new();
        let Some(unit) = self.units().get(number) else { return found };
        // The body of `f` is `f::{async_fn#0}`, its state `f::{async_fn_env#0}`.
        // Copies for other types that the compiler folded into one go by one name: all of them have the same source.
        let body = ty.name.replacen("_env#", "#", 1);
        let body = body.find('}').map_or(&*body, |end| &body[..=end]);
        let Ok(mut entries) = unit.unit.entries_at_offset(gimli::UnitOffset(from as usize)) else {
            return found;
        };
        let mut inside: Option<isize> = None;
        for _ in 0..MAX_ENTRIES {
            let Ok(Some(entry)) = entries.next_dfs() else { break };
            if entry.offset().0 as u64 >= u64::from(to) {
                break;
            }
            if inside.is_some_and(|depth| entry.depth() <= depth) {
                inside = None;
            }
            let name =
                entry.attr_value(dw::DW_AT_name).and_then(|value| unit.string(value)).unwrap_or_default();
            match entry.tag() {
                dw::DW_TAG_subprogram if inside.is_none() && name.starts_with(body.as_bytes()) => {
                    inside = Some(entry.depth());
                }
                dw::DW_TAG_variable if inside.is_some() && !name.is_empty() => {
                    let die = DieRef { unit: number, offset: entry.offset().0 as u32 };
                    let line = entry.attr_value(dw::DW_AT_decl_line).and_then(|line| line.udata_value());
                    let line = line.and_then(|line| u32::try_from(line).ok());
                    let ty = entry.attr_value(dw::DW_AT_type);
                    let ty = ty.and_then(|value| self.units().reference(number, value));
                    let ty = ty.and_then(|die| self.ty(die)).map(|ty| (ty.name.clone(), ty.die));
                    let name = String::from_utf8_lossy(name).into();
                    if let (Some(file), Some(line), Some((ty, die))) = (self.declared_in(die), line, ty) {
                        found.push(LocalVariable { name, ty, die, file, line });
                    }
                }
                _ => {}
            }
        }
        found
    }
}
