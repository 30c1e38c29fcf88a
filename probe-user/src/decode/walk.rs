//! Recipes executed on memory: the await tree of one task.

use super::recipe::{Arm, Child, Recipe, RecipeId, Recipes};
use super::{Frame, FrameKind, FrameState, Node};
use crate::dwarf::Discriminant;
use crate::target::{Avma, Bias, Memory};
use std::collections::HashSet;
use std::sync::Arc;

/// A tree larger than this is cut: a torn read or a hostile target, not a program.
const MAX_NODES: usize = 4096;
const MAX_DEPTH: usize = 128;
const MAX_ELEMENTS: u64 = 1024;

/// Walks the futures of tasks. One per thread: it keeps recipes at hand without locking.
pub struct Walker<'w, 'p, 'a, M: Memory + ?Sized> {
    recipes: &'w Recipes<'p, 'a>,
    memory: &'w M,
    bias: Bias,
    cache: Vec<Option<Arc<Recipe>>>,
    visited: HashSet<(Avma, RecipeId)>,
    nodes: usize,
    /// Something in the current tree could not be read or made no sense.
    pub incomplete: bool,
}

impl<'w, 'p, 'a, M: Memory + ?Sized> Walker<'w, 'p, 'a, M> {
    pub fn new(recipes: &'w Recipes<'p, 'a>, memory: &'w M, bias: Bias) -> Self {
        Walker {
            recipes,
            memory,
            bias,
            cache: Vec::new(),
            visited: HashSet::new(),
            nodes: 0,
            incomplete: false,
        }
    }

    /// The tree of the future of this recipe at `at`; several roots where the future itself has no node.
    pub fn tree(&mut self, at: Avma, recipe: RecipeId) -> Vec<Node> {
        self.visited.clear();
        self.nodes = 0;
        self.incomplete = false;
        self.walk(at, recipe, MAX_DEPTH)
    }

    /// Name of a task by its root: what is in a box tells more than the box's type.
    pub fn function(&self, root: &Node) -> Arc<str> {
        self.recipes.frames.get(root.frame).function.clone()
    }

    fn recipe(&mut self, id: RecipeId) -> Arc<Recipe> {
        let slot = id.0 as usize;
        if let Some(Some(recipe)) = self.cache.get(slot) {
            return recipe.clone();
        }
        let recipe = self.recipes.get(id);
        if self.cache.len() <= slot {
            self.cache.resize(slot + 1, None);
        }
        self.cache[slot] = Some(recipe.clone());
        recipe
    }

    fn number(&mut self, at: Avma, width: u8) -> Option<u64> {
        let mut bytes = [0; 8];
        match self.memory.read(at, &mut bytes[..usize::from(width).min(8)]) {
            Ok(()) => Some(u64::from_le_bytes(bytes)),
            Err(_) => {
                self.incomplete = true;
                None
            }
        }
    }

    fn walk(&mut self, at: Avma, id: RecipeId, depth: usize) -> Vec<Node> {
        if depth == 0 || self.nodes >= MAX_NODES {
            self.incomplete = true;
            return Vec::new();
        }
        // The same future reached twice (by the awaitee's reference and as a local) is one node.
        if !self.visited.insert((at, id)) {
            return Vec::new();
        }
        let recipe = self.recipe(id);
        match &*recipe {
            Recipe::Fixed(arm) => self.arm(at, arm, depth),
            Recipe::Switch { discriminant, select, default, arms } => {
                let arm = self.select(at, *discriminant, select, *default).and_then(|i| arms.get(i as usize));
                match arm {
                    Some(arm) => self.arm(at, arm, depth),
                    None => self.unknown_state(at, arms),
                }
            }
            Recipe::Dyn { data, vtable } => self.dynamic(at, *data, *vtable, depth),
            Recipe::Slice { data, length, stride, element } => {
                self.slice(at.offset(*data), at.offset(*length), *stride, *element, depth)
            }
            Recipe::Select { mask, mask_width, inner } => {
                let disabled =
                    self.number(at.offset(*mask), 8).and_then(|p| self.number(Avma(p), *mask_width));
                self.branches(at, *inner, disabled.unwrap_or(0), depth)
            }
            Recipe::Unknown => {
                self.incomplete = true;
                Vec::new()
            }
        }
    }

    fn select(
        &mut self,
        at: Avma,
        discriminant: Option<Discriminant>,
        select: &[(u64, u64, u32)],
        default: Option<u32>,
    ) -> Option<u32> {
        let Some(d) = discriminant else { return default.or(select.first().map(|s| s.2)) };
        let value = self.number(at.offset(d.offset), d.width)?;
        let i = select.partition_point(|(low, ..)| *low <= value);
        let hit = i.checked_sub(1).map(|i| select[i]).filter(|(_, high, _)| value <= *high);
        hit.map(|(.., arm)| arm).or(default)
    }

