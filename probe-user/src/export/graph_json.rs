//! The relationship graph as one JSON object, each task and resource by itself.

use super::json::{Line, SCHEMA, debuginfo_word, runtime_word, state_word};
use super::resources::certainty_word;
use crate::analysis::{EdgeInfo, EdgeKey, Link, NodeKey, Relations, ResourceKey, ResourceNode, TaskNode};
use crate::decode::TaskId;
use serde::Serialize;
use std::io::{self, Write};

#[derive(Serialize)]
struct Head<'a> {
    schema: u32,
    pid: u32,
    exe: &'a str,
    taken_at_ns: u64,
    debuginfo: &'static str,
}

#[derive(Serialize)]
struct Task<'a> {
    node: String,
    id: String,
    runtime: &'static str,
    name: Option<&'a str>,
    state: Option<&'static str>,
    stale: Option<bool>,
    location: Option<Line<'a>>,
    combines: Vec<Combines<'a>>,
}

#[derive(Serialize)]
struct Combines<'a> {
    function: &'a str,
    futures: u64,
}

#[derive(Serialize)]
struct Resource<'a> {
    node: String,
    kind: &'static str,
    address: Option<String>,
    fd: Option<i32>,
    detail: Option<&'a str>,
}

#[derive(Serialize)]
struct Edge<'a> {
    from: String,
    to: String,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    certainty: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    local: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    acquired_at: Option<Line<'a>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    any: bool,
    cycle: bool,
}

pub fn write(out: &mut impl Write, graph: &Relations) -> io::Result<()> {
    let head = Head {
        schema: SCHEMA,
        pid: graph.pid,
        exe: &graph.exe,
        taken_at_ns: graph.taken_at_ns,
        debuginfo: debuginfo_word(graph.debuginfo),
    };
    out.write_all(super::json::open(&serde_json::to_string(&head)?).as_bytes())?;
    list(out, "tasks", graph.tasks.iter().map(|(id, node)| task(*id, node)))?;
    list(out, "resources", graph.resources.iter().map(|(key, node)| resource(*key, node)))?;
    list(out, "edges", graph.edges.iter().map(|(key, info)| edge(key, info)))?;
    let cycle = |nodes: &Vec<NodeKey>| nodes.iter().map(|key| node_id(*key)).collect::<Vec<_>>();
    list(out, "cycles", graph.cycles.iter().map(cycle))?;
    out.write_all(b"}\n")
}

/// One element per line, written as it is made.
fn list<T: Serialize>(out: &mut impl Write, name: &str, items: impl Iterator<Item = T>) -> io::Result<()> {
    write!(out, ",\n\"{name}\":[")?;
    for (i, item) in items.enumerate() {
        out.write_all(if i == 0 { b"\n" } else { b",\n" })?;
        serde_json::to_writer(&mut *out, &item)?;
    }
    out.write_all(b"]")
}

fn task(id: TaskId, node: &TaskNode) -> Task<'_> {
    let seen = node.seen.as_ref();
    let combines = seen.map_or(&[][..], |seen| &seen.combines);
    Task {
        node: node_id(NodeKey::Task(id)),
        id: id.id.to_string(),
        runtime: runtime_word(id.runtime),
        name: seen.map(|seen| &*seen.name),
        state: seen.map(|seen| state_word(seen.state)),
        stale: seen.map(|seen| seen.stale),
        location: seen.and_then(|seen| seen.location.as_ref()).map(Line::from),
        combines: combines.iter().map(|(function, n)| Combines { function, futures: *n }).collect(),
    }
}

fn resource(key: ResourceKey, node: &ResourceNode) -> Resource<'_> {
    let address = match key {
        ResourceKey::At(address) => Some(address.to_string()),
        ResourceKey::Fd(_) | ResourceKey::WaitOf(..) => None,
    };
    Resource {
        node: node_id(NodeKey::Resource(key)),
        kind: node.kind.as_str(),
        address,
        fd: node.fd,
        detail: node.detail.as_deref(),
    }
}

fn edge<'a>((from, to, link): &EdgeKey, info: &'a EdgeInfo) -> Edge<'a> {
    Edge {
        from: node_id(*from),
        to: node_id(*to),
        kind: link_word(*link),
        certainty: info.certainty.map(certainty_word),
        local: info.local.as_deref(),
        acquired_at: info.acquired_at.as_ref().map(Line::from),
        any: info.any,
        cycle: info.cycle,
    }
}

fn node_id(key: NodeKey) -> String {
    let task = |id: TaskId| format!("{}:{}", runtime_word(id.runtime), id.id);
    match key {
        NodeKey::Task(id) => task(id),
        NodeKey::Resource(ResourceKey::At(address)) => address.to_string(),
        NodeKey::Resource(ResourceKey::Fd(fd)) => format!("fd:{fd}"),
        NodeKey::Resource(ResourceKey::WaitOf(id, nth)) => format!("{}/wait:{nth}", task(id)),
    }
}

fn link_word(link: Link) -> &'static str {
    match link {
        Link::WaitsFor => "waits_for",
        Link::HeldBy => "held_by",
        Link::Joins => "joins",
        Link::Sends => "sends",
        Link::Receives => "receives",
        Link::Spawned => "spawned",
    }
}

#[cfg(test)]
#[path = "graph_json_tests.rs"]
mod tests;
