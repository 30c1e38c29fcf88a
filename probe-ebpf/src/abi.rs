//! Types that cross between the BPF programs and user space. Every one is `repr(C)` without implicit padding.
//!
//! [`ABI_HASH`] is taken from the text of this file: any change to it, and user space refuses an object
//! that was built before.

use crate::fnv1a;
use crate::walk_table::{MAX_ARMS, Path};
#[cfg(feature = "user")]
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Polls within polls on one thread (a `LocalSet` or `block_in_place` inside a task polls tasks itself).
pub const MAX_NESTING: usize = 8;
/// Bytes of a task that are read at once. Deeper places cost a read each.
pub const BLOCK: usize = 512;
/// No such node, arm or offset.
pub const NONE: u32 = u32::MAX;

/// FNV-1a of this file's text, and of the others that both sides must agree on: tables of the walk, classes of times, slots, samples.
pub const ABI_HASH: u64 = fnv1a(include_bytes!("abi.rs"))
    ^ fnv1a(include_bytes!("walk_table.rs")).rotate_left(1)
    ^ fnv1a(include_bytes!("histogram.rs")).rotate_left(2)
    ^ fnv1a(include_bytes!("slots.rs")).rotate_left(3)
    ^ fnv1a(include_bytes!("samples.rs")).rotate_left(4);

/// Classes of times that a histogram tells apart; see `histogram.rs`.
pub const CLASSES: usize = 126;
/// Room for them, a power of two: so that a mask keeps an index within.
pub const SLOTS: usize = 128;

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
    /// Grows each time the probes are put in anew: what an account says from before then may be outdated.
    pub epoch: u32,
    /// Offset of the pointer to its vtable in a task's header.
    pub vtable_off: u32,
    /// Offset in the vtable of the poll function, by which [`Site`]s are known.
    pub poll_slot: u32,
    /// The bit of a task's state word that says that it is to be polled (again), and that this poll has not begun; 0 where nothing is
    /// to be said of how long tasks wait for their polls.
    pub notified: u64,
    /// The bits of it that say that the task is being polled, or has ended.
    pub busy_or_over: u64,
    /// Offset in the kernel's `task_struct` of a thread's id, with that of its process right behind it; [`NONE`]: time off
    /// CPU is not watched.
    pub kernel_ids: u32,
    /// A poll that took longer, in µs, is told at once; 0: none is.
    pub long_us: u32,
}

/// What the programs know of the target as a whole; the only entry of the map `TARGET`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Target {
    /// How the kernel itself, in no namespace, numbers it; 0 until one of its threads was hit.
    pub tgid: u32,
    pub reserved: u32,
    /// Threads that are off CPU within a poll, or were when they ended: these user space takes off.
    pub off_cpu: u64,
}

/// A probed poll function; the cookie of a probe is the index of its site.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Site {
    /// Node where the walk starts; [`NONE`]: no path is taken.
    pub root: u32,
    /// Offset of the runtime's task id (u64) from the header; [`NONE`]: the id is reported as 0.
    pub id_offset: u32,
    /// Bytes from the header that are worth one read, at most [`BLOCK`], never past the task.
    pub block_len: u32,
    /// Where the node `root` is placed, from the header.
    pub root_off: u32,
    /// The function's first instruction in the target's memory: there it is the entry that was hit, elsewhere the return.
    pub address: u64,
}

