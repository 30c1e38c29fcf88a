//! Where a coroutine lies in others that await it, by value: its code may be inlined into theirs.

use super::super::{Coroutine, Coroutines};
use crate::decode::{Arm, Recipe, RecipeId, Recipes};
use std::collections::HashMap;

/// Wrappers between an await and the coroutine in it.
const MAX_WRAPPERS: usize = 16;
/// Coroutines that one lies in, each in the next.
const MAX_DEPTH: usize = 6;
/// Places that are looked at for one coroutine.
const MAX_PLACES: usize = 64;
/// Futures in one await that are looked at.
const MAX_LOOKS: usize = 1024;

/// An await of one coroutine that has another in what it awaits.
#[derive(Clone, Copy, Debug)]
struct Await {
    outer: usize,
    /// Of the outer one's state.
    state: u8,
    /// Bytes from the outer one's start.
    offset: u64,
}

/// One place where a coroutine lies.
#[derive(Clone, Debug)]
pub struct Place {
    /// The outermost, which may have code of its own.
    pub outermost: usize,
    /// Bytes from its start.
    pub offset: u64,
    /// Of the coroutines in between and the outermost: where their state is, from the outermost one's start, and which it is
    /// while they await this one.
    pub states: Vec<(u64, u8)>,
}

/// Who awaits whom by value.
pub struct Within {
    by_inner: HashMap<usize, Vec<Await>>,
    /// Offset of each coroutine's state.
    state_at: Vec<Option<u64>>,
}

impl Within {
    pub fn of(recipes: &Recipes<'_, '_>, coroutines: &Coroutines) -> Within {
        let mut within = Within { by_inner: HashMap::new(), state_at: Vec::new() };
        for (outer, one) in coroutines.list.iter().enumerate() {
            let recipe = recipes.get(one.recipe);
            let Recipe::Switch { discriminant, select, arms, .. } = &*recipe else {
                within.state_at.push(None);
                continue;
            };
            within.state_at.push(discriminant.filter(|d| d.width == 1).map(|d| d.offset));
            for (low, high, arm) in select {
                let (Ok(state), Some(arm)) = (u8::try_from(*low), arms.get(*arm as usize)) else { continue };
                let mut inner = Inner { recipes, coroutines, left: MAX_LOOKS, found: Vec::new() };
                inner.of_arm(arm, 0, MAX_WRAPPERS);
                for (index, offset) in inner.found.into_iter().filter(|_| low == high) {
                    within.by_inner.entry(index).or_default().push(Await { outer, state, offset });
                }
            }
        }
        within
    }

    /// Places in coroutines of which `has_code` says that they have code of their own; the nearest of each way.
    pub fn places(&self, of: usize, has_code: &mut dyn FnMut(usize) -> bool) -> Vec<Place> {
        let mut found = Vec::new();
        let mut open = vec![Place { outermost: of, offset: 0, states: Vec::new() }];
        while let Some(place) = open.pop() {
            if found.len() >= MAX_PLACES || open.len() >= MAX_PLACES || place.states.len() >= MAX_DEPTH {
                continue;
            }
            for Await { outer, state, offset } in self.by_inner.get(&place.outermost).into_iter().flatten() {
                let Some(state_at) = self.state_at[*outer] else { continue };
                let mut states: Vec<(u64, u8)> =
                    place.states.iter().map(|(at, state)| (at.saturating_add(*offset), *state)).collect();
                states.push((state_at, *state));
                let offset = place.offset.saturating_add(*offset);
                let place = Place { outermost: *outer, offset, states };
                if has_code(*outer) { found.push(place) } else { open.push(place) }
            }
        }
        found
    }
}

/// Coroutines that lie in what is awaited, with no other coroutine around them, and where.
struct Inner<'i, 'p, 'a> {
    recipes: &'i Recipes<'p, 'a>,
    coroutines: &'i Coroutines,
    /// Futures that may yet be looked at: one that has others twice doubles them with each level.
    left: usize,
    found: Vec<(usize, u64)>,
}

impl Inner<'_, '_, '_> {
    fn of_arm(&mut self, arm: &Arm, offset: u64, deeper: usize) {
        for child in arm.awaiting.iter().filter(|child| !child.deref) {
            if self.left > 0 && deeper > 0 {
                self.left -= 1;
                self.look(child.recipe, offset.saturating_add(child.offset), deeper - 1);
            }
        }
    }

    fn look(&mut self, id: RecipeId, offset: u64, deeper: usize) {
        if let Some(index) = self.recipes.subject(id).and_then(|ty| self.coroutines.index_of(ty)) {
            self.found.push((index, offset));
            return;
        }
        match &*self.recipes.get(id) {
            Recipe::Switch { arms, .. } => arms.iter().for_each(|arm| self.of_arm(arm, offset, deeper)),
            Recipe::Fixed(arm) => self.of_arm(arm, offset, deeper),
            _ => {}
        }
    }
}

/// The coroutine's index in the list.
pub fn index_of(coroutines: &Coroutines, one: &Coroutine) -> Option<usize> {
    coroutines.index_of(*one.types.first()?)
}
