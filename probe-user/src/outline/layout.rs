//! What each state of a coroutine keeps, and where, as far as debug information can be believed.
//!
//! rustc lists what is saved across the await, then what the coroutine was made with, in every state
//! (`build_coroutine_variant_struct_type_di_node` in
//! <https://github.com/rust-lang/rust/blob/1.95.0/compiler/rustc_codegen_llvm/src/debuginfo/metadata/enums/mod.rs>). LLVM takes two
//! members of one name in one type for the same (`isODRMember` in
//! <https://github.com/llvm/llvm-project/blob/llvmorg-21.1.0/llvm/lib/IR/LLVMContextImpl.h>): of several locals of one name in a state
//! the first is described, the others are given its place and its type. What the coroutine was made with is described by the
//! state before the first poll, where nothing else is.

use crate::decode::{Arm, Child, Recipe, RecipeId, Recipes};
use crate::dwarf::{CoroutineKind, DieRef, Discriminant, LocalVariable, Member, Type, Variant, Variants};
use std::cell::OnceCell;
use std::collections::HashSet;
use std::sync::Arc;

/// Wrappers on the way from a place to the future in it.
const MAX_WRAPPERS: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Of an async fn. It is moved into a local of its name when the future is first polled, but keeps its place.
    Argument,
    /// What a block or a closure took from around it. Whether it is still there nobody says.
    Capture,
    Local,
    /// Without a name: a value in the middle of an expression, a drop flag.
    Temporary,
    /// The future that is awaited.
    Awaited,
}

/// One thing that a state keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub role: Role,
    /// None of what is awaited, and of temporaries.
    pub name: Option<Box<str>>,
    /// None where debug information has another of its name instead.
    pub described: Option<Described>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// Bytes from the start of the future. None where the type is told by the function's variables alone.
    pub offset: Option<u64>,
    pub bytes: u64,
    pub type_name: Arc<str>,
    /// The future that it is, or has in it.
    pub future: Option<Inside>,
}

/// A future inside of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inside {
    /// Its function, or path of its type; of a macro that polls several, the macro.
    pub function: Arc<str>,
    /// Bytes of it alone.
    pub bytes: u64,
    /// It lies within, not behind a pointer.
    pub by_value: bool,
}

impl Part {
    pub fn bytes(&self) -> Option<u64> {
        self.described.as_ref().map(|described| described.bytes)
    }

    pub fn offset(&self) -> Option<u64> {
        self.described.as_ref()?.offset
    }
}

/// Reads the states of one coroutine.
pub(super) struct Layout<'r, 'p, 'a> {
    recipes: &'r Recipes<'p, 'a>,
    ty: &'r Type,
    discriminant: Option<Discriminant>,
    size: u64,
    /// What it was made with.
    made_with: Vec<Part>,
    /// Of the function's body, by name; found when first asked for.
    variables: OnceCell<Vec<LocalVariable>>,
}

