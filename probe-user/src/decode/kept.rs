//! Which parts of a future's state may keep guards and ends of channels, and how far each can be trusted.

use super::FrameState;
use super::recipe::{Kept, Recipes, slot_is_certain};
use crate::dwarf::{DieRef, Member, Type, TypeKind, Variant, Variants};
use crate::runtime::Through;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What guards are aligned to, in bytes.
const WORD: usize = 8;
/// Words of a state that are looked at for a place that nothing is said of.
const MAX_PLACES: usize = 4096;
/// Such places that one local is looked for in.
const MAX_GUESSES: usize = 32;

impl Recipes<'_, '_> {
    /// What a coroutine keeps in one of its states.
    ///
    /// A local that is moved away or dropped before an await is not part of the state, unless it had been borrowed: rustc
    /// then keeps its storage. Where panics unwind, the cleanup that is shared by all calls of its scope must know whether
    /// it is still there, so it has a drop flag, a bool without a name (`rustc_mir_transform::elaborate_drops`,
    /// `coroutine::locals_live_across_suspend_points`). Nothing says whose flag it is, but it is needed wherever the local
    /// is: a flag that is not saved in each state that has the local is another's. Where panics abort there may be no flag
    /// at all. Captures and arguments are listed in every state, also after they were moved.
    pub(super) fn kept(
        &self,
        ty: &Type,
        variants: &Variants,
        variant: &Variant,
        state: FrameState,
    ) -> Box<[Kept]> {
        if matches!(state, FrameState::Returned | FrameState::Panicked | FrameState::Unknown) {
            return Box::default();
        }
        let Some(payload) = self.program.ty(variant.payload.ty) else { return Box::default() };
        let base = variant.payload.offset;
        let members: Vec<&Member> = payload
            .members
            .iter()
            .enumerate()
            .filter(|(i, member)| self.may_keep(member) && slot_is_certain(&payload.members, *i))
            .map(|(_, member)| member)
            .collect();
        let displaced = self.displaced(ty, &payload, base);
        if members.is_empty() && displaced.is_empty() {
            return Box::default();
        }
        let states: Vec<Arc<Type>> =
            variants.list.iter().filter_map(|v| self.program.ty(v.payload.ty)).collect();
        let flags: Vec<&Member> =
            payload.members.iter().filter(|member| nameless(member) && self.is_bool(member)).collect();
        let kept = members.into_iter().map(|member| {
            // An argument is moved into a local of its name when the future is first polled.
            let named = |unresumed: &Arc<Type>| unresumed.members.iter().any(|m| m.name == member.name);
            let is_capture = states.first().is_some_and(named);
            let of_it = |flag: &&&Member| {
                states.iter().filter(|state| has(state, member)).all(|state| has(state, flag))
            };
            // Two locals of one name are given one place: which of them is there nobody says.
            let alone = payload.members.iter().filter(|other| other.name == member.name).count() == 1;
            Kept {
                offset: base.wrapping_add(member.offset),
                ty: member.ty,
                name: member.name.clone(),
                is_capture,
                certain: state == FrameState::Unresumed || (self.program.unwinds() && !is_capture && alone),
                flags: flags.iter().filter(of_it).map(|flag| base.wrapping_add(flag.offset)).collect(),
                guessed: false,
            }
        });
        kept.chain(displaced).collect()
    }

    /// Where locals may be that debug information has in the place of another of their name, and with its type: wherever
    /// nothing else is. Only the program's own drop glue can tell whether one is there.
    fn displaced(&self, coroutine: &Type, payload: &Type, base: u64) -> Vec<Kept> {
        let members = &payload.members;
        let (placed, second): (Vec<_>, Vec<_>) =
            members.iter().enumerate().partition(|(i, _)| slot_is_certain(members, *i));
        let mut second: Vec<&Member> =
            second.into_iter().map(|(_, member)| member).filter(|m| self.may_keep(m)).collect();
        second.dedup_by(|one, other| one.name == other.name);
        if second.is_empty() {
            return Vec::new();
        }
        let size = |ty: DieRef| self.program.ty(ty).map_or(0, |ty| ty.size);
        let placed: Vec<(u64, u64)> =
            placed.iter().map(|(_, m)| (m.offset, m.offset.saturating_add(size(m.ty)))).collect();
        let is_free = |at: u64, end: u64| !placed.iter().any(|(from, to)| at < *to && *from < end);
        let locals = self.program.locals(coroutine);
        let mut found = Vec::new();
        for member in second {
            let of_name = locals.iter().filter(|local| local.name == member.name).map(|local| local.die);
            let types: BTreeSet<DieRef> = of_name.collect();
            for ty in types.into_iter().filter(|ty| self.leads.to_things(self.program, *ty, Through::Owned)) {
                let length = size(ty);
                let places = (0..=payload.size.saturating_sub(length)).step_by(WORD).take(MAX_PLACES);
                let free = places.filter(|at| length > 0 && is_free(*at, at.saturating_add(length)));
                found.extend(free.take(MAX_GUESSES).map(|at| Kept {
                    offset: base.wrapping_add(at),
                    ty,
                    name: member.name.clone(),
                    is_capture: false,
                    certain: false,
                    flags: Box::default(),
                    guessed: true,
                }));
            }
        }
        found
    }

    fn may_keep(&self, member: &Member) -> bool {
        &*member.name != "__awaitee" && self.keeps(member)
    }

    /// What a hand-written future keeps in its fields: as long as it lives, all of it.
    pub(super) fn fields(&self, ty: &Type) -> Box<[Kept]> {
        let fields = ty.members.iter().filter(|member| self.keeps(member));
        let kept = |m: &Member| Kept {
            offset: m.offset,
            ty: m.ty,
            name: m.name.clone(),
            is_capture: false,
            certain: true,
            flags: Box::default(),
            guessed: false,
        };
        fields.map(kept).collect()
    }

    fn keeps(&self, member: &Member) -> bool {
        self.leads.to_things(self.program, member.ty, Through::Owned)
    }

    fn is_bool(&self, member: &Member) -> bool {
        let ty = self.program.ty(member.ty);
        ty.is_some_and(|ty| matches!(ty.kind, TypeKind::Base) && &*ty.name == "bool")
    }
}

/// Whether a state has this member.
fn has(state: &Type, member: &Member) -> bool {
    state.members.iter().any(|m| m.name == member.name && m.offset == member.offset)
}

/// rustc names temporaries and drop flags `__0`, `__1`, …
fn nameless(member: &Member) -> bool {
    member.name.strip_prefix("__").is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit()))
}
