//! What people read of the relationship graph: labels of its nodes and edges, escaped but for the format's own specials.

use super::escape::escape;
use super::names;
use super::places::Places;
use super::units::count;
use crate::analysis::{EdgeInfo, Link, NodeKey, Relations, ResourceKey, ResourceNode, TaskNode};
use crate::decode::{Certainty, TaskId, TaskState};
use std::sync::Arc;

/// Longest detail that a label shows in full.
const LONG: usize = 72;

/// Lines of a node's label; None for a key that the graph lacks.
pub fn node(graph: &Relations, key: NodeKey, places: &Places) -> Option<Vec<String>> {
    match key {
        NodeKey::Task(id) => graph.tasks.get(&id).map(|node| task(id, node, places)),
        NodeKey::Resource(key) => graph.resources.get(&key).map(|node| resource(key, node)),
    }
}

fn task(id: TaskId, node: &TaskNode, places: &Places) -> Vec<String> {
    let Some(seen) = &node.seen else {
        return vec![format!("Task #{}", id.id), "not in this snapshot".into()];
    };
    let who =
        if node.count == 1 { format!("Task #{}", id.id) } else { format!("{} tasks", count(node.count)) };
    let mut lines = vec![format!("{who}  {}", names::function(&seen.name))];
    let mut state = state_word(seen.state).to_owned();
    if seen.stale {
        state.push_str(", read while it changed");
    }
    if let Some(place) = &seen.location {
        state = format!("{state} at {}", places.show(place));
    }
    lines.push(state);
    let combined =
        |(function, futures): &(Arc<str>, u64)| format!("{} of {}", names::short(function), count(*futures));
    lines.extend(seen.combines.iter().map(combined));
    lines
}

fn resource(key: ResourceKey, node: &ResourceNode) -> Vec<String> {
    let mut first = node.kind.as_str().to_owned();
    match key {
        _ if node.count > 1 => first = format!("{} × {first}", count(node.count)),
        ResourceKey::At(address) => first = format!("{first} {address}"),
        ResourceKey::Fd(fd) => first = format!("{first} fd {fd}"),
        ResourceKey::WaitOf(..) => {}
    }
    let detail = node.detail.as_deref().map(|detail| shortened(&escape(detail)));
    [Some(first), detail].into_iter().flatten().collect()
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= LONG {
        return text.to_owned();
    }
    text.chars().take(LONG - 1).chain(['…']).collect()
}

/// `held by, possibly`; `3 × waits for`.
pub fn edge(link: Link, info: &EdgeInfo) -> String {
    let mut words = match link {
        Link::WaitsFor => "waits for",
        Link::HeldBy => "held by",
        Link::Joins => "joins",
        Link::Sends => "sends",
        Link::Receives => "receives",
        Link::Spawned => "spawned",
    }
    .to_owned();
    if info.certainty == Some(Certainty::Possible) {
        words.push_str(", possibly");
    }
    if info.count > 1 {
        words = format!("{} × {words}", count(info.count));
    }
    words
}

fn state_word(state: TaskState) -> &'static str {
    match state {
        TaskState::Idle => "idle",
        TaskState::Scheduled => "scheduled",
        TaskState::Running => "running",
        TaskState::Complete => "complete",
        TaskState::Cancelled => "cancelled",
    }
}
