//! What to probe and how to walk: pure data, compiled from the static model by whoever knows it.

use super::{CausePlan, PollEnd, TraceError};
use crate::decode::FrameId;
use crate::target::{Avma, FileOffset};
use async_inspect_ebpf::{ARM_DEREF, BLOCK, NONE, NodeKind, WalkArm, WalkNode};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// One executor poll function, one future type.
#[derive(Clone, Debug)]
pub struct SitePlan {
    /// Of the function's first instruction, in the file.
    pub offset: FileOffset,
    /// Where that stands in the target's memory.
    pub address: Avma,
    /// Name of the tasks polled here: the root future's.
    pub name: Arc<str>,
    /// Node placed at the task's header where the walk starts; [`NONE`] takes no path.
    pub root: u32,
    /// Offset of the runtime's task id (u64) from the header; with [`NONE`] polls are counted, no events made.
    pub id_offset: u32,
}

/// Tables of the state walk; see `async_inspect_ebpf::walk` for what a node means.
#[derive(Clone, Debug, Default)]
pub struct TracePlan {
    /// No two at the same offset.
    pub sites: Vec<SitePlan>,
    /// Numbers of those sites that run closures of the blocking pool, which may block.
    pub pool_sites: HashSet<u32>,
    pub nodes: Vec<WalkNode>,
    pub arms: Vec<WalkArm>,
    /// For each arm, the frame that it means, if it is one that people see.
    pub arm_frames: Vec<Option<FrameId>>,
    /// For each arm, how the poll that left the task there ended the task. The innermost of a path counts.
    pub arm_ends: Vec<Option<PollEnd>>,
    /// Vtable of a `dyn Future` → node of the concrete type.
    pub vtables: Vec<(Avma, u32)>,
    /// What is watched beside polls.
    pub causes: CausePlan,
    /// A poll that takes longer is long. None: it is not watched how long threads are off CPU within polls either.
    pub long_after: Option<Duration>,
}

impl TracePlan {
    /// Refuses tables that contradict themselves.
    ///
    /// # Errors
    /// [`TraceError::Plan`], naming the first contradiction.
    pub fn check(&self) -> Result<(), TraceError> {
        let wrong = |what: String| Err(TraceError::Plan(what));
        let (nodes, arms) = (self.nodes.len(), self.arms.len());
        if self.arm_frames.len() != arms || self.arm_ends.len() != arms {
            return wrong(format!(
                "{arms} arms, but {} frames and {} ends for them",
                self.arm_frames.len(),
                self.arm_ends.len()
            ));
        }
        let node_exists = |node: u32| (node as usize) < nodes;
        for (i, node) in self.nodes.iter().enumerate() {
            let in_table =
                (node.first_arm as usize).checked_add(node.n_arms as usize).is_some_and(|end| end <= arms);
            let default = node.default_arm == NONE || (node.default_arm as usize) < arms;
            let width = [1, 2, 4, 8].contains(&node.state_width);
            let fine = match NodeKind::try_from(node.kind) {
                Ok(NodeKind::Leaf | NodeKind::Dyn) => true,
                Ok(NodeKind::Switch) => in_table && default && width,
                Ok(NodeKind::Step) => in_table && node.n_arms == 1,
                Err(()) => false,
            };
            if !fine {
                return wrong(format!("node {i} of {nodes}: {node:?}, of {arms} arms"));
            }
        }
        if let Some(arm) = self.arms.iter().find(|arm| arm.child_node != NONE && !node_exists(arm.child_node))
        {
            return wrong(format!("{arm:?} leads to none of {nodes} nodes"));
        }
        if let Some((vtable, node)) = self.vtables.iter().find(|(_, node)| !node_exists(*node)) {
            return wrong(format!("vtable {vtable} leads to node {node} of {nodes}"));
        }
        let mut offsets = HashSet::new();
        for site in &self.sites {
            if !offsets.insert(site.offset) {
                return wrong(format!("two sites at file offset {}", site.offset));
            }
            if site.root != NONE && !node_exists(site.root) {
                return wrong(format!("{} starts at node {} of {nodes}", site.name, site.root));
            }
        }
        Ok(())
    }

    /// Where the walk of a task of `site` starts: a node, and its place from the header. A wrapper at the start is skipped.
    pub(super) fn start(&self, site: &SitePlan) -> (u32, u32) {
        let step = self.nodes.get(site.root as usize).filter(|node| node.kind == NodeKind::Step as u32);
        let arm = step.and_then(|node| self.arms.get(node.first_arm as usize));
        let plain = arm.filter(|arm| arm.flags == 0 && arm.child_node != NONE);
        plain.map_or((site.root, 0), |arm| (arm.child_node, arm.child_off))
    }

