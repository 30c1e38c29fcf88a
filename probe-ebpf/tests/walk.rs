//! The state walk over bytes: what each node means, and that nothing it is given makes it run wild.

use async_inspect_ebpf::{
    ARM_DEREF, MAX_ARMS, MAX_STEPS, NONE, NodeKind, PATH_BAD_TABLE, PATH_TRUNCATED, PATH_UNKNOWN_DYN,
    PATH_UNKNOWN_STATE, PATH_UNREADABLE, Walk, WalkArm, WalkNode, walk,
};
use proptest::prelude::*;
use std::collections::HashMap;

/// Where the bytes stand.
const BASE: u64 = 0x7000_0000;

#[derive(Debug, Default)]
struct Bytes {
    nodes: Vec<WalkNode>,
    arms: Vec<WalkArm>,
    vtables: HashMap<u64, u32>,
    memory: Vec<u8>,
    path: Vec<u32>,
    ended: bool,
    reads: u32,
    lookups: u32,
}

impl Walk for Bytes {
    fn node(&mut self, index: u32) -> Option<WalkNode> {
        self.lookups += 1;
        self.nodes.get(index as usize).copied()
    }

    fn arm(&mut self, index: u32) -> Option<WalkArm> {
        self.arms.get(index as usize).copied()
    }

    fn vtable(&mut self, address: u64) -> Option<u32> {
        self.vtables.get(&address).copied()
    }

    fn read(&mut self, at: u64, width: u32) -> Option<u64> {
        self.reads += 1;
        let start = usize::try_from(at.checked_sub(BASE)?).ok()?;
        let bytes = self.memory.get(start..start.checked_add(width.clamp(1, 8) as usize)?)?;
        // What lies behind the width may be anything.
        let mut word = [0xaa; 8];
        word[..bytes.len()].copy_from_slice(bytes);
        Some(u64::from_le_bytes(word))
    }

    fn record(&mut self, arm: u32) -> bool {
        let room = self.path.len() < MAX_ARMS;
        if room {
            self.path.push(arm);
        }
        room
    }

    fn ended(&mut self) {
        self.ended = true;
    }
}

impl Bytes {
    fn walk(&mut self) -> (Vec<u32>, u32) {
        self.path.clear();
        let why = walk(self, 0, BASE);
        (self.path.clone(), why)
    }
}

fn switch(state_off: u32, state_width: u32, base: u64, first_arm: u32, n_arms: u32) -> WalkNode {
    WalkNode {
        base,
        state_off,
        first_arm,
        n_arms,
        default_arm: NONE,
        kind: NodeKind::Switch as u32,
        state_width,
    }
}

fn node(kind: NodeKind, state_off: u32, first_arm: u32) -> WalkNode {
    WalkNode {
        state_off,
        first_arm,
        n_arms: 1,
        default_arm: NONE,
        kind: kind as u32,
        state_width: 8,
        base: 0,
    }
}

fn arm(child_node: u32, child_off: u32) -> WalkArm {
    WalkArm { child_node, child_off, flags: 0 }
}

const END: WalkArm = WalkArm { child_node: NONE, child_off: 0, flags: 0 };

#[test]
fn a_switch_records_the_arm_of_its_discriminant() {
    for (width, value) in [(1, 5u64), (2, 0x1234), (4, 0x1234_5678), (8, 0x1234_5678_9abc_def0)] {
        let mut over = Bytes {
            nodes: vec![switch(3, width, value - 1, 7, 2)],
            arms: vec![END; 9],
            memory: vec![0; 16],
            ..Bytes::default()
        };
        over.memory[3..11].copy_from_slice(&value.to_le_bytes());
        // Behind the discriminant stands something else.
        over.memory[3 + width as usize..].fill(0x55);
        assert_eq!(over.walk(), (vec![8], 0), "width {width}");
        over.memory[3] -= 1;
        assert_eq!(over.walk(), (vec![7], 0), "width {width}");
        over.memory[3] -= 1;
        assert_eq!(over.walk(), (vec![], PATH_UNKNOWN_STATE), "width {width}: below the first");
        over.memory[3] += 3;
        assert_eq!(over.walk(), (vec![], PATH_UNKNOWN_STATE), "width {width}: above the last");
        over.nodes[0].default_arm = 0;
        assert_eq!(over.walk(), (vec![0], 0), "width {width}: a niche");
    }
}

#[test]
fn a_base_may_wrap_within_the_width() {
    // rustc's niche of an i8-like tag: variants at 0xfe, 0xff, 0x00.
    let mut over = Bytes {
        nodes: vec![switch(0, 1, 0xfe, 0, 3)],
        arms: vec![END; 3],
        memory: vec![0; 8],
        ..Bytes::default()
    };
    for (value, arm) in [(0xfe, 0), (0xff, 1), (0x00, 2)] {
        over.memory[0] = value;
        assert_eq!(over.walk(), (vec![arm], 0));
    }
}