/// A task's account; value of the table `TASKS`, by the address of the task's header.
///
/// A task is polled by one thread at a time, but a return probe runs after the poll has let go of the task: by then
/// another thread may poll it. So a poll's start notes its number in `begun`, and its end believes what it has read of
/// the task only if that number is still its own. Where the end of a poll does not settle where the task stands, the
/// next start looks for itself.
///
/// A program may be preempted between that question and what it then writes. So what it writes says for which poll it
/// holds (`settled`, `ended`), and later polls do not believe it.
///
/// Accounts are made and written over, never removed, by the programs: another thread may still hold a pointer to one.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Account {
    /// The runtime's task id.
    pub task: u64,
    /// Hash of the path where it stood last, for certain.
    pub path: u64,
    /// Polls that ended, of all tasks that ever stood at this address.
    pub polls: u64,
    /// CLOCK_MONOTONIC ns within those polls.
    pub busy_ns: u64,
    /// The state word when `path` was read.
    pub state: u64,
    /// [`settled`] of `path` and the poll after which it was read.
    pub settled: u64,
    /// When the last poll ended; CLOCK_MONOTONIC, ns.
    pub last_end_ns: u64,
    /// Number of the last poll that began; never 0.
    pub begun: u32,
    /// Number of the poll that ended the task: if it is `begun`, the next poll at this address is another task's.
    pub ended: u32,
    pub site: u32,
    /// Thread of the last poll that ended.
    pub tid: u32,
    /// [`Config::epoch`] when the last poll began.
    pub epoch: u32,
    pub reserved: u32,
    /// When the task was first woken since its last poll began; CLOCK_MONOTONIC, ns; 0: not seen to be. An odd number:
    /// [`WOKEN_AFTER`].
    pub woken_ns: u64,
    /// Of `polls`, those that followed a wake that was seen. Before their sum: see `polls` and `busy_ns`.
    pub delays: u64,
    /// From the wakes to the starts of those, ns.
    pub delay_ns: u64,
    /// The longest of them of this task.
    pub delay_max_ns: u64,
    /// The longest poll of this task.
    pub busy_max_ns: u64,
    /// From the end of a poll to the wake that followed it, or where none was seen to the start of the next poll; of all polls
    /// that ended and of which that is known.
    pub idle_ns: u64,
    /// Parts of `busy_ns` in which the thread slept, and in which it waited for a CPU; see [`Thread::blocked_ns`].
    pub blocked_ns: u64,
    pub preempted_ns: u64,
    /// Of `polls` and `delays`, those of the tasks that stood here before.
    pub polls_before: u64,
    pub delays_before: u64,
}

/// In [`Account::woken_ns`]: that wake was noted when it was done, and may have been answered by then.
pub const WOKEN_AFTER: u64 = 1;

impl Account {
    /// The task has ended.
    #[inline(always)]
    pub fn is_over(&self) -> bool {
        self.ended == self.begun
    }

    /// No poll is under way, as far as it is known now that the probes are in for the `epoch`th time.
    #[inline(always)]
    pub fn at_rest(&self, epoch: u32) -> bool {
        self.is_over() || self.epoch != epoch || self.settled == settled(self.path, self.begun)
    }
}

/// Whose polls a [`Times`] is of.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct TimesKey {
    pub site: u32,
    /// Of the threads that polled, those whose number ends so: threads that poll at once do not write to the same memory.
    pub shard: u32,
    /// Hash of the path where the polls began; 0: not known, or all that found no room for an entry of their own.
    pub path: u64,
}

pub const SHARDS: u32 = 8;

/// How long polls took, and how long their tasks had been waiting for them since they were woken.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Times {
    pub of: TimesKey,
    /// Polls by the class of their duration. These numbers wrap: user space takes differences before they have come round.
    pub polls: [u32; SLOTS],
    /// Those of them that followed a wake that was seen, by the class of the time since.
    pub delays: [u32; SLOTS],
    /// CLOCK_MONOTONIC, ns, as all below.
    pub busy_ns: u64,
    pub delay_ns: u64,
    /// As in [`Account::idle_ns`].
    pub idle_ns: u64,
    /// The longest; where two polls end at once, it may be the longest but one.
    pub busy_max_ns: u64,
    pub delay_max_ns: u64,
}

