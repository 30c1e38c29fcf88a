//! The coroutines in what a function is given, or in what a trait object may be.

use crate::decode::{Recipe, RecipeId, Recipes};
use crate::dwarf::DieRef;
use crate::outline::Coroutines;
use std::collections::HashSet;
use std::sync::Arc;

/// Futures around the coroutine.
const MAX_AROUND: usize = 64;

/// The coroutines in a future.
#[derive(Debug, Default)]
pub struct Found {
    /// Indices in [`Coroutines::list`], and what lies around each, outermost first.
    pub found: Vec<(usize, Vec<Arc<str>>)>,
    /// More lies around than was looked at.
    pub is_cut: bool,
}

/// Those that a future of this type polls at once, as `Instrumented<F>` does.
pub fn coroutines_in(recipes: &Recipes<'_, '_>, coroutines: &Coroutines, ty: DieRef) -> Found {
    let mut inside =
        Inside { recipes, coroutines, through: Vec::new(), seen: HashSet::new(), of: Found::default() };
    inside.look(recipes.future(ty));
    inside.of
}

struct Inside<'i, 'p, 'a> {
    recipes: &'i Recipes<'p, 'a>,
    coroutines: &'i Coroutines,
    through: Vec<Arc<str>>,
    seen: HashSet<RecipeId>,
    of: Found,
}

impl Inside<'_, '_, '_> {
    fn look(&mut self, recipe: RecipeId) {
        if self.seen.contains(&recipe) {
            return;
        }
        if self.seen.len() >= MAX_AROUND {
            self.of.is_cut = true;
            return;
        }
        self.seen.insert(recipe);
        if let Some(i) = self.recipes.subject(recipe).and_then(|ty| self.coroutines.index_of(ty)) {
            self.of.found.push((i, self.through.clone()));
            return;
        }
        let recipe = self.recipes.get(recipe);
        let arms = match &*recipe {
            Recipe::Fixed(arm) => std::slice::from_ref(arm),
            Recipe::Switch { arms, .. } => arms,
            Recipe::Select { inner, .. } => return self.look(inner.recipe),
            _ => return,
        };
        for arm in arms {
            let name = arm.frame.map(|frame| self.recipes.frames.get(frame).function.clone());
            let around = self.through.len();
            self.through.extend(name);
            arm.awaiting.iter().for_each(|child| self.look(child.recipe));
            self.through.truncate(around);
        }
    }
}
