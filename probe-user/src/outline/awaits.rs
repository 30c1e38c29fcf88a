//! Who awaits whom: out of the layouts of suspended states.
//!
//! The future that an await waits for lies in the state, with its own type, whether or not its code was inlined. What lies
//! between two coroutines (a `Timeout`, a `join!`) polls one for the other, and is told with the edge.

use super::builder::{Builder, Handle, Link};
use super::graph::{Certainty, Color, EdgeKind, Function, FunctionKind, SuspendPoint};
use super::{Bound, Coroutine, Coroutines, Origin};
use crate::decode::{Child, Frame, FrameState, Recipe, RecipeId, Recipes, SourceLine};
use crate::dwarf::{CoroutineKind, DieRef};
use std::collections::HashSet;
use std::sync::Arc;

/// Wrappers around wrappers are followed this deep.
const MAX_DEPTH: usize = 64;
/// Futures between one await and the coroutines behind it.
const MAX_VISITED: usize = 4_096;

/// An await of a trait object: which future it is, its type does not tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DynAwait {
    /// Index in [`Coroutines::list`].
    pub from: usize,
    pub place: Option<SourceLine>,
    pub through: Vec<Arc<str>>,
    /// The fat pointer's type.
    pub ty: DieRef,
}

/// All coroutines as functions, with what they await; but not what they await through trait objects. The handles stand as
/// [`Coroutines::list`] does.
pub fn add(
    recipes: &Recipes<'_, '_>,
    coroutines: &Coroutines,
    builder: &mut Builder,
) -> (Vec<Handle>, Vec<DynAwait>) {
    let mut dynamic = Vec::new();
    let handles: Vec<Handle> =
        coroutines.list.iter().map(|one| builder.function(function(recipes, one))).collect();
    for (number, (one, from)) in coroutines.list.iter().zip(&handles).enumerate() {
        let recipe = recipes.get(one.recipe);
        let Recipe::Switch { arms, .. } = &*recipe else { continue };
        for arm in arms {
            let Some(frame) = arm.frame.map(|id| recipes.frames.get(id)) else { continue };
            let mut search = Search {
                recipes,
                coroutines,
                handles: &handles,
                builder,
                dynamic: &mut dynamic,
                number,
                from: *from,
                place: frame.line.clone(),
                through: Vec::new(),
                seen: HashSet::new(),
            };
            for child in &arm.awaiting {
                search.awaited(child, 0);
            }
        }
    }
    (handles, dynamic)
}

fn function(recipes: &Recipes<'_, '_>, one: &Coroutine) -> Function {
    let suspend_points = suspend_points(recipes, one.recipe);
    let why_yellow: Vec<String> = large(recipes, one).into_iter().collect();
    let color = match (why_yellow.is_empty(), suspend_points.is_empty()) {
        (false, _) => Color::Yellow,
        (true, false) => Color::Red,
        (true, true) => Color::Green,
    };
    Function {
        name: one.name.clone(),
        kind: match one.kind {
            CoroutineKind::Fn => FunctionKind::AsyncFn,
            CoroutineKind::Block => FunctionKind::AsyncBlock,
            CoroutineKind::Closure => FunctionKind::AsyncClosure,
        },
        place: one.place.clone(),
        origin: one.origin,
        color,
        why_yellow,
        size: Some(one.size),
        suspend_points,
        is_root: false,
    }
}

/// That its future is large, and the innermost part that makes it so.
fn large(recipes: &Recipes<'_, '_>, one: &Coroutine) -> Option<String> {
    let recipe = recipes.get(one.recipe);
    let Recipe::Switch { arms, .. } = &*recipe else { return None };
    let frame = recipes.frames.get(arms.iter().find_map(|arm| arm.frame)?);
    let part = frame.large_parts.last()?;
    let what = match &part.local {
        Some(local) => format!("`{local}` of {}", part.function),
        None => part.type_name.to_string(),
    };
    Some(format!("its future takes {} bytes, {} of them are {what}", one.size, part.bytes))
}

fn suspend_points(recipes: &Recipes<'_, '_>, recipe: RecipeId) -> Vec<SuspendPoint> {
    let recipe = recipes.get(recipe);
    let Recipe::Switch { arms, .. } = &*recipe else { return Vec::new() };
    let frames = arms.iter().filter_map(|arm| arm.frame).map(|id| recipes.frames.get(id));
    let suspended = frames.filter(|frame| frame.state == FrameState::Suspended);
    let mut points: Vec<SuspendPoint> = suspended
        .filter_map(|frame| {
            Some(SuspendPoint {
                number: frame.suspend_point?,
                place: frame.line.clone(),
                expanded_from: frame.expanded_from.clone(),
            })
        })
        .collect();
    points.sort_by_key(|point| point.number);
    points
}

struct Search<'s, 'p, 'a> {
    recipes: &'s Recipes<'p, 'a>,
    coroutines: &'s Coroutines,
    handles: &'s [Handle],
    builder: &'s mut Builder,
    dynamic: &'s mut Vec<DynAwait>,
    /// Index of the coroutine.
    number: usize,
    from: Handle,
    place: Option<SourceLine>,
    through: Vec<Arc<str>>,
    seen: HashSet<RecipeId>,
}

