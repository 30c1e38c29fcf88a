//! Recipes executed on memory: the await tree of one task.

use super::elements::ring_at;
use super::holds::RawHold;
use super::recipe::{Arm, Child, Recipe, RecipeId, Recipes};
use super::relations::Claims;
use super::signals::SignalChannel;
use super::waits::{LeafKind, Named, RawWait};
use super::{Frame, FrameId, FrameKind, FrameState, Node, Task, TaskState};
use crate::dwarf::{DieRef, Discriminant};
use crate::runtime::Reflect;
use crate::target::{Avma, Bias, Memory};
use foldhash::{HashMap, HashMapExt as _, HashSet, HashSetExt as _};
use std::sync::Arc;

/// A tree larger than this is cut: a torn read or a hostile target, not a program.
pub(super) const MAX_NODES: usize = 4096;
const MAX_DEPTH: usize = 128;

/// Walks the futures of tasks. One per thread: it keeps recipes at hand without locking.
pub struct Walker<'w, 'p, 'a, M: Memory + ?Sized> {
    recipes: &'w Recipes<'p, 'a>,
    memory: &'w M,
    bias: Bias,
    cache: Vec<Option<(Arc<Recipe>, Option<DieRef>)>>,
    visited: HashSet<(Avma, Option<DieRef>)>,
    /// Futures that have a node of their own, by where and of what type they are.
    pub(super) told: HashSet<(Avma, DieRef)>,
    pub(super) nodes: usize,
    /// Of the node at hand: its futures stand in a row, and so many of them were not looked at.
    pub(super) row: Option<u32>,
    /// The futures around the one that is being read, outermost first.
    pub(super) above: Vec<Above>,
    /// Depth of futures that are kept but not awaited.
    pub(super) in_held: usize,
    /// Header of the task whose tree it is.
    pub(super) task: Option<Avma>,
    pub(super) waits: Vec<RawWait>,
    pub(super) holds: Vec<RawHold>,
    pub(super) leaves: HashMap<RecipeId, LeafKind>,
    /// Read when the first task is met that waits for one.
    pub(super) signals: Option<Vec<SignalChannel>>,
    /// By chain.
    pub(super) names: HashMap<Box<[FrameId]>, Option<Named>>,
    pub(super) chain: Vec<FrameId>,
    /// Something in the current tree could not be read or made no sense.
    pub incomplete: bool,
}

/// A future on the way to a leaf.
#[derive(Clone, Copy, Debug)]
pub(super) struct Above {
    pub at: Avma,
    pub recipe: RecipeId,
    pub frame: FrameId,
}

impl<'w, 'p, 'a, M: Memory + ?Sized> Walker<'w, 'p, 'a, M> {
    pub fn new(recipes: &'w Recipes<'p, 'a>, memory: &'w M, bias: Bias) -> Self {
        Walker {
            recipes,
            memory,
            bias,
            cache: Vec::new(),
            visited: HashSet::new(),
            told: HashSet::new(),
            nodes: 0,
            row: None,
            above: Vec::new(),
            in_held: 0,
            task: None,
            waits: Vec::new(),
            holds: Vec::new(),
            leaves: HashMap::new(),
            signals: None,
            names: HashMap::new(),
            chain: Vec::new(),
            incomplete: false,
        }
    }

    /// The tree of the future of this recipe at `at`; several roots where the future itself has no node. What it waits for
    /// and keeps is in `waits` and `holds` then.
    pub fn tree(&mut self, task: Option<Avma>, at: Avma, recipe: RecipeId) -> Vec<Node> {
        self.visited.clear();
        self.told.clear();
        self.nodes = 0;
        self.row = None;
        self.incomplete = false;
        self.above.clear();
        self.in_held = 0;
        self.task = task;
        self.waits.clear();
        self.holds.clear();
        self.walk(at, recipe, MAX_DEPTH)
    }

    /// What the tree of `task` says of itself. Takes no more room than that needs: there may be 300,000 of them.
    pub(super) fn claims(&mut self, task: Task) -> Claims {
        let mut claims = Claims { task, waits: Box::default(), holds: Box::default() };
        // A task that runs has been woken: what it waited for is over, what comes next is not known.
        if claims.task.tree.is_some() && claims.task.state != TaskState::Running {
            claims.waits = self.waits.drain(..).collect();
            claims.holds = self.holds.drain(..).collect();
        }
        claims
    }

