//! The static model as tables for the kernel's state walk.

use super::{PollEnd, SitePlan, TracePlan};
use crate::decode::{Child, FrameId, Recipe, RecipeId, Recipes, Sites, Typed, switch_of};
use crate::dwarf::{DieRef, Discriminant, Type};
use crate::runtime::{Flavor, places};
use crate::target::{Image, Svma};
use async_inspect_ebpf::{ARM_DEREF, ARM_ENDS, NONE, NodeKind, WalkArm, WalkNode};
use std::collections::HashMap;

/// Widest range of discriminants that gets an arm each. A coroutine has one per await; beyond this it is not one.
const MAX_ARMS_OF_NODE: u64 = 1024;

/// Longest row of wrappers that is folded; a longer one is a cycle.
const MAX_FOLDED: usize = 64;

/// Tables for every poll function of the program. Sites whose future nothing describes are probed without a path.
/// `ids`: where tasks of a poll function keep their id, for those without types.
pub fn compile(
    recipes: &Recipes<'_, '_>,
    sites: &Sites,
    image: &Image,
    ids: &HashMap<Svma, u64>,
) -> TracePlan {
    let mut compiler = Compiler {
        recipes,
        plan: TracePlan::default(),
        nodes: HashMap::new(),
        open: Vec::new(),
        outcomes: HashMap::new(),
    };
    let mut taken = HashMap::new();
    for site in sites.iter() {
        let Some(offset) = image.file_offset(site.poll) else { continue };
        let is_pool = site.flavor == Some(Flavor::Blocking);
        let (root, id_offset) = match &site.typed {
            Some(typed) => (compiler.site(typed), typed.cell.id as u32),
            None => (NONE, ids.get(&site.poll).and_then(|id| u32::try_from(*id).ok()).unwrap_or(NONE)),
        };
        // Folded functions share an address, and then no path can be believed.
        match taken.get(&offset) {
            Some(first) => {
                let first: usize = *first;
                compiler.plan.sites[first].root = NONE;
                if !is_pool {
                    compiler.plan.pool_sites.remove(&(first as u32));
                }
            }
            None => {
                taken.insert(offset, compiler.plan.sites.len());
                if is_pool {
                    compiler.plan.pool_sites.insert(compiler.plan.sites.len() as u32);
                }
                let (address, name) = (image.to_avma(site.poll), site.name.clone());
                compiler.plan.sites.push(SitePlan { offset, address, name, root, id_offset });
            }
        }
    }
    compiler.finish(image)
}

struct Compiler<'c, 'p, 'a> {
    recipes: &'c Recipes<'p, 'a>,
    plan: TracePlan,
    nodes: HashMap<RecipeId, u32>,
    open: Vec<RecipeId>,
    /// By the recipe of a Stage: what tells how its task ended, and where in the Stage that is.
    outcomes: HashMap<RecipeId, (u32, u64)>,
}

/// Where an arm leads (node, offset, through a pointer), what it shows, and what it means for the task.
type ArmPlan = (Option<(u32, u64, bool)>, Option<FrameId>, Option<PollEnd>);

