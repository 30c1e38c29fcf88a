use super::*;
use crate::target::FileOffset;
use crate::trace::{CausePlan, NodeKind, SitePlan};
use std::collections::BTreeMap;

const HEADER: u64 = 0x1000;
const VTABLE: u64 = 0x2000;
const POLL: u64 = 0x5000;
const ID: u32 = 0x20;
const STATE: u64 = 0x30;

/// Words at addresses; between them nothing can be read.
struct Made(BTreeMap<u64, u64>);

impl Words for Made {
    fn read(&mut self, at: &[u64], words: &mut Vec<Option<u64>>) -> io::Result<()> {
        words.clear();
        words.extend(at.iter().map(|at| self.0.get(at).copied()));
        Ok(())
    }

    fn block(&mut self, at: u64, bytes: &mut [u8]) -> io::Result<usize> {
        let mut len = 0;
        for (i, chunk) in bytes.chunks_mut(8).enumerate() {
            let Some(word) = self.0.get(&(at + 8 * i as u64)) else { break };
            chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
            len += chunk.len();
        }
        Ok(len)
    }
}

/// A coroutine in the task's header block, whose state 3 awaits another behind a pointer, far from it.
fn plan() -> TracePlan {
    let arm = |child_node, child_off, flags| WalkArm { child_node, child_off, flags };
    let switch = |state_off, first_arm, n_arms| WalkNode {
        base: 0,
        state_off,
        first_arm,
        n_arms,
        default_arm: NONE,
        kind: NodeKind::Switch as u32,
        state_width: 1,
    };
    let leads = arm(1, STATE as u32 + 8, crate::trace::ARM_DEREF);
    let leaf = arm(NONE, 0, 0);
    let site = SitePlan {
        offset: FileOffset(0),
        address: Avma(POLL),
        name: "shop::serve".into(),
        root: 0,
        id_offset: ID,
    };
    TracePlan {
        causes: CausePlan::default(),
        sites: vec![site],
        nodes: vec![switch(STATE as u32, 0, 4), switch(0, 4, 4)],
        arms: vec![leaf, leaf, leaf, leads, leaf, leaf, leaf, leaf],
        arm_frames: (0..8).map(|i| Some(FrameId(i))).collect(),
        arm_ends: vec![None; 8],
        vtables: vec![],
        long_after: None,
        pool_sites: Default::default(),
    }
}

fn memory() -> Made {
    const INNER: u64 = 0x9000;
    let task =
        [(0, 0x41), (8, 0), (0x10, VTABLE), (0x18, 5), (0x20, 77), (0x28, 0), (STATE, 3), (STATE + 8, INNER)];
    let words = task.map(|(offset, word)| (HEADER + offset, word));
    Made(words.into_iter().chain([(VTABLE, POLL), (INNER, 3)]).collect())
}

fn path(memory: &mut Made, id: u64) -> Option<Vec<u32>> {
    let path = Tables::new(plan(), 0).path(memory, Avma(HEADER), id).expect("made-up memory");
    path.map(|path| path.iter().map(|frame| frame.0).collect())
}

#[test]
fn a_running_tasks_states_are_followed() {
    assert_eq!(path(&mut memory(), 77), Some(vec![3, 7]));
}

#[test]
fn overwritten_states_end_the_path_above_them() {
    let mut memory = memory();
    memory.0.insert(0x9000, 0xd5);
    assert_eq!(path(&mut memory, 77), Some(vec![3]));
    memory.0.remove(&0x9000);
    assert_eq!(path(&mut memory, 77), Some(vec![3]));
}

#[test]
fn another_task_or_one_at_rest_has_no_path() {
    assert_eq!(path(&mut memory(), 78), None, "another task lies there by now");
    for (at, word) in [(HEADER, 0x40), (HEADER + 0x10, 0x2008), (VTABLE, 0x5001)] {
        let mut memory = memory();
        memory.0.insert(at, word);
        assert_eq!(path(&mut memory, 77), None, "{at:#x} is {word:#x}");
    }
    let mut freed = memory();
    freed.0.retain(|at, _| *at < HEADER || *at >= VTABLE);
    assert_eq!(path(&mut freed, 77), None);
}

#[test]
fn what_was_seen_once_is_remembered() {
    let (mut tables, mut memory) = (Tables::new(plan(), 0), memory());
    let mut look = || tables.path(&mut memory, Avma(HEADER), 77).expect("made-up memory").expect("it runs");
    let (first, second) = (look(), look());
    assert!(std::sync::Arc::ptr_eq(&first, &second));
    assert_eq!((tables.vtables.len(), tables.paths.len()), (1, 1));
}