impl<'r, 'p, 'a> Layout<'r, 'p, 'a> {
    pub fn of(
        recipes: &'r Recipes<'p, 'a>,
        ty: &'r Type,
        variants: &'r Variants,
        kind: CoroutineKind,
    ) -> Layout<'r, 'p, 'a> {
        let role = if kind == CoroutineKind::Fn { Role::Argument } else { Role::Capture };
        let mut layout = Layout {
            recipes,
            ty,
            discriminant: variants.discriminant,
            size: ty.size,
            made_with: Vec::new(),
            variables: OnceCell::new(),
        };
        let first = variants.list.first().filter(|variant| layout.is_named(variant, "Unresumed"));
        if let Some((variant, payload)) = first.and_then(|v| Some((v, layout.payload(v)?))) {
            let members = payload.members.iter().zip(described(&payload.members));
            layout.made_with = members
                .map(|(member, described)| {
                    let base = described.then_some(variant.payload.offset);
                    layout.part(role, member, base, None)
                })
                .collect();
        }
        layout
    }

    /// What the future keeps before it is first polled.
    pub fn made_with(&self) -> &[Part] {
        &self.made_with
    }

    /// What a state keeps beside that, in the order of debug information; what is awaited comes first.
    pub fn saved(&self, variant: &Variant, arm: &Arm) -> Vec<Part> {
        let Some(payload) = self.payload(variant) else { return Vec::new() };
        let members = &payload.members;
        let own = members.len() - self.listed_again(members);
        let mut parts: Vec<Part> = members[..own]
            .iter()
            .zip(described(members))
            .map(|(member, described)| {
                let base = described.then_some(variant.payload.offset);
                self.part(role_of(&member.name), member, base, Some(arm))
            })
            .collect();
        self.describe_hidden(&mut parts);
        parts.sort_by_key(|part| part.role != Role::Awaited);
        parts
    }

    /// Locals that debug information has another of their name for: where the state has as many of the name as the function
    /// has variables, they are those variables.
    fn describe_hidden(&self, parts: &mut [Part]) {
        if parts.iter().all(|part| part.described.is_some()) {
            return;
        }
        let variables = self.variables.get_or_init(|| {
            let mut all = self.recipes.program.locals(self.ty);
            all.sort_by(|a, b| (&a.name, a.line, &a.ty).cmp(&(&b.name, b.line, &b.ty)));
            all.dedup_by(|a, b| (&a.name, a.line, &a.ty) == (&b.name, b.line, &b.ty));
            all
        });
        for i in 0..parts.len() {
            let Some(name) = parts[i].name.clone().filter(|_| parts[i].described.is_none()) else { continue };
            let of_name = |part: &&Part| part.name.as_ref() == Some(&name);
            let first = parts.iter().find(of_name).and_then(|part| part.described.clone());
            let count = parts.iter().filter(of_name).count();
            let types =
                variables.iter().filter(|variable| variable.name == name).map(|variable| variable.die);
            let described = |ty: DieRef| self.described(ty, None, None);
            let mut types: Vec<Described> = types.filter_map(described).collect();
            if types.len() != count {
                continue;
            }
            let same = |one: &Described| first.as_ref().is_some_and(|f| f.type_name == one.type_name);
            let Some(told) = types.iter().position(same) else { continue };
            types.remove(told);
            // Which of several is which does not matter where all are alike.
            if let [one, rest @ ..] = &types[..]
                && rest.iter().all(|other| other == one)
            {
                parts[i].described = Some(one.clone());
            }
        }
    }

    /// Bytes that hold something: these parts, what the coroutine was made with, the discriminant. At least, where a part is
    /// not described.
    pub fn in_use(&self, parts: &[Part]) -> u64 {
        let mut spans = Vec::new();
        self.spans(parts, &mut spans);
        let hidden = parts.iter().filter(|part| part.offset().is_none()).filter_map(Part::bytes);
        // Wherever it is, nothing else is there.
        hidden.fold(covered(spans, self.size), u64::saturating_add).min(self.size)
    }

    /// Where these parts and what every state has lie.
    pub fn spans(&self, parts: &[Part], spans: &mut Vec<(u64, u64)>) {
        let placed = parts.iter().chain(&self.made_with);
        let placed = placed.filter_map(|part| Some((part.offset()?, part.bytes()?)));
        spans.extend(placed.map(|(offset, bytes)| (offset, offset.saturating_add(bytes))));
        spans.extend(self.discriminant.map(|d| (d.offset, d.offset.saturating_add(d.width.into()))));
    }

    fn payload(&self, variant: &Variant) -> Option<Arc<Type>> {
        self.recipes.program.ty(variant.payload.ty)
    }

    fn is_named(&self, variant: &Variant, name: &str) -> bool {
        self.payload(variant).is_some_and(|payload| &*payload.name == name)
    }

    /// How many of the last members are what the coroutine was made with.
    fn listed_again(&self, members: &[Member]) -> usize {
        let count = self.made_with.len();
        let Some(from) = members.len().checked_sub(count) else { return 0 };
        let same = |(member, part): (&Member, &Part)| part.name.as_deref() == Some(&*member.name);
        if members[from..].iter().zip(&self.made_with).all(same) { count } else { 0 }
    }

    /// `base`: of the state's payload; None where the member is not described.
    fn part(&self, role: Role, member: &Member, base: Option<u64>, arm: Option<&Arm>) -> Part {
        let name = match role {
            Role::Awaited | Role::Temporary => None,
            Role::Argument | Role::Capture | Role::Local => Some(member.name.clone()),
        };
        let described =
            base.and_then(|base| self.described(member.ty, Some(base.wrapping_add(member.offset)), arm));
        Part { role, name, described }
    }

    fn described(&self, ty: DieRef, offset: Option<u64>, arm: Option<&Arm>) -> Option<Described> {
        let ty = self.recipes.program.ty(ty)?;
        let children = arm.into_iter().flat_map(|arm| arm.awaiting.iter().chain(&arm.held));
        let mut children = children.filter(|child| Some(child.offset) == offset);
        let future = match children.find(|child| self.is_of(child, &ty)) {
            Some(child) => inside(self.recipes, child.recipe, MAX_WRAPPERS),
            None if ty.coroutine().is_some() => {
                inside(self.recipes, self.recipes.future(ty.die), MAX_WRAPPERS)
            }
            None => None,
        };
        let (bytes, type_name) = (self.recipes.bytes(&ty), self.recipes.type_name(&ty).into());
        Some(Described { offset, bytes, type_name, future })
    }

    fn is_of(&self, child: &Child, ty: &Type) -> bool {
        self.recipes.subject(child.recipe) == Some(ty.die)
    }
}