impl Compiler<'_, '_, '_> {
    fn finish(mut self, image: &Image) -> TracePlan {
        let program = self.recipes.program;
        let vtables: Vec<_> = program.future_vtables().collect();
        for vtable in vtables {
            if let Some(ty) = program.behind_vtable(vtable) {
                let node = self.node(self.recipes.future(ty));
                self.plan.vtables.push((image.to_avma(vtable), node));
            }
        }
        while let Some(recipe) = self.open.pop() {
            self.fill(recipe);
        }
        self.fold_steps();
        self.plan
    }

    /// A step from the header to the Stage, and a switch there: the future runs, or the task has ended.
    fn site(&mut self, typed: &Typed) -> u32 {
        let stage = self.node(typed.root);
        if let Some(outcome) = self.outcome(typed.cell.stage_ty) {
            self.outcomes.insert(typed.root, outcome);
        }
        let first_arm = self.arm(Some((stage, typed.cell.stage, false)), None, None);
        self.push(WalkNode { kind: NodeKind::Step as u32, first_arm, n_arms: 1, ..empty() })
    }

    /// Behind `Stage::Finished(Result<T, JoinError>)`: a node that tells how the task ended, and its offset in the Stage
    /// (<https://github.com/tokio-rs/tokio/blob/tokio-1.54.1/tokio/src/runtime/task/error.rs>).
    fn outcome(&mut self, stage: DieRef) -> Option<(u32, u64)> {
        let program = self.recipes.program;
        let stage = program.ty(stage)?;
        let finished = &stage.variants()?.list.iter().find(|v| &*v.payload.name == "Finished")?.payload;
        let result = places(program, finished.ty, &["__0"])?;
        let at = finished.offset.checked_add(result.offset)?;
        let error = &result.ty.variants()?.list.iter().find(|v| &*v.payload.name == "Err")?.payload;
        let repr = places(program, error.ty, &["__0", "repr"])?;
        let why = self.ends(
            &repr.ty,
            &|name| match name {
                "Panic" => Some(PollEnd::Panicked),
                _ => Some(PollEnd::Cancelled),
            },
            None,
        )?;
        let inside = error.offset.checked_add(repr.offset)?;
        let node = self.ends(&result.ty, &|_| Some(PollEnd::Complete), Some(("Err", why, inside)))?;
        Some((node, at))
    }

    /// A switch over an enum whose variants are ends; the variant `deeper` leads on to another node.
    fn ends(
        &mut self,
        ty: &Type,
        end: &dyn Fn(&str) -> Option<PollEnd>,
        deeper: Option<(&str, u32, u64)>,
    ) -> Option<u32> {
        let Recipe::Switch { discriminant, select, default, arms } = switch_of(ty.variants()?) else {
            return None;
        };
        let list = &ty.variants()?.list;
        let of = |i: usize| {
            let name = &*list[i].payload.name;
            let child = deeper
                .filter(|(variant, ..)| *variant == name)
                .map(|(_, node, offset)| (node, offset, false));
            (child, None, end(name))
        };
        let arms: Vec<_> = (0..arms.len()).map(of).collect();
        let node = self.switch(discriminant, &select, default, &arms);
        Some(self.push(node))
    }

    fn node(&mut self, recipe: RecipeId) -> u32 {
        if let Some(node) = self.nodes.get(&recipe) {
            return *node;
        }
        let node = self.push(empty());
        self.nodes.insert(recipe, node);
        self.open.push(recipe);
        node
    }

    fn push(&mut self, node: WalkNode) -> u32 {
        self.plan.nodes.push(node);
        self.plan.nodes.len() as u32 - 1
    }

    fn arm(&mut self, child: Option<(u32, u64, bool)>, frame: Option<FrameId>, end: Option<PollEnd>) -> u32 {
        let ends = if end.is_some() { ARM_ENDS } else { 0 };
        let none = WalkArm { child_node: NONE, child_off: 0, flags: ends };
        let arm = child.and_then(|(child_node, offset, deref)| {
            let flags = ends | if deref { ARM_DEREF } else { 0 };
            Some(WalkArm { child_node, child_off: u32::try_from(offset).ok()?, flags })
        });
        self.plan.arms.push(arm.unwrap_or(none));
        self.plan.arm_frames.push(frame);
        self.plan.arm_ends.push(end);
        self.plan.arms.len() as u32 - 1
    }

    fn fill(&mut self, id: RecipeId) {
        let node = self.nodes[&id] as usize;
        let recipe = self.recipes.get(id);
        self.plan.nodes[node] = match &*recipe {
            Recipe::Fixed(arm) => primary(&arm.awaiting).map_or_else(empty, |child| self.step(child)),
            Recipe::Switch { discriminant, select, default, arms } => {
                let outcome = self.outcomes.get(&id).copied();
                // Children first: a node's own arms stand in one row.
                let arms: Vec<ArmPlan> = arms
                    .iter()
                    .map(|arm| {
                        let child = primary(&arm.awaiting).map(|c| (self.node(c.recipe), c.offset, c.deref));
                        let outcome = outcome.filter(|_| arm.finished);
                        let outcome = outcome.map(|(node, offset)| (node, offset, false));
                        let child = if arm.ends { outcome } else { child };
                        // Consumed says that it is over, and no more.
                        let end = if arm.finished { PollEnd::Complete } else { PollEnd::Gone };
                        (child, arm.frame, arm.ends.then_some(end))
                    })
                    .collect();
                self.switch(*discriminant, select, *default, &arms)
            }
            Recipe::Dyn { data, vtable } if *vtable == data.wrapping_add(8) => match u32::try_from(*data) {
                Ok(state_off) => WalkNode { kind: NodeKind::Dyn as u32, state_off, ..empty() },
                Err(_) => empty(),
            },
            Recipe::Select { inner, .. } => self.step(*inner),
            // A path ends where it would have to choose among as many futures as there happen to be.
            Recipe::Slice { .. } | Recipe::List(_) | Recipe::Tasks { .. } => empty(),
            Recipe::Dyn { .. } | Recipe::Unknown => empty(),
        };
    }

    fn step(&mut self, child: Child) -> WalkNode {
        let to = (self.node(child.recipe), child.offset, child.deref);
        let first_arm = self.arm(Some(to), None, None);
        WalkNode { kind: NodeKind::Step as u32, first_arm, n_arms: 1, ..empty() }
    }

    /// Wrappers by value cost the walk a step each for nothing: an arm that leads to one leads to what is in it. One that
    /// leads to where nothing is told leads nowhere.
    fn fold_steps(&mut self) {
        for i in 0..self.plan.arms.len() {
            self.fold_step(i);
            let child = self.plan.nodes.get(self.plan.arms[i].child_node as usize);
            if child.is_some_and(|node| node.kind == NodeKind::Leaf as u32) {
                self.plan.arms[i].child_node = NONE;
            }
        }
    }

    fn fold_step(&mut self, i: usize) {
        for _ in 0..MAX_FOLDED {
            let arm = self.plan.arms[i];
            let Some(node) = self.plan.nodes.get(arm.child_node as usize) else { break };
            let Some(inner) = self.plan.arms.get(node.first_arm as usize).copied() else { break };
            let offset = arm.child_off.checked_add(inner.child_off);
            if node.kind != NodeKind::Step as u32 || arm.flags & ARM_DEREF != 0 || inner.child_node == NONE {
                break;
            }
            let Some(child_off) = offset else { break };
            let flags = arm.flags | inner.flags;
            self.plan.arms[i] = WalkArm { child_node: inner.child_node, child_off, flags };
        }
    }

    fn switch(
        &mut self,
        discriminant: Option<Discriminant>,
        select: &[(u64, u64, u32)],
        default: Option<u32>,
        arms: &[ArmPlan],
    ) -> WalkNode {
        let (Some(d), Some(first)) = (discriminant, select.first()) else { return empty() };
        let base = first.0;
        let span = select.iter().map(|s| s.1).max().unwrap_or(base) - base;
        let Ok(state_off) = u32::try_from(d.offset) else { return empty() };
        if span >= MAX_ARMS_OF_NODE {
            return empty();
        }
        let add = |compiler: &mut Self, i: Option<u32>| {
            let (child, frame, end) = i.and_then(|i| arms.get(i as usize).copied()).unwrap_or_default();
            compiler.arm(child, frame, end)
        };
        let first_arm = self.plan.arms.len() as u32;
        for value in base..=base + span {
            let hit = select.iter().find(|(low, high, _)| (*low..=*high).contains(&value));
            add(self, hit.map(|s| s.2).or(default));
        }
        let n_arms = span as u32 + 1;
        let default_arm = default.map_or(NONE, |i| add(self, Some(i)));
        let kind = NodeKind::Switch as u32;
        WalkNode { base, state_off, first_arm, n_arms, default_arm, kind, state_width: u32::from(d.width) }
    }
}

fn empty() -> WalkNode {
    WalkNode { kind: NodeKind::Leaf as u32, default_arm: NONE, ..WalkNode::default() }
}

/// The child a path follows: the only one, or the first (a timeout's value before its timer, the first branch of a
/// `select!` or `join!`). The others show in snapshots.
fn primary(children: &[Child]) -> Option<Child> {
    children.first().copied()
}
