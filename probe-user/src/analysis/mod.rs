//! What follows from the facts: who waits for whom, and which bug that is. Pure: no memory, no files, and but for [`Lookout`] no clock.
//!
//! [`Case`] is what is known of a target, a [`Lint`] looks at it for one kind of bug, [`Diagnosis`] asks all of them and
//! remembers what they found.

mod bottlenecks;
mod calls;
mod case;
mod compare;
mod computing;
mod critical_path;
mod diagnosis;
mod finding;
mod fold;
mod held_workers;
mod keepers;
mod lint;
mod lints;
mod lookout;
mod relations;
mod stalls;
mod stuck;
#[cfg(test)]
mod time_tests;

pub use bottlenecks::{Bottlenecks, LockRank, LongAt, PollRank, WaitRank, Waits};
pub use case::Case;
pub use compare::{Change, Comparison, Metric, Verdict};
pub use critical_path::{CriticalPath, Doing, Step};
pub use diagnosis::Diagnosis;
pub(crate) use finding::sentence;
pub use finding::{Finding, FindingKey, FoundPlace, Part, Sentence};
pub use lint::{Answer, Lint};
pub use lints::{LINTS, named};
pub use lookout::Lookout;
pub use relations::{
    EdgeInfo, EdgeKey, Link, NodeKey, Relations, ResourceKey, ResourceNode, SeenTask, TaskNode,
};
