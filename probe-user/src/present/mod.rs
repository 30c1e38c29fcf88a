//! What a person reads, before it is laid out: names, places, times, await trees, the card of one task.
//!
//! `export` prints it and `tui` draws it, so both say the same. Every string that comes from the target passes
//! [`escape`] here; nothing here ends up in JSON.

pub mod bottlenecks;
pub mod bounds;
pub mod call_graph;
pub mod call_graph_summary;
pub mod call_graph_times;
pub mod card;
pub mod compare;
pub mod cost;
pub mod escape;
pub mod findings;
pub mod long_polls;
pub mod machine;
pub mod names;
pub mod paint;
pub mod places;
pub mod queues;
pub mod reasons;
pub mod relations;
pub mod samples;
pub mod size_changes;
pub mod sizes;
pub mod source;
pub mod table;
pub mod times;
pub mod tree;
pub mod units;
