//! The state walk: from a task's header down through discriminants, wrappers and pointers, along tables that
//! user space compiled from DWARF.
//!
//! Nothing here is trusted. A table index is looked up with a bounds check, an address is only ever handed to
//! [`Walk::read`], and there are at most [`MAX_STEPS`] steps, so that cycles in tables or in memory end.

use crate::abi::NONE;
use crate::walk_table::*;

/// Tables, memory, and where the path goes: as the BPF programs or a test has them.
pub trait Walk {
    fn node(&mut self, index: u32) -> Option<WalkNode>;
    fn arm(&mut self, index: u32) -> Option<WalkArm>;
    /// The node of the type whose vtable stands at this address.
    fn vtable(&mut self, address: u64) -> Option<u32>;
    /// The little-endian word at an address of the target. Only its first `width` bytes (1, 2, 4 or 8) must be
    /// readable; what stands in the others does not matter.
    fn read(&mut self, at: u64, width: u32) -> Option<u64>;
    /// Records an arm; false when there is no room for it.
    fn record(&mut self, arm: u32) -> bool;
    /// An arm with [`ARM_ENDS`] was taken.
    fn ended(&mut self);
}

/// Takes the path of the task whose header is at `place`. Answers why it ended too early, if it did:
/// `PATH_…` bits.
#[inline(always)]
pub fn walk(over: &mut impl Walk, root: u32, place: u64) -> u32 {
    walk_at_most::<MAX_STEPS>(over, root, place)
}

/// The same in fewer steps: the verifier goes through each.
#[inline(always)]
pub fn walk_at_most<const STEPS: u32>(over: &mut impl Walk, root: u32, place: u64) -> u32 {
    let mut at = root;
    let mut place = place;
    for _ in 0..STEPS {
        match step(over, at, place) {
            Next::Go { node, to } => {
                at = node;
                place = to;
            }
            Next::End(why) => return why,
        }
    }
    PATH_TRUNCATED
}

enum Next {
    Go { node: u32, to: u64 },
    End(u32),
}

#[inline(always)]
fn step(over: &mut impl Walk, at: u32, place: u64) -> Next {
    let Some(node) = over.node(at) else { return Next::End(PATH_BAD_TABLE) };
    let arm = if node.kind == NodeKind::Switch as u32 {
        let Some(word) = over.read(place.wrapping_add(node.state_off as u64), node.state_width) else {
            return Next::End(PATH_UNREADABLE);
        };
        let Some(arm) = chosen(&node, word) else { return Next::End(PATH_UNKNOWN_STATE) };
        if !over.record(arm) {
            return Next::End(PATH_TRUNCATED);
        }
        arm
    } else if node.kind == NodeKind::Step as u32 {
        node.first_arm
    } else if node.kind == NodeKind::Dyn as u32 {
        return follow_dyn(over, place.wrapping_add(node.state_off as u64));
    } else {
        return Next::End(0);
    };
    let Some(arm) = over.arm(arm) else { return Next::End(PATH_BAD_TABLE) };
    if arm.flags & ARM_ENDS != 0 {
        over.ended();
    }
    if arm.child_node == NONE {
        return Next::End(0);
    }
    let to = place.wrapping_add(arm.child_off as u64);
    if arm.flags & ARM_DEREF == 0 {
        return Next::Go { node: arm.child_node, to };
    }
    match over.read(to, 8) {
        Some(to) => Next::Go { node: arm.child_node, to },
        None => Next::End(PATH_UNREADABLE),
    }
}

/// The arm of a discriminant, of which `word` holds at least `state_width` bytes.
///
/// Without a branch on the width: the verifier would follow each through the rest of the walk.
#[inline(always)]
fn chosen(node: &WalkNode, word: u64) -> Option<u32> {
    let unused_bits = 64u32.wrapping_sub(node.state_width.wrapping_mul(8)) & 63;
    let mask = u64::MAX >> unused_bits;
    let nth = (word & mask).wrapping_sub(node.base) & mask;
    if nth < node.n_arms as u64 {
        Some(node.first_arm.wrapping_add(nth as u32))
    } else if node.default_arm != NONE {
        Some(node.default_arm)
    } else {
        None
    }
}

#[inline(always)]
fn follow_dyn(over: &mut impl Walk, at: u64) -> Next {
    let (Some(data), Some(vtable)) = (over.read(at, 8), over.read(at.wrapping_add(8), 8)) else {
        return Next::End(PATH_UNREADABLE);
    };
    match over.vtable(vtable) {
        Some(node) => Next::Go { node, to: data },
        None => Next::End(PATH_UNKNOWN_DYN),
    }
}
