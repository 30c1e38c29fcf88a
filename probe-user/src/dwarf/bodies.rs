//! The code of coroutines: functions that resume them, where a build has them out of line.

use super::program::Program;
use super::scopes::Chain;
use super::sections::Slice;
use super::types::{Type, TypeKind};
use super::units::DieRef;
use crate::target::Svma;
use gimli::constants as dw;
use std::sync::Arc;

/// From an abstract function to its declaration.
const MAX_ORIGINS: usize = 4;

/// A function as it stands in the file.
#[derive(Clone, Copy, Debug)]
pub struct FunctionCode<'a> {
    pub start: Svma,
    pub bytes: &'a [u8],
}

impl FunctionCode<'_> {
    pub fn end(&self) -> Svma {
        Svma(self.start.0.saturating_add(self.bytes.len() as u64))
    }

    pub fn covers(&self, address: Svma) -> bool {
        self.start <= address && address < self.end()
    }
}

impl<'a> Program<'a> {
    /// Out-of-line functions that resume a coroutine, given all entries of its type. A build has several where units have
    /// copies, and none where it is inlined wherever it is polled.
    pub fn bodies(&self, types: &[DieRef]) -> Vec<FunctionCode<'a>> {
        let mut found: Vec<FunctionCode<'a>> = Vec::new();
        let mut looked_at = Vec::new();
        for die in types {
            let Some(ty) = self.ty(*die).filter(|_| !looked_at.contains(&die.unit)) else { continue };
            looked_at.push(die.unit);
            found.extend(self.bodies_in(&ty, types));
        }
        found.sort_by_key(|code| code.start);
        found.dedup_by_key(|code| code.start);
        found
    }

    fn bodies_in(&self, ty: &Type, types: &[DieRef]) -> Vec<FunctionCode<'a>> {
        let number = ty.die.unit;
        let Some(unit) = self.units().get(number) else { return Vec::new() };
        // The body of `f` is `f::{async_fn#0}`, its state `f::{async_fn_env#0}`.
        let body = ty.name.replacen("_env#", "#", 1);
        let body = body.find('}').map_or(&*body, |end| &body[..=end]);
        let path = self.namespaces(ty.die);
        let functions = self.functions(number, &unit);
        let candidates = functions.iter().filter(|(_, _, offset)| {
            let named = self.named(DieRef { unit: number, offset: *offset as u32 });
            named.name.is_some_and(|name| name.starts_with(body)) && self.namespaces(named.die) == path
        });
        let resumes = candidates.filter_map(|(start, ..)| {
            let chain = self.functions_at(Svma(*start))?;
            self.resumes(&chain, types).then_some(())?;
            // Parts of a function that stand elsewhere would be missing.
            let whole = functions.iter().filter(|(.., other)| *other == chain.function()).count() == 1;
            let bytes = self.code_of(&chain);
            (whole && !bytes.is_empty()).then_some(FunctionCode { start: Svma(*start), bytes })
        });
        resumes.collect()
    }

    /// Its first parameter is a `Pin<&mut` of one of these types.
    fn resumes(&self, chain: &Chain<'a>, types: &[DieRef]) -> bool {
        let scope = chain.scopes.first();
        let parameter = scope.and_then(|scope| scope.variables.iter().find(|one| one.parameter));
        let pin = parameter.and_then(|parameter| self.ty(parameter.ty));
        let pointer = pin.and_then(|pin| self.ty(pin.members.first()?.ty));
        pointer.is_some_and(|pointer| match pointer.kind {
            TypeKind::Pointer(Some(to)) => types.contains(&to),
            _ => false,
        })
    }

    /// The function around an address. None where debug information knows none.
    pub fn function_code(&self, address: Svma) -> Option<FunctionCode<'a>> {
        let chain = self.functions_at(address)?;
        let bytes = self.code_of(&chain);
        let start = self.start_of(&chain)?;
        (!bytes.is_empty()).then_some(FunctionCode { start, bytes })
    }

    /// The function at an address is one of which nothing returns: its type is `!`.
    pub fn is_diverging(&self, address: Svma) -> bool {
        self.of_function(address, |_, entry| entry.attr_value(dw::DW_AT_noreturn).map(|_| ())).is_some()
    }

    /// The type of what the function at an address returns. None where debug information knows no function, or it returns nothing.
    pub fn result(&self, address: Svma) -> Option<Arc<Type>> {
        self.of_function(address, |unit, entry| {
            self.units().reference(unit, entry.attr_value(dw::DW_AT_type)?).and_then(|die| self.ty(die))
        })
    }

    /// What the entry of a function says, or that which it is a copy of.
    fn of_function<T>(
        &self,
        address: Svma,
        says: impl Fn(u32, &gimli::DebuggingInformationEntry<Slice<'a>>) -> Option<T>,
    ) -> Option<T> {
        let chain = self.functions_at(address)?;
        let mut die = DieRef { unit: chain.unit(), offset: chain.function() as u32 };
        for _ in 0..MAX_ORIGINS {
            let unit = self.units().get(die.unit)?;
            let entry = unit.unit.entry(gimli::UnitOffset(die.offset as usize)).ok()?;
            if let Some(said) = says(die.unit, &entry) {
                return Some(said);
            }
            let mut origins = [dw::DW_AT_abstract_origin, dw::DW_AT_specification].into_iter();
            die = origins.find_map(|one| self.units().reference(die.unit, entry.attr_value(one)?))?;
        }
        None
    }
}
