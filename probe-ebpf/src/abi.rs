//! Types that cross between the BPF programs and user space. Every one is `repr(C)` without implicit padding.
//!
//! [`ABI_HASH`] is taken from the text of this file: any change to it, and user space refuses an object
//! that was built before.

#[cfg(feature = "user")]
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Recorded arms of one path: the levels of nested coroutines and enums that a walk can tell apart.
pub const MAX_ARMS: usize = 16;
/// Nodes that a walk visits, wrappers included, before it gives up.
pub const MAX_STEPS: u32 = 32;
/// Polls within polls on one thread (a `LocalSet` or `block_in_place` inside a task polls tasks itself).
pub const MAX_NESTING: usize = 8;
/// Bytes of a task that are read at once. Deeper places cost a read each.
pub const BLOCK: usize = 512;
/// No such node, arm or offset.
pub const NONE: u32 = u32::MAX;

/// FNV-1a of this file's text.
pub const ABI_HASH: u64 = fnv1a(include_bytes!("abi.rs"));

/// Who is traced; the only entry of the map `CONFIG`.
///
/// The numbers are those of the *target's own* PID namespace: `bpf_get_ns_current_pid_tgid` answers only for
/// the innermost namespace of the current task (`ns_match` in kernel/bpf/helpers.c).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Config {
    /// Device of the namespace's file, in the kernel's own encoding (`major << 20 | minor`).
    pub ns_dev: u64,
    pub ns_ino: u64,
    /// The target's PID there.
    pub tgid: u32,
    pub reserved: u32,
}

/// A probed poll function; the cookie of a probe is the index of its site.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Site {
    /// Node where the walk starts, placed at the task's header; [`NONE`]: no path is taken.
    pub root: u32,
    /// Offset of the runtime's task id (u64) from the header; [`NONE`]: the id is reported as 0.
    pub id_offset: u32,
    /// Bytes from the header that are worth one read, at most [`BLOCK`], never past the task.
    pub block_len: u32,
    pub reserved: u32,
}

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
    /// [`ARM_DEREF`] or 0.
    pub flags: u32,
}

/// The child stands where the pointer at `child_off` points to, not at `child_off` itself.
pub const ARM_DEREF: u32 = 1;

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

/// The arms that a walk recorded, outermost first. Unused places are 0, so that equal paths are equal bytes.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Path {
    pub len: u32,
    /// `PATH_…`
    pub flags: u32,
    pub arms: [u32; MAX_ARMS],
}

/// One poll, or only its start; in the ring buffer, `to_len + from_len` arm indices (u32) follow it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct PollEvent {
    /// The runtime's task id; 0 when it could not be read.
    pub task: u64,
    /// Address of the task's header.
    pub header: u64,
    /// CLOCK_MONOTONIC, ns.
    pub start_ns: u64,
    /// 0 with [`EVENT_START_ONLY`].
    pub end_ns: u64,
    /// First word of the header (the runtime's state bits) when the poll began.
    pub state_at_start: u64,
    /// The same when it ended; only without [`EVENT_GONE`].
    pub state_at_end: u64,
    pub site: u32,
    /// Thread, as its own PID namespace numbers it.
    pub tid: u32,
    /// `EVENT_…`
    pub flags: u16,
    pub to_len: u8,
    pub from_len: u8,
    /// `PATH_…`
    pub to_flags: u16,
    pub from_flags: u16,
}

/// Entry probes only: `from` is absent, `to` is the path when the poll began.
pub const EVENT_START_ONLY: u16 = 1;
/// The path at the end differs: `from` is the one at the start. Without this bit `from` is absent, equal to `to`.
pub const EVENT_MOVED: u16 = 2;
/// At the end there was no such task at this address any more: it ended, and `to` is absent.
pub const EVENT_GONE: u16 = 4;
/// Polled from within another task's poll on the same thread.
pub const EVENT_NESTED: u16 = 8;
/// The task's id or state word could not be read when the poll began.
pub const EVENT_UNREADABLE: u16 = 16;

/// Largest record in the ring buffer.
pub const MAX_EVENT: usize = size_of::<PollEvent>() + 2 * MAX_ARMS * size_of::<u32>();

/// A poll that has begun.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Frame {
    /// Stack pointer at the function's entry: tells this frame from those above and below, and from a
    /// frame whose return was never seen.
    pub sp: u64,
    pub start_ns: u64,
    pub header: u64,
    pub task: u64,
    pub state: u64,
    pub site: u32,
    /// `EVENT_…`
    pub flags: u32,
    pub path: Path,
}

/// Value of the map `THREADS`; the key is the thread's id.
///
/// Also the programs' scratch memory. A per-cpu map would not do: these programs may be preempted by one
/// another (they run under `migrate_disable` and an RCU read lock only; kernel/trace/bpf_trace.c,
/// `uprobe_prog_run`), but a thread is in one program at a time.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Thread {
    /// How many of `frames` are under way.
    pub depth: u32,
    /// Bytes of `block` that were read, from `block_at` on.
    pub block_len: u32,
    pub block_at: u64,
    pub frames: [Frame; MAX_NESTING],
    /// The record being written, with the arms that follow it.
    pub event: PollEvent,
    pub event_arms: [u32; 2 * MAX_ARMS],
    /// What is being looked at, and what for: one of the programs' phases.
    pub header: u64,
    pub site: u32,
    pub phase: u32,
    /// What was found there: id and state word, and whether both could be read.
    pub task: u64,
    pub state: u64,
    pub readable: u32,
    pub reserved: u32,
    pub path: Path,
    /// Eight more than are ever filled, so that a read of a word needs one bounds check.
    pub block: [u8; BLOCK + 8],
}

/// What the programs count, each in a per-cpu u64 of the map `COUNTERS`.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// Poll starts in the target.
    Entries = 0,
    /// Poll ends in the target.
    Returns = 1,
    /// Hits in another process that runs the same file.
    Foreign = 2,
    /// Events that the ring buffer had no room for.
    Lost = 3,
    /// Events with a path or an id that could not be read.
    Unreadable = 4,
    /// Polls not followed because too many threads or too deep a nesting was under way.
    NoRoom = 5,
    /// Polls whose return was never seen.
    Stale = 6,
    /// Returns of polls whose start was not seen.
    Unmatched = 7,
}

pub const COUNTERS: u32 = 8;

pub(crate) const fn fnv1a(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325;
    let mut i = 0;
    while i < bytes.len() {
        hash = (hash ^ bytes[i] as u64).wrapping_mul(0x0100_0000_01b3);
        i += 1;
    }
    hash
}