impl Search<'_, '_, '_> {
    fn awaited(&mut self, child: &Child, depth: usize) {
        if depth > MAX_DEPTH || self.seen.len() > MAX_VISITED {
            self.builder.bounds.cut(Bound::Awaited, 1);
            return;
        }
        if !self.seen.insert(child.recipe) {
            return;
        }
        let ty = self.recipes.subject(child.recipe);
        if let Some(coroutine) = ty.and_then(|ty| self.coroutines.index_of(ty)) {
            self.link(self.handles[coroutine]);
            return;
        }
        match &*self.recipes.get(child.recipe) {
            Recipe::Fixed(arm) => {
                let frame = arm.row.or(arm.frame).map(|id| self.recipes.frames.get(id));
                match frame {
                    Some(frame) if arm.awaiting.is_empty() => self.leaf(&frame),
                    Some(frame) => self.through(&frame, &arm.awaiting, depth),
                    None => arm.awaiting.iter().for_each(|child| self.awaited(child, depth + 1)),
                }
            }
            Recipe::Switch { arms, .. } => {
                let frame = arms.iter().find_map(|arm| arm.frame).map(|id| self.recipes.frames.get(id));
                let inside: Vec<Child> = arms.iter().flat_map(|arm| arm.awaiting.iter().copied()).collect();
                match frame {
                    Some(frame) if inside.is_empty() => self.leaf(&frame),
                    Some(frame) => self.through(&frame, &inside, depth),
                    None => inside.iter().for_each(|child| self.awaited(child, depth + 1)),
                }
            }
            Recipe::Dyn { .. } => {
                let (from, place, through) = (self.number, self.place.clone(), self.through.clone());
                self.dynamic.extend(ty.map(|ty| DynAwait { from, place, through, ty }));
            }
            Recipe::Slice { element, .. } => self.element(*element, depth),
            Recipe::List(list) => self.element(list.element(), depth),
            Recipe::Select { inner, .. } => self.awaited(inner, depth + 1),
            // A set of tasks: who is in it was told where it was spawned.
            Recipe::Tasks(_) | Recipe::Unknown => {}
        }
    }

    fn element(&mut self, recipe: RecipeId, depth: usize) {
        self.awaited(&Child { offset: 0, deref: true, recipe, branch: None }, depth + 1);
    }

    fn through(&mut self, frame: &Frame, inside: &[Child], depth: usize) {
        self.through.push(frame.function.clone());
        inside.iter().for_each(|child| self.awaited(child, depth + 1));
        self.through.pop();
    }

    /// What waits for something that is no future.
    fn leaf(&mut self, frame: &Frame) {
        let origin = if frame.own_code { Origin::Own } else { Origin::of_path(&frame.function) };
        let to = future(self.builder, frame.function.clone(), origin, Some(frame.size));
        self.link(to);
    }

    fn link(&mut self, to: Handle) {
        self.builder.link(Link {
            from: self.from,
            to,
            kind: EdgeKind::Awaits,
            place: self.place.clone(),
            through: self.through.clone(),
            certainty: Certainty::Proven,
        });
    }
}

/// A future that is no coroutine.
pub fn future(builder: &mut Builder, name: Arc<str>, origin: Origin, size: Option<u64>) -> Handle {
    builder.function(Function {
        name,
        kind: FunctionKind::Future,
        place: None,
        origin,
        color: Color::Red,
        why_yellow: Vec::new(),
        size,
        suspend_points: Vec::new(),
        is_root: false,
    })
}

/// `Box<(dyn Future<Output=()> + Send), Global>` → `dyn Future<Output=()> + Send`.
pub fn trait_object(name: &str) -> &str {
    let Some(start) = name.find("dyn ") else { return name };
    let mut depth = 0usize;
    let bytes = name.as_bytes();
    for (at, byte) in bytes.iter().enumerate().skip(start) {
        match byte {
            b'<' | b'(' | b'[' => depth += 1,
            b'>' if bytes[at - 1] == b'-' => {}
            b'>' | b')' | b']' | b',' if depth == 0 => return &name[start..at],
            b'>' | b')' | b']' => depth -= 1,
            _ => {}
        }
    }
    &name[start..]
}

#[cfg(test)]
mod tests {
    use super::trait_object;

    #[test]
    fn a_trait_object_is_told_without_what_points_to_it() {
        let cases = [
            ("alloc::boxed::Box<(dyn Future<Output=()> + Send), Global>", "dyn Future<Output=()> + Send"),
            ("*const (dyn Future<Output=fn(u8) -> (u8, u8)>)", "dyn Future<Output=fn(u8) -> (u8, u8)>"),
            ("&mut dyn Future<Output=u8>", "dyn Future<Output=u8>"),
            ("Box<dyn Future<Output=u8>, Global>", "dyn Future<Output=u8>"),
            ("Box<u8>", "Box<u8>"),
        ];
        for (name, expected) in cases {
            assert_eq!(trait_object(name), expected);
        }
    }
}
