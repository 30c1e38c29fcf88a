//! What makes a future large: its largest part, and the largest part of that.

use super::SourceLine;
use super::recipe::Recipes;
use crate::dwarf::{DieRef, Member, Type, TypeKind, Variant};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Futures smaller than this are not looked into: tokio boxes those that are spawned and larger
/// (`BOX_FUTURE_THRESHOLD`, <https://github.com/tokio-rs/tokio/blob/tokio-1.54.1/tokio/src/runtime/mod.rs>).
const LARGE: u64 = 16 << 10;
/// Parts named of one future, each within the one before.
const MAX_PARTS: usize = 16;
/// Wrappers on the way from a member to the future in it.
const MAX_WRAPPERS: usize = 16;

/// The largest part of a future's state, whichever state that is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LargePart {
    /// The async function or block whose local it is.
    pub function: Arc<str>,
    /// None of what it awaits, and of what has no name.
    pub local: Option<Box<str>>,
    pub type_name: Arc<str>,
    pub bytes: u64,
    /// Where it is declared or awaited.
    pub line: Option<SourceLine>,
}

impl Recipes<'_, '_> {
    /// Outermost first, each a part of the one before. Empty where the coroutine is not large.
    pub(super) fn large_parts(&self, coroutine: &Type) -> Arc<[LargePart]> {
        let mut parts = Vec::new();
        let mut next = self.program.ty(coroutine.die);
        while let Some(ty) = next.filter(|ty| ty.size >= LARGE && parts.len() < MAX_PARTS) {
            let Some((member, variant)) = self.largest(&ty) else { break };
            // A future that is passed to an async fn is kept twice: as its argument, and where it is awaited.
            let Some(part) = self.program.ty(member.ty).filter(|part| self.bytes(part) * 3 >= ty.size) else {
                break;
            };
            parts.extend(self.large_part(&ty, &member, variant, &part));
            next = self.coroutine_inside(member.ty);
        }
        parts.into()
    }

    fn large_part(
        &self,
        coroutine: &Type,
        member: &Member,
        variant: &Variant,
        part: &Type,
    ) -> Option<LargePart> {
        let function = self.program.function(coroutine, coroutine.coroutine()?).into();
        let local = (!member.name.starts_with("__")).then(|| member.name.clone());
        let declared = local.as_ref().and_then(|name| self.declared(coroutine, name));
        let place = declared.or_else(|| self.program.place(variant.payload.decl?));
        let line = place.map(|(file, line)| SourceLine { file, line });
        Some(LargePart {
            function,
            local,
            type_name: self.type_name(part).into(),
            bytes: self.bytes(part),
            line,
        })
    }

    /// Where the local of this name is declared, if there is but one.
    fn declared(&self, coroutine: &Type, name: &str) -> Option<(Arc<str>, u32)> {
        let locals = self.program.locals(coroutine);
        let mut of_name = locals.iter().filter(|local| *local.name == *name);
        let first = of_name.next()?;
        of_name.all(|other| other.line == first.line).then(|| (first.file.clone(), first.line))
    }

    /// Bytes of a type. Debug information gives arrays no size, and no name.
    pub fn bytes(&self, ty: &Type) -> u64 {
        match ty.kind {
            TypeKind::Array { element, count } => {
                self.program.ty(element).map_or(0, |element| self.bytes(&element).saturating_mul(count))
            }
            _ => ty.size,
        }
    }

    /// Its full path, as rustc writes it.
    pub fn type_name(&self, ty: &Type) -> String {
        match ty.kind {
            TypeKind::Array { element, count } => {
                let element = self.program.ty(element).map(|element| self.type_name(&element));
                format!("[{}; {count}]", element.unwrap_or_default())
            }
            _ => self.program.path(ty),
        }
    }

    /// The largest member of all states, with the first state that has it.
    fn largest<'t>(&self, ty: &'t Type) -> Option<(Member, &'t Variant)> {
        let mut largest: Option<(u64, Member, &Variant)> = None;
        for variant in &ty.variants()?.list {
            let Some(payload) = self.program.ty(variant.payload.ty) else { continue };
            for member in &payload.members {
                let size = self.program.ty(member.ty).map_or(0, |ty| self.bytes(&ty));
                if largest.as_ref().is_none_or(|(most, ..)| size > *most) {
                    largest = Some((size, member.clone(), variant));
                }
            }
        }
        largest.map(|(_, member, variant)| (member, variant))
    }

    /// The coroutine that makes up most of a value of this type.
    fn coroutine_inside(&self, die: DieRef) -> Option<Arc<Type>> {
        let mut ty = self.program.ty(die)?;
        for _ in 0..MAX_WRAPPERS {
            if ty.coroutine().is_some() {
                return Some(ty);
            }
            if matches!(ty.kind, TypeKind::Pointer(_) | TypeKind::Array { .. }) {
                return None;
            }
            let payloads = ty.variants().into_iter().flat_map(|v| v.list.iter().map(|v| v.payload.ty));
            let parts = ty.members.iter().map(|member| member.ty).chain(payloads);
            ty = parts.filter_map(|part| self.program.ty(part)).max_by_key(|part| part.size)?;
        }
        None
    }
}