/// Says in one word that poll `number` left the task at `path`: torn from its path, or of another poll, it fits nothing.
#[inline(always)]
pub fn settled(path: u64, number: u32) -> u64 {
    path ^ (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// The number of the poll after this one.
#[inline(always)]
pub fn next_number(number: u32) -> u32 {
    let next = number.wrapping_add(1);
    if next == 0 { 1 } else { next }
}

/// The end of a poll that is worth a word, or the start of one; in the ring buffer, `to_len + from_len` arm indices
/// (u32) follow it.
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
    /// First word of the header (the runtime's state bits) before the poll, as far as it is known.
    pub state_before: u64,
    /// The same after it; only without [`EVENT_GONE`] and [`EVENT_DISTURBED`].
    pub state_after: u64,
    /// [`Account::polls`], this one counted; with [`EVENT_ALONE`] 1.
    pub polls: u64,
    /// [`Account::busy_ns`], this poll included.
    pub busy_ns: u64,
    /// [`Account::delays`], [`Account::delay_ns`] and [`Account::delay_max_ns`] likewise; 0 with [`EVENT_ALONE`].
    pub delays: u64,
    pub delay_ns: u64,
    pub delay_max_ns: u64,
    /// [`Account::idle_ns`] and [`Account::busy_max_ns`] likewise.
    pub idle_ns: u64,
    pub busy_max_ns: u64,
    /// Hash of the path before the poll.
    pub from: u64,
    /// Hash of the path after it; see `state_after`.
    pub to: u64,
    pub site: u32,
    /// Thread, as its own PID namespace numbers it.
    pub tid: u32,
    /// [`Account::begun`] of this poll: later ones have larger numbers.
    pub number: u32,
    /// `EVENT_…`
    pub flags: u16,
    pub to_len: u8,
    pub from_len: u8,
    /// `PATH_…`
    pub to_flags: u32,
    pub from_flags: u32,
    /// [`Account::blocked_ns`] and [`Account::preempted_ns`], this poll included; with [`EVENT_ALONE`] of this poll.
    pub blocked_ns: u64,
    pub preempted_ns: u64,
    /// [`Account::polls_before`] and [`Account::delays_before`]; 0 with [`EVENT_ALONE`].
    pub polls_before: u64,
    pub delays_before: u64,
}

/// Entry probes only: `to` is the path when the poll began.
pub const EVENT_START_ONLY: u16 = 1;
/// The first poll that was seen of this task.
pub const EVENT_FIRST: u16 = 2;
/// At the end there was no such task at this address any more.
pub const EVENT_GONE: u16 = 4;
/// Polled from within another task's poll on the same thread.
pub const EVENT_NESTED: u16 = 8;
/// The task's id or state word could not be read when the poll began.
pub const EVENT_UNREADABLE: u16 = 16;
/// When this poll's end was seen another had begun: nothing is known of where this one left the task.
pub const EVENT_DISTURBED: u16 = 32;
/// The path before the poll was read at its start, and its arms follow.
pub const EVENT_WALKED: u16 = 64;
/// Nobody keeps an account of this task: `polls` and `busy_ns` are those of this poll.
pub const EVENT_ALONE: u16 = 128;
/// The task has ended.
pub const EVENT_ENDED: u16 = 256;
/// With [`EVENT_ENDED`]: its end was seen while its memory was its own, so that `to` and `state_after` are certain.
pub const EVENT_OVER: u16 = 512;
/// A panic began in this poll, and in none within it; somebody may have caught it.
pub const EVENT_PANICKED: u16 = 1024;
/// Of no poll: the task ended outside of one, or within one whose start was not seen.
pub const EVENT_OUTSIDE: u16 = 2048;

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
    /// State word before the poll.
    pub state: u64,
    pub site: u32,
    /// `EVENT_…`
    pub flags: u32,
    /// [`Account::begun`]
    pub number: u32,
    pub reserved: u32,
    /// [`Account::woken_ns`] when the poll began.
    pub woken_ns: u64,
    /// When the poll before it ended; 0: not known.
    pub rested_ns: u64,
    /// [`Thread::blocked_ns`] and [`Thread::preempted_ns`] when the poll began.
    pub blocked_ns: u64,
    pub preempted_ns: u64,
    /// Where the task stood; its arms only with [`EVENT_WALKED`].
    pub path: Path,
}

/// Something that is done to a task: it is woken, it is spawned, it is dropped. A record of the ring buffer `CAUSES`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Cause {
    /// CLOCK_MONOTONIC, ns.
    pub t_ns: u64,
    /// Address of the task's header.
    pub header: u64,
    /// The runtime's task id.
    pub task: u64,
    /// Id of the task whose poll does it; only with [`CAUSE_BY_TASK`].
    pub by: u64,
    /// The task's kind; [`NONE`] where its poll function is not probed.
    pub site: u32,
    /// Thread, as its own PID namespace numbers it.
    pub tid: u32,
    /// [`CAUSE_WAKE`], [`CAUSE_SPAWN`] or [`CAUSE_DROP`].
    pub kind: u32,
    /// `CAUSE_…`
    pub flags: u32,
}

