//! The tables that a walk follows, and the path that it finds. They cross between the programs and user space as `abi.rs` says.

#[cfg(feature = "user")]
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Recorded arms of one path: the levels of nested coroutines and enums that a walk can tell apart.
pub const MAX_ARMS: usize = 16;
/// Nodes that a walk visits, wrappers included, before it gives up.
pub const MAX_STEPS: u32 = 32;
/// A place in the walk that says what stands there; see [`NodeKind`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct WalkNode {
    /// Discriminant of the first arm.
    pub base: u64,
    /// From the node's place: the discriminant of a switch, the fat pointer of a dyn.
    pub state_off: u32,
    /// Index of the node's first arm in the table of all arms.
    pub first_arm: u32,
    pub n_arms: u32,
    /// Index of the arm for every other discriminant (a niche's dataful variant), or [`NONE`].
    pub default_arm: u32,
    /// A [`NodeKind`].
    pub kind: u32,
    /// Bytes of the discriminant: 1, 2, 4 or 8.
    pub state_width: u32,
}

/// What [`WalkNode::kind`] says.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// The path ends here.
    Leaf = 0,
    /// A coroutine or an enum: its discriminant picks an arm, which is recorded.
    Switch = 1,
    /// A transparent wrapper: its first arm is taken, nothing is recorded.
    Step = 2,
    /// A fat pointer (data, vtable) at `state_off`: the vtable's address names the node, at data.
    Dyn = 3,
}

impl TryFrom<u32> for NodeKind {
    type Error = ();

    fn try_from(kind: u32) -> Result<Self, ()> {
        [NodeKind::Leaf, NodeKind::Switch, NodeKind::Step, NodeKind::Dyn]
            .into_iter()
            .find(|known| *known as u32 == kind)
            .ok_or(())
    }
}

/// Where the walk goes on.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct WalkArm {
    /// [`NONE`]: the path ends with this arm.
    pub child_node: u32,
    /// From the node's place.
    pub child_off: u32,
    /// `ARM_…`
    pub flags: u32,
}

/// The child stands where the pointer at `child_off` points to, not at `child_off` itself.
pub const ARM_DEREF: u32 = 1;
/// Whatever leads here: the task has ended (tokio's `Stage::Finished` and `Stage::Consumed`).
pub const ARM_ENDS: u32 = 2;

/// The walk met an address that could not be read: the path ends too early.
pub const PATH_UNREADABLE: u32 = 1;
/// More levels than [`MAX_ARMS`] or [`MAX_STEPS`]: the path ends too early.
pub const PATH_TRUNCATED: u32 = 2;
/// A `dyn Future` whose vtable is not in the table: what it awaits is not known.
pub const PATH_UNKNOWN_DYN: u32 = 4;
/// A discriminant that no arm has: torn, moved or freed memory, or a wrong table.
pub const PATH_UNKNOWN_STATE: u32 = 8;
/// The table itself is wrong: an index out of bounds. A bug of ours.
pub const PATH_BAD_TABLE: u32 = 16;
/// Not an error: the path met an arm with [`ARM_ENDS`].
pub const PATH_ENDED: u32 = 32;
/// With any of these a path says nothing of where the task stands.
pub const PATH_BROKEN: u32 = PATH_UNREADABLE | PATH_UNKNOWN_STATE | PATH_BAD_TABLE;

/// The arms that a walk recorded, outermost first.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Path {
    /// Of the arms; see [`path_hash`].
    pub hash: u64,
    pub len: u32,
    /// `PATH_…`
    pub flags: u32,
    /// Only the first `len` count.
    pub arms: [u32; MAX_ARMS],
}

/// The hash of a path that goes on with `arm`; that of the empty path is 0. Paths are compared by it, in the kernel
/// and here: among 2^16 different ones two are taken for the same with a chance of 2^-33.
#[inline(always)]
pub fn path_hash(so_far: u64, arm: u32) -> u64 {
    let mixed = (so_far ^ (arm as u64 + 1)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 29)
}