    /// The state byte has a value that the type does not: torn, or not this type at all.
    fn unknown_state(&mut self, at: Avma, arms: &[Arm]) -> Vec<Node> {
        self.incomplete = true;
        let Some(frame) = arms.first().and_then(|arm| arm.frame) else { return Vec::new() };
        let known = self.recipes.frames.get(frame);
        let frame = self.recipes.frames.intern(Frame {
            state: FrameState::Unknown,
            suspend_point: None,
            line: None,
            expanded_from: None,
            ..(*known).clone()
        });
        vec![Node { frame, address: at, awaiting: Box::default(), held: Box::default() }]
    }

    fn arm(&mut self, at: Avma, arm: &Arm, depth: usize) -> Vec<Node> {
        let awaiting = self.children(at, &arm.awaiting, depth);
        let Some(frame) = arm.frame else { return awaiting };
        let held = self.children(at, &arm.held, depth);
        self.nodes += 1;
        vec![Node { frame, address: at, awaiting: awaiting.into(), held: held.into() }]
    }

    fn children(&mut self, at: Avma, children: &[Child], depth: usize) -> Vec<Node> {
        let mut nodes = Vec::new();
        for child in children {
            nodes.append(&mut self.child(at, *child, depth));
        }
        nodes
    }

    fn child(&mut self, at: Avma, child: Child, depth: usize) -> Vec<Node> {
        let mut place = at.offset(child.offset);
        if child.deref {
            match self.number(place, 8) {
                Some(0) | None => return Vec::new(),
                Some(pointer) => place = Avma(pointer),
            }
        }
        self.walk(place, child.recipe, depth - 1)
    }

    /// The branches of a `select!`: `inner` is a pointer to the tuple of futures.
    fn branches(&mut self, at: Avma, inner: Child, disabled: u64, depth: usize) -> Vec<Node> {
        let Some(tuple) = self.number(at.offset(inner.offset), 8).filter(|p| *p != 0).map(Avma) else {
            return Vec::new();
        };
        let Recipe::Fixed(pointer) = &*self.recipe(inner.recipe) else { return Vec::new() };
        let Some(target) = pointer.awaiting.first() else { return Vec::new() };
        let Recipe::Fixed(tuple_arm) = &*self.recipe(target.recipe) else {
            return self.walk(tuple, target.recipe, depth - 1);
        };
        let mut nodes = Vec::new();
        for child in &tuple_arm.awaiting {
            let off = child.branch.is_some_and(|b| b < 64 && disabled & (1 << b) != 0);
            if !off {
                nodes.append(&mut self.child(tuple, *child, depth - 1));
            }
        }
        nodes
    }

    fn dynamic(&mut self, at: Avma, data: u64, vtable: u64, depth: usize) -> Vec<Node> {
        let (Some(data), Some(vtable)) = (self.number(at.offset(data), 8), self.number(at.offset(vtable), 8))
        else {
            return Vec::new();
        };
        if data == 0 || vtable == 0 {
            return Vec::new();
        }
        match self.recipes.program.behind_vtable(Avma(vtable).to_svma(self.bias)) {
            Some(ty) => {
                let recipe = self.recipes.future(ty);
                self.walk(Avma(data), recipe, depth - 1)
            }
            None => self.opaque(Avma(data), Avma(vtable)),
        }
    }

    /// A trait object whose vtable no debug information describes.
    fn opaque(&mut self, at: Avma, vtable: Avma) -> Vec<Node> {
        self.incomplete = true;
        self.nodes += 1;
        let frame = self.recipes.frames.intern(Frame {
            function: format!("dyn Future with vtable {}", vtable.to_svma(self.bias)).into(),
            type_name: "dyn Future".into(),
            kind: FrameKind::Future,
            state: FrameState::Unknown,
            suspend_point: None,
            line: None,
            expanded_from: None,
            size: 0,
            own_code: false,
        });
        vec![Node { frame, address: at, awaiting: Box::default(), held: Box::default() }]
    }

    fn slice(&mut self, data: Avma, length: Avma, stride: u64, element: RecipeId, depth: usize) -> Vec<Node> {
        let (Some(data), Some(length)) = (self.number(data, 8), self.number(length, 8)) else {
            return Vec::new();
        };
        if length > MAX_ELEMENTS {
            self.incomplete = true;
        }
        let mut nodes = Vec::new();
        for i in 0..length.min(MAX_ELEMENTS) {
            nodes.append(&mut self.walk(Avma(data).offset(i.wrapping_mul(stride)), element, depth - 1));
        }
        nodes
    }
}
