//! The async fns, blocks and closures of a program, each once.

use super::{Bound, Bounds, Origin};
use crate::decode::{FrameId, FrameKind, Recipe, RecipeId, Recipes, SourceLine};
use crate::dwarf::{CoroutineKind, DieRef};
use std::collections::HashMap;
use std::sync::Arc;

/// Most of one program; a real server of 40 MB of debug information has some hundreds.
const MAX_COROUTINES: usize = 200_000;

/// An async fn, block or closure with its generic arguments.
#[derive(Clone, Debug)]
pub struct Coroutine {
    /// `shop::api::fetch_user<u32>`; blocks keep `{async_block#0}`.
    pub name: Arc<str>,
    pub kind: CoroutineKind,
    /// Where it is declared.
    pub place: Option<SourceLine>,
    pub origin: Origin,
    /// Bytes of the future.
    pub size: u64,
    pub recipe: RecipeId,
    /// The type's entries, one for each codegen unit that has it.
    pub types: Vec<DieRef>,
}

#[derive(Clone, Debug, Default)]
pub struct Coroutines {
    /// Sorted by name, kind, place and size.
    pub list: Vec<Coroutine>,
    by_type: HashMap<DieRef, usize>,
    pub bounds: Bounds,
}

impl Coroutines {
    pub fn of(recipes: &Recipes<'_, '_>) -> Coroutines {
        let all = recipes.program.coroutines();
        let mut bounds = Bounds::default();
        bounds.cut(Bound::Coroutines, all.len().saturating_sub(MAX_COROUTINES) as u64);
        let mut same: HashMap<(Arc<str>, FrameKind, Option<SourceLine>, u64), Coroutine> = HashMap::new();
        for die in all.iter().take(MAX_COROUTINES).copied() {
            let Some(found) = coroutine(recipes, die) else { continue };
            let key = (found.name.clone(), kind_of(found.kind), found.place.clone(), found.size);
            same.entry(key).or_insert_with(|| Coroutine { types: Vec::new(), ..found }).types.push(die);
        }
        let mut sorted: Vec<_> = same.into_iter().collect();
        sorted.sort_by(|(a, _), (b, _)| a.cmp(b));
        let list: Vec<Coroutine> = sorted.into_iter().map(|(_, coroutine)| coroutine).collect();
        let numbered = list.iter().enumerate();
        let by_type = numbered.flat_map(|(i, one)| one.types.iter().map(move |die| (*die, i))).collect();
        Coroutines { list, by_type, bounds }
    }

    /// Index in [`Coroutines::list`] of a type's entry.
    pub fn index_of(&self, ty: DieRef) -> Option<usize> {
        self.by_type.get(&ty).copied()
    }
}

fn kind_of(kind: CoroutineKind) -> FrameKind {
    match kind {
        CoroutineKind::Fn => FrameKind::AsyncFn,
        CoroutineKind::Block => FrameKind::AsyncBlock,
        CoroutineKind::Closure => FrameKind::AsyncClosure,
    }
}

/// None where the entry is no coroutine after all.
fn coroutine(recipes: &Recipes<'_, '_>, die: DieRef) -> Option<Coroutine> {
    let ty = recipes.program.ty(die)?;
    let kind = ty.coroutine()?;
    let recipe = recipes.future(die);
    let made = recipes.get(recipe);
    let frame = recipes.frames.get(first_frame(&made)?);
    // `Unresumed` stands where the function does.
    let place = frame.line.clone();
    let origin = match &place {
        _ if frame.own_code => Origin::Own,
        Some(line) => Origin::of(&line.file),
        None => Origin::Dependency,
    };
    Some(Coroutine {
        name: frame.function.clone(),
        kind,
        place,
        origin,
        size: ty.size,
        recipe,
        types: Vec::new(),
    })
}

fn first_frame(recipe: &Recipe) -> Option<FrameId> {
    match recipe {
        Recipe::Switch { arms, .. } => arms.first()?.frame,
        _ => None,
    }
}