#[test]
fn wrappers_boxes_and_dyns_lead_on() {
    let pointee = BASE + 64;
    let mut over = Bytes {
        nodes: vec![
            switch(0, 1, 3, 0, 2),
            node(NodeKind::Step, 0, 2),
            switch(0, 1, 0, 3, 1),
            node(NodeKind::Dyn, 0, 0),
            node(NodeKind::Leaf, 0, 0),
        ],
        arms: vec![
            arm(1, 8),
            arm(3, 16),
            WalkArm { child_node: 2, child_off: 0, flags: ARM_DEREF },
            // A child that is a leaf, not an arm that ends.
            arm(4, 0),
        ],
        memory: vec![0; 128],
        ..Bytes::default()
    };
    over.memory[0] = 3;
    over.memory[8..16].copy_from_slice(&pointee.to_le_bytes());
    assert_eq!(over.walk(), (vec![0, 3], 0), "through a wrapper and a pointer");

    over.memory[0] = 4;
    over.memory[16..24].copy_from_slice(&pointee.to_le_bytes());
    over.memory[24..32].copy_from_slice(&0x5555u64.to_le_bytes());
    assert_eq!(over.walk(), (vec![1], PATH_UNKNOWN_DYN));
    over.vtables.insert(0x5555, 2);
    assert_eq!(over.walk(), (vec![1, 3], 0), "through a dyn");

    over.memory[16..24].copy_from_slice(&1u64.to_le_bytes());
    assert_eq!(over.walk(), (vec![1], PATH_UNREADABLE), "a pointer to nowhere");
}

#[test]
fn cycles_end() {
    let over = |nodes, arms| Bytes { nodes, arms, memory: vec![0; 8], ..Bytes::default() };
    let mut recorded = over(vec![switch(0, 1, 0, 0, 1)], vec![arm(0, 0)]);
    assert_eq!(recorded.walk(), (vec![0; MAX_ARMS], PATH_TRUNCATED));
    let mut silent = over(vec![node(NodeKind::Step, 0, 0)], vec![arm(0, 0)]);
    assert_eq!(silent.walk(), (vec![], PATH_TRUNCATED));
    assert_eq!(silent.lookups, MAX_STEPS);
}

#[test]
fn a_wrong_table_is_said_to_be_one() {
    let mut over = Bytes { memory: vec![0; 8], ..Bytes::default() };
    assert_eq!(over.walk(), (vec![], PATH_BAD_TABLE));
    over.nodes = vec![node(NodeKind::Step, 0, 5)];
    assert_eq!(over.walk(), (vec![], PATH_BAD_TABLE));
}

fn any_node() -> impl Strategy<Value = WalkNode> {
    let small = || prop_oneof![4 => 0..40u32, 1 => any::<u32>()];
    let width = prop_oneof![8 => prop::sample::select(vec![1, 2, 4, 8]), 1 => any::<u32>()];
    let base = prop_oneof![4 => 0..4u64, 1 => any::<u64>()];
    let kind = prop_oneof![8 => 0..4u32, 1 => any::<u32>()];
    (base, small(), small(), small(), small(), kind, width).prop_map(
        |(base, state_off, first_arm, n_arms, default_arm, kind, state_width)| WalkNode {
            base,
            state_off,
            first_arm,
            n_arms,
            default_arm,
            kind,
            state_width,
        },
    )
}

fn any_arm() -> impl Strategy<Value = WalkArm> {
    let child = prop_oneof![6 => 0..12u32, 1 => Just(NONE), 1 => any::<u32>()];
    (child, prop_oneof![0..64u32, any::<u32>()], any::<u32>())
        .prop_map(|(child_node, child_off, flags)| WalkArm { child_node, child_off, flags })
}

/// Words that often point into the memory itself.
fn any_memory() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![0..8u64, BASE..BASE + 256, any::<u64>()];
    prop::collection::vec(word, 0..32)
        .prop_map(|words| words.into_iter().flat_map(u64::to_le_bytes).collect())
}

proptest! {
    #[test]
    fn whatever_it_is_given_it_ends_within_its_bounds(
        nodes in prop::collection::vec(any_node(), 0..12),
        arms in prop::collection::vec(any_arm(), 0..40),
        vtables in prop::collection::hash_map(0..8u64, 0..14u32, 0..6),
        memory in any_memory(),
    ) {
        let mut over = Bytes { nodes, arms, vtables, memory, ..Bytes::default() };
        let (path, why) = over.walk();
        prop_assert!(path.len() <= MAX_ARMS);
        prop_assert!(over.lookups <= MAX_STEPS);
        // A dyn reads two words; a switch its discriminant and its child's pointer.
        prop_assert!(over.reads <= 2 * MAX_STEPS);
        prop_assert!(why == 0 || why.is_power_of_two() && why <= PATH_BAD_TABLE, "{why:#x}");
        // All but the last arm of a path were found in the table.
        for arm in path.iter().take(path.len().saturating_sub(1)) {
            prop_assert!((*arm as usize) < over.arms.len());
        }
        prop_assert_eq!(over.walk(), (path, why), "the same again");
    }
}