    pub(super) fn recipes(&self) -> &'w Recipes<'p, 'a> {
        self.recipes
    }

    pub(super) fn reflect(&self) -> Reflect<'w, 'a, M> {
        Reflect { program: self.recipes.program, memory: self.memory }
    }

    pub(super) fn bias(&self) -> Bias {
        self.bias
    }

    /// Name of a task by its root: what is in a box tells more than the box's type.
    pub fn function(&self, root: &Node) -> Arc<str> {
        self.recipes.frames.get(root.frame).function.clone()
    }

    /// Of the future that is being read.
    pub(super) fn discriminant(&mut self) -> Option<Discriminant> {
        let (recipe, _) = self.recipe(self.above.last()?.recipe);
        match &*recipe {
            Recipe::Switch { discriminant, .. } => *discriminant,
            _ => None,
        }
    }

    fn recipe(&mut self, id: RecipeId) -> (Arc<Recipe>, Option<DieRef>) {
        let slot = id.0 as usize;
        if let Some(Some(recipe)) = self.cache.get(slot) {
            return recipe.clone();
        }
        let recipe = (self.recipes.get(id), self.recipes.subject(id));
        if self.cache.len() <= slot {
            self.cache.resize(slot + 1, None);
        }
        self.cache[slot] = Some(recipe.clone());
        recipe
    }

    pub(super) fn number(&mut self, at: Avma, width: u8) -> Option<u64> {
        let mut bytes = [0; 8];
        match self.memory.read(at, &mut bytes[..usize::from(width).min(8)]) {
            Ok(()) => Some(u64::from_le_bytes(bytes)),
            Err(_) => {
                self.incomplete = true;
                None
            }
        }
    }

    pub(super) fn walk(&mut self, at: Avma, id: RecipeId, depth: usize) -> Vec<Node> {
        if depth == 0 || self.nodes >= MAX_NODES {
            self.incomplete = true;
            return Vec::new();
        }
        let (recipe, die) = self.recipe(id);
        // The same future reached twice (by the awaitee's reference and as a local) is one node.
        if !self.visited.insert((at, die)) {
            return Vec::new();
        }
        match &*recipe {
            Recipe::Fixed(arm) => self.arm(at, id, arm, depth),
            Recipe::Switch { discriminant, select, default, arms } => {
                let arm = self.select(at, *discriminant, select, *default).and_then(|i| arms.get(i as usize));
                match arm {
                    Some(arm) => self.arm(at, id, arm, depth),
                    None => self.unknown_state(at, arms),
                }
            }
            Recipe::Dyn { data, vtable } => self.dynamic(at, *data, *vtable, depth),
            Recipe::Slice { data, length, ring, stride, element } => {
                let place = [at.offset(*data), at.offset(*length)];
                self.slice(place, ring_at(at, *ring), *stride, *element, depth)
            }
            Recipe::List(list) => self.list(at, id, list, depth),
            Recipe::Tasks(tasks) => self.tasks(at, id, tasks),
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

    pub(super) fn select(
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
        vec![Node { frame, more: 0, address: at, awaiting: Box::default(), held: Box::default() }]
    }

    fn arm(&mut self, at: Avma, recipe: RecipeId, arm: &Arm, depth: usize) -> Vec<Node> {
        let Some(frame) = arm.frame else { return self.children(at, &arm.awaiting, depth) };
        self.above.push(Above { at, recipe, frame });
        let outer = self.row.take();
        let before = self.waits.len();
        let awaiting = self.children(at, &arm.awaiting, depth);
        let row = std::mem::replace(&mut self.row, outer);
        if awaiting.is_empty() && arm.field {
            self.above.pop();
            return Vec::new();
        }
        if awaiting.iter().all(|node| self.has_nothing(node)) {
            self.leaf();
        } else {
            let own = self.registered_beside(before);
            self.alternatives(before, awaiting.len() + own);
        }
        self.tell(at, recipe);
        if !arm.kept.is_empty() {
            self.keeps(at, recipe, frame, arm);
        }
        let held = self.held(at, arm, depth);
        self.above.pop();
        let frame = row.and(arm.row).unwrap_or(frame);
        let more = row.unwrap_or(0);
        self.nodes += 1;
        vec![Node { frame, more, address: at, awaiting: awaiting.into(), held: held.into() }]
    }

    /// It has a node, and says itself what it waits for.
    pub(super) fn tell(&mut self, at: Avma, recipe: RecipeId) {
        let die = self.recipe(recipe).1;
        self.told.extend(die.map(|die| (at, die)));
    }

    /// A collection without a future in it.
    fn has_nothing(&self, node: &Node) -> bool {
        let empty = node.awaiting.is_empty() && node.more == 0;
        empty && self.recipes.frames.get(node.frame).kind == FrameKind::Collection
    }

    /// The futures that are kept but not awaited. What is left of one that was moved is none: all in it was seen elsewhere.
    fn held(&mut self, at: Avma, arm: &Arm, depth: usize) -> Vec<Node> {
        self.in_held += 1;
        let row = self.row;
        let mut held = self.children(at, &arm.held, depth);
        self.row = row;
        self.in_held -= 1;
        held.retain(|node| {
            let empty = node.awaiting.is_empty() && node.held.is_empty();
            let kind = || self.recipes.frames.get(node.frame).kind;
            !(empty && matches!(kind(), FrameKind::Future | FrameKind::Combinator))
        });
        held
    }

    fn children(&mut self, at: Avma, children: &[Child], depth: usize) -> Vec<Node> {
        if let [only] = children {
            return self.child(at, *only, depth);
        }
        let mut nodes = Vec::new();
        for child in children {
            nodes.append(&mut self.child(at, *child, depth));
        }
        nodes
    }

    pub(super) fn child(&mut self, at: Avma, child: Child, depth: usize) -> Vec<Node> {
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
        let Recipe::Fixed(pointer) = &*self.recipe(inner.recipe).0 else { return Vec::new() };
        let Some(target) = pointer.awaiting.first() else { return Vec::new() };
        let Recipe::Fixed(tuple_arm) = &*self.recipe(target.recipe).0 else {
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
            large_parts: Arc::default(),
        });
        vec![Node { frame, more: 0, address: at, awaiting: Box::default(), held: Box::default() }]
    }
}