/// By member: whether it is what debug information says. Only the first of a name is.
fn described(members: &[Member]) -> Vec<bool> {
    let mut names = HashSet::new();
    members.iter().map(|member| names.insert(&*member.name)).collect()
}

/// rustc names temporaries `__0`, `__1`, …
fn role_of(name: &str) -> Role {
    match name.strip_prefix("__") {
        Some("awaitee") => Role::Awaited,
        Some(rest) if !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()) => Role::Temporary,
        _ => Role::Local,
    }
}

/// What is called a future by people, on the way through pins, boxes and options.
fn inside(recipes: &Recipes<'_, '_>, id: RecipeId, left: usize) -> Option<Inside> {
    let recipe = recipes.get(id);
    let arms: &[Arm] = match &*recipe {
        Recipe::Switch { arms, .. } => arms,
        Recipe::Fixed(arm) => std::slice::from_ref(arm),
        _ => return None,
    };
    if let Some(frame) = arms.iter().find_map(|arm| arm.frame) {
        let frame = recipes.frames.get(frame);
        return Some(Inside { function: frame.function.clone(), bytes: frame.size, by_value: true });
    }
    let child = arms.iter().flat_map(|arm| &arm.awaiting).next()?;
    let deeper = inside(recipes, child.recipe, left.checked_sub(1)?)?;
    Some(Inside { by_value: deeper.by_value && !child.deref, ..deeper })
}

/// Bytes below `size` that these spans cover.
pub(super) fn covered(mut spans: Vec<(u64, u64)>, size: u64) -> u64 {
    spans.sort_unstable();
    let (mut bytes, mut end) = (0, 0);
    for (from, to) in spans {
        let (from, to) = (from.max(end), to.min(size));
        if from < to {
            bytes += to - from;
            end = to;
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_counted_once() {
        assert_eq!(covered(vec![(8, 16), (0, 4), (10, 20), (0, 2)], 64), 16);
        assert_eq!(covered(vec![(0, 100), (200, 300)], 64), 64);
        assert_eq!(covered(vec![(9, 3)], 64), 0);
        assert_eq!(covered(Vec::new(), 64), 0);
    }

    #[test]
    fn names_tell_what_a_part_is() {
        let names = ["__awaitee", "__0", "__17", "__arg0", "__", "x", "_ref__x"];
        let roles = [Role::Awaited, Role::Temporary, Role::Temporary].into_iter().chain([Role::Local; 4]);
        assert_eq!(names.map(role_of).to_vec(), roles.collect::<Vec<_>>());
    }
}
