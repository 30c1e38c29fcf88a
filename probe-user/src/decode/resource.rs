//! What tasks wait for, and what they hold: things in the target, told from its memory.

use super::{FrameId, SourceLine, TaskId};
use crate::runtime::ResourceKind;
use crate::target::Avma;
use serde::{Deserialize, Serialize};

/// How far a statement about who holds what can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Certainty {
    /// Nothing else fits what was read, and a second read said the same.
    Proven,
    Possible,
}

/// One thing that a task waits for; a task inside `select!` or `join!` waits for several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    pub kind: ResourceKind,
    /// Names it: the future at the chain's end or, where that is a bare `PollFn`, the one around it.
    pub leaf: FrameId,
    /// The same for all who refer to the thing: the lock's own, that of what a channel's ends share, the joined
    /// task's header. What the program itself would print of it with `{:p}` of a reference.
    pub address: Option<Avma>,
    /// What is known of its state, in words: `reads fd 12, TCP 127.0.0.1:4000 → 127.0.0.1:5432`. Not escaped.
    pub detail: Option<Box<str>>,
    /// Tasks that must act before this one can go on: who holds the lock, receives from the full channel, owns the sender.
    pub holders: Box<[TaskId]>,
    /// Of the holders.
    pub certainty: Option<Certainty>,
    /// CLOCK_MONOTONIC, ns.
    pub deadline_ns: Option<u64>,
    pub fd: Option<i32>,
    /// The joined task.
    pub task: Option<TaskId>,
    /// Where the one holder took it.
    pub acquired_at: Option<SourceLine>,
    /// Another of the task's waits of which this is said may let it go on as well. What is not, it cannot do without.
    pub any: bool,
    /// Over a connection that the target itself has made, to another port than its own: for an answer, most likely.
    #[serde(default)]
    pub outgoing: bool,
    /// The await that waits for it: the innermost in the user's own code around the leaf, else the innermost with a line. Of a
    /// task in a `select!` or `join!` each branch has its own. None where there is none, or an older recording lacks it.
    #[serde(default)]
    pub at: Option<FrameId>,
}

impl Wait {
    /// A wait of which only the kind is known.
    pub fn of_kind(kind: ResourceKind, leaf: FrameId) -> Wait {
        Wait {
            kind,
            leaf,
            address: None,
            detail: None,
            holders: Box::default(),
            certainty: None,
            deadline_ns: None,
            fd: None,
            task: None,
            acquired_at: None,
            any: false,
            outgoing: false,
            at: None,
        }
    }
}

/// What keeping a thing means for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Role {
    /// A guard that lets nobody else in.
    Exclusive,
    /// A read guard.
    Shared,
    /// Permits of a semaphore.
    Permits(u32),
    /// The sending end of a channel.
    Sender,
    /// The receiving end of a channel.
    Receiver,
}

impl Role {
    /// A guard or permits: what `holds` lists; channel ends hold nobody up by being there.
    pub fn is_guard(self) -> bool {
        matches!(self, Role::Exclusive | Role::Shared | Role::Permits(_))
    }
}

/// A guard, permit or channel end that a task keeps across an await.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    pub kind: ResourceKind,
    pub role: Role,
    /// As [`Wait::address`].
    pub address: Avma,
    pub certainty: Certainty,
    /// The local that keeps it, with its path below: `guards`, `self.state`.
    pub local: Box<str>,
    /// The future whose local that is.
    pub frame: FrameId,
    /// Where it was taken, if debug information tells it.
    pub acquired_at: Option<SourceLine>,
    /// The future that was given it and has not taken it, because its task keeps that future and polls another one
    /// (Oxide RFD 609).
    #[serde(default)]
    pub unpolled: Option<Avma>,
    /// Of a lock for which threads wait, not tasks: std's, parking_lot's.
    #[serde(default)]
    pub blocks_threads: bool,
    /// Of the receiver of a channel without a bound: messages that lie in it.
    #[serde(default)]
    pub backlog: Option<u64>,
    /// Of one that blocks threads: the word at which they sleep until it is released. None where they sleep elsewhere, or the
    /// lock is not known.
    #[serde(default)]
    pub word: Option<Avma>,
}