/// In the cookie of a wake's or spawn's probe: the kernel steps over the instruction there, for ten times the price of others.
pub const COOKIE_DEAR: u64 = 1;
/// The same: what is done to the task may have been done when the probe is hit.
pub const COOKIE_AFTER: u64 = 2;
/// In the cookie of an end's probe: the first argument is the task's header. Else the second leads to it.
pub const COOKIE_HEADER: u64 = 4;

pub const CAUSE_WAKE: u32 = 1;
pub const CAUSE_SPAWN: u32 = 2;
/// Its future is dropped without another poll, because its runtime or `LocalSet` shuts down.
pub const CAUSE_DROP: u32 = 3;
/// A task is being polled on this thread, and does it.
pub const CAUSE_BY_TASK: u32 = 1;

/// Value of the table `THREADS`; the key is what `bpf_get_current_pid_tgid` says of the thread.
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
    /// Poll starts and ends on this thread. Not in per-cpu counters, which cost 40 ns each.
    pub entries: u64,
    pub returns: u64,
    /// Wakes, spawns, ends and panics on it, and how many of them were hits of a dear probe.
    pub causes: u64,
    pub dear: u64,
    pub frames: [Frame; MAX_NESTING],
    /// The record being written, with the arms that follow it.
    pub event: PollEvent,
    pub event_arms: [u32; 2 * MAX_ARMS],
    /// What is being looked at, and what for: one of the programs' phases.
    pub header: u64,
    pub site: u32,
    pub phase: u32,
    /// The task whose end was seen last within its poll on this thread, and its header; 0: that poll's end has been told.
    pub over_header: u64,
    pub over_task: u64,
    /// What was found of it then.
    pub over_state: u64,
    pub over_path: Path,
    /// What was found there: id and state word, and whether both could be read.
    pub task: u64,
    pub state: u64,
    pub readable: u32,
    /// As its own PID namespace numbers it.
    pub tid: u32,
    /// When the poll ended; CLOCK_MONOTONIC, ns.
    pub now_ns: u64,
    /// With starts of polls alone, one of [`CALM`] and [`PANICKING`]; else 0.
    pub panicking: u64,
    pub path: Path,
    /// Of the poll that ended: [`Account::blocked_ns`] and [`Account::preempted_ns`] are sums of these.
    pub poll_blocked_ns: u64,
    pub poll_preempted_ns: u64,
    /// When the thread was last taken off its CPU within a poll, CLOCK_MONOTONIC ns; 0: it is on one.
    pub off_since_ns: u64,
    /// It sleeps, rather than wait for a CPU; only while `off_since_ns` is not 0.
    pub asleep: u32,
    pub reserved: u32,
    /// Time off CPU within polls: asleep, and ready to run. It goes on while `off_since_ns` is not 0.
    pub blocked_ns: u64,
    pub preempted_ns: u64,
    /// Of the last sample that was due: its poll, by its start, and when; CLOCK_MONOTONIC, ns.
    pub sampled_poll_ns: u64,
    pub sampled_ns: u64,
    /// [`Sample::nth`]
    pub sampled: u64,
    /// Eight more than are ever filled, so that a read of a word needs one bounds check.
    pub block: [u8; BLOCK + 8],
}

/// No panic has begun on the thread since a poll did, or since a task ended there.
pub const CALM: u64 = 1;
/// One has.
pub const PANICKING: u64 = 2;

/// What the programs count, each in a per-cpu u64 of the map `COUNTERS`.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// Hits in another process that runs the same file.
    Foreign = 0,
    /// Events that the ring buffer had no room for.
    Lost = 1,
    /// Events with a path or an id that could not be read.
    Unreadable = 2,
    /// Polls not followed because too many threads or too deep a nesting was under way.
    NoRoom = 3,
    /// Polls whose return was never seen.
    Stale = 4,
    /// Returns of polls whose start was not seen.
    Unmatched = 5,
    /// Wakes, spawns and drops of a task that could not be read.
    Unidentified = 6,
    /// Times that a clock of a thread of the target struck.
    Ticks = 7,
    /// Of these, those at which a thread's stack was copied.
    Samples = 8,
}

pub const COUNTERS: u32 = 9;