    /// How many bytes from the header of a task of `site` are worth reading at once: up to the last
    /// discriminant or pointer that lies in the task itself, at most [`BLOCK`].
    pub(super) fn block_len(&self, site: &SitePlan) -> u32 {
        let mut end = if site.id_offset == NONE { 8 } else { site.id_offset as u64 + 8 };
        let mut seen = HashSet::new();
        let mut open = vec![(site.root, 0u64)];
        while let Some((at, place)) = open.pop() {
            // A place beyond the block adds nothing, nor does what lies deeper still.
            let Some(node) = self.nodes.get(at as usize).filter(|_| place < BLOCK as u64) else { continue };
            if !seen.insert((at, place)) {
                continue;
            }
            let read = match NodeKind::try_from(node.kind) {
                Ok(NodeKind::Switch) => node.state_width as u64,
                Ok(NodeKind::Dyn) => 16,
                Ok(NodeKind::Step) => 0,
                Ok(NodeKind::Leaf) | Err(()) => continue,
            };
            if read > 0 {
                end = end.max(place + node.state_off as u64 + read);
            }
            for arm in self.arms_of(node) {
                let child = place + arm.child_off as u64;
                if arm.flags & ARM_DEREF != 0 {
                    end = end.max(child + 8);
                } else if arm.child_node != NONE {
                    open.push((arm.child_node, child));
                }
            }
        }
        // Rounded up to a word: a read of the block's last byte reads the word it stands in.
        end.next_multiple_of(8).min(BLOCK as u64) as u32
    }

    fn arms_of(&self, node: &WalkNode) -> impl Iterator<Item = &WalkArm> {
        let own = match NodeKind::try_from(node.kind) {
            Ok(NodeKind::Switch | NodeKind::Step) => {
                node.first_arm..node.first_arm.saturating_add(node.n_arms)
            }
            _ => 0..0,
        };
        let default = (node.default_arm != NONE).then_some(node.default_arm);
        own.chain(default).filter_map(|i| self.arms.get(i as usize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> TracePlan {
        let switch = |first_arm, state_off| WalkNode {
            first_arm,
            state_off,
            n_arms: 2,
            default_arm: NONE,
            kind: NodeKind::Switch as u32,
            state_width: 4,
            base: 0,
        };
        let end = WalkArm { child_node: NONE, child_off: 0, flags: 0 };
        TracePlan {
            sites: vec![SitePlan {
                offset: FileOffset(16),
                address: Avma(16),
                name: "a".into(),
                root: 0,
                id_offset: 0x28,
            }],
            nodes: vec![switch(0, 0x30), switch(2, 1)],
            arms: vec![WalkArm { child_node: 1, child_off: 0x38, flags: 0 }, end, end, end],
            arm_frames: vec![None; 4],
            arm_ends: vec![None; 4],
            vtables: vec![(Avma(0x1000), 1)],
            causes: CausePlan::default(),
            long_after: None,
            pool_sites: Default::default(),
        }
    }

    #[test]
    fn contradictions_are_refused() {
        plan().check().expect("this one has none");
        let wrong: [fn(&mut TracePlan); 11] = [
            |plan| plan.sites[0].root = 2,
            |plan| plan.sites.push(plan.sites[0].clone()),
            |plan| plan.nodes[0].first_arm = 3,
            |plan| plan.nodes[0].n_arms = u32::MAX,
            |plan| plan.nodes[0].default_arm = 4,
            |plan| plan.nodes[0].state_width = 3,
            |plan| plan.nodes[0].kind = 9,
            |plan| plan.nodes[0].kind = NodeKind::Step as u32,
            |plan| plan.arms[0].child_node = 2,
            |plan| plan.vtables[0].1 = 2,
            |plan| plan.arm_ends.clear(),
        ];
        for (i, spoil) in wrong.iter().enumerate() {
            let mut plan = plan();
            spoil(&mut plan);
            assert!(matches!(plan.check(), Err(TraceError::Plan(_))), "spoilt in way {i}");
        }
    }

    #[test]
    fn a_wrapper_at_the_start_is_skipped() {
        let mut plan = plan();
        assert_eq!(plan.start(&plan.sites[0]), (0, 0));
        plan.nodes[0] = WalkNode { kind: NodeKind::Step as u32, n_arms: 1, ..plan.nodes[0] };
        assert_eq!(plan.start(&plan.sites[0]), (1, 0x38));
        plan.arms[0].flags = ARM_DEREF;
        assert_eq!(plan.start(&plan.sites[0]), (0, 0), "a pointer is to be followed");
        plan.sites[0].root = NONE;
        assert_eq!(plan.start(&plan.sites[0]), (NONE, 0));
    }

    #[test]
    fn a_block_ends_behind_the_last_thing_in_it() {
        let mut plan = plan();
        // The second switch stands at 0x38 + 1, four bytes wide.
        assert_eq!(plan.block_len(&plan.sites[0]), 0x40);
        plan.arms[0].flags = ARM_DEREF;
        assert_eq!(plan.block_len(&plan.sites[0]), 0x40, "the pointer, not what it points to");
        plan.arms[0].child_off = 5000;
        assert_eq!(plan.block_len(&plan.sites[0]), BLOCK as u32);
        plan.arms[0] = WalkArm { child_node: 0, child_off: 8, flags: 0 };
        assert_eq!(plan.block_len(&plan.sites[0]), BLOCK as u32, "a cycle ends");
        plan.sites[0].root = NONE;
        assert_eq!(plan.block_len(&plan.sites[0]), 0x30, "the id alone");
    }
}
