//! The graph of who waits for what and who holds it: tasks and resources are its nodes.

use crate::decode::{
    Certainty, DebugInfoLevel, FrameKind, Frames, Hold, HoldRole, Node, ResourceKind, Snapshot, SourceLine,
    Task, TaskId, TaskState, Wait,
};
use crate::target::Avma;
use petgraph::algo::kosaraju_scc;
use petgraph::graphmap::DiGraphMap;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// What makes a resource the same for all who name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ResourceKey {
    At(Avma),
    Fd(i32),
    /// It has neither, but it links tasks: the nth wait of this task.
    WaitOf(TaskId, u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NodeKey {
    Task(TaskId),
    Resource(ResourceKey),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskNode {
    /// How many tasks this node stands for; more than one only after [`Relations::folded`].
    pub count: u64,
    /// None for a task that others name and the snapshot lacks: it ended, or was not found.
    pub seen: Option<SeenTask>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeenTask {
    pub name: Arc<str>,
    pub state: TaskState,
    /// Read while it ran or changed.
    pub stale: bool,
    pub location: Option<SourceLine>,
    /// Combinators in its tree, with how many futures each awaits now.
    pub combines: Vec<(Arc<str>, u64)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceNode {
    /// As [`TaskNode::count`].
    pub count: u64,
    pub kind: ResourceKind,
    pub fd: Option<i32>,
    /// Not escaped.
    pub detail: Option<Box<str>>,
}

/// What an edge says, read from its first end to its second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Link {
    /// Task → resource.
    WaitsFor,
    /// Resource → the task that must act before those who wait can go on.
    HeldBy,
    /// Task → the task whose end it waits for.
    Joins,
    /// Task → channel whose sending end it keeps.
    Sends,
    /// Task → channel whose receiving end it keeps.
    Receives,
    /// Parent → child.
    Spawned,
}

impl Link {
    /// The first end cannot go on before the second does something.
    fn blocks(self) -> bool {
        matches!(self, Link::WaitsFor | Link::HeldBy | Link::Joins)
    }
}

pub type EdgeKey = (NodeKey, NodeKey, Link);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EdgeInfo {
    /// As [`TaskNode::count`].
    pub count: u64,
    /// Of `HeldBy`, `Sends` and `Receives`.
    pub certainty: Option<Certainty>,
    /// The local that keeps the guard or the channel's end, with its path below.
    pub local: Option<Box<str>>,
    pub acquired_at: Option<SourceLine>,
    /// Of `WaitsFor` and `Joins`: as [`Wait::any`].
    pub any: bool,
    /// Lies on a cycle of `WaitsFor`, `HeldBy` and `Joins`. A task that waits for any of several things
    /// can be on one and still go on.
    pub cycle: bool,
}

/// Ordered maps, so that the same snapshot always gives the same text.
#[derive(Clone, Debug)]
pub struct Relations {
    pub pid: u32,
    pub exe: String,
    /// CLOCK_REALTIME, ns.
    pub taken_at_ns: u64,
    pub debuginfo: DebugInfoLevel,
    pub tasks: BTreeMap<TaskId, TaskNode>,
    pub resources: BTreeMap<ResourceKey, ResourceNode>,
    pub edges: BTreeMap<EdgeKey, EdgeInfo>,
    /// The nodes that block each other, each list and all of them in order.
    pub cycles: Vec<Vec<NodeKey>>,
}

impl Relations {
    /// The graph of a snapshot. `spawned` lists parent and child; memory alone does not tell it.
    pub fn of(snapshot: &Snapshot, spawned: &[(TaskId, TaskId)]) -> Relations {
        let mut graph = Relations {
            pid: snapshot.pid,
            exe: snapshot.exe.clone(),
            taken_at_ns: snapshot.taken_at_ns,
            debuginfo: snapshot.debuginfo,
            tasks: BTreeMap::new(),
            resources: BTreeMap::new(),
            edges: BTreeMap::new(),
            cycles: Vec::new(),
        };
        for task in &snapshot.tasks {
            graph.tasks.insert(task.id, TaskNode { count: 1, seen: Some(seen(task, &snapshot.frames)) });
        }
        for task in &snapshot.tasks {
            for (nth, wait) in task.waits.iter().enumerate() {
                graph.wait(task.id, nth as u32, wait);
            }
            task.holds.iter().for_each(|hold| graph.hold(task.id, hold));
        }
        for (parent, child) in spawned {
            let ends = (graph.task(*parent), graph.task(*child));
            graph.edge(ends, Link::Spawned, EdgeInfo::default());
        }
        graph.mark_cycles();
        graph
    }

    /// In order: all tasks, then all resources.
    pub fn nodes(&self) -> Vec<NodeKey> {
        let tasks = self.tasks.keys().copied().map(NodeKey::Task);
        tasks.chain(self.resources.keys().copied().map(NodeKey::Resource)).collect()
    }

    pub fn on_cycles(&self) -> HashSet<NodeKey> {
        self.cycles.iter().flatten().copied().collect()
    }

    fn wait(&mut self, by: TaskId, nth: u32, wait: &Wait) {
        let waiter = NodeKey::Task(by);
        if let Some(joined) = wait.task {
            let ends = (waiter, self.task(joined));
            self.edge(ends, Link::Joins, EdgeInfo { any: wait.any, ..EdgeInfo::default() });
            return;
        }
        let key = match (wait.address, wait.fd) {
            (Some(address), _) => ResourceKey::At(address),
            (None, Some(fd)) => ResourceKey::Fd(fd),
            (None, None) if !wait.holders.is_empty() => ResourceKey::WaitOf(by, nth),
            (None, None) => return,
        };
        // Of a lock it tells the waiter's own place in line.
        let detail = wait.detail.as_deref().filter(|_| wait.kind == ResourceKind::Io);
        let resource = self.resource(key, wait.kind, wait.fd, detail);
        self.edge((waiter, resource), Link::WaitsFor, EdgeInfo { any: wait.any, ..EdgeInfo::default() });
        let certainty = Some(wait.certainty.unwrap_or(Certainty::Possible));
        // Where several hold it, the place is that of none in particular.
        let acquired_at = wait.acquired_at.clone().filter(|_| wait.holders.len() == 1);
        for holder in &wait.holders {
            let ends = (resource, self.task(*holder));
            let info = EdgeInfo { certainty, acquired_at: acquired_at.clone(), ..EdgeInfo::default() };
            self.edge(ends, Link::HeldBy, info);
        }
    }

    fn hold(&mut self, by: TaskId, hold: &Hold) {
        let task = NodeKey::Task(by);
        let resource = self.resource(ResourceKey::At(hold.address), hold.kind, None, None);
        let (ends, link) = match hold.role {
            HoldRole::Exclusive | HoldRole::Shared | HoldRole::Permits(_) => ((resource, task), Link::HeldBy),
            HoldRole::Sender => ((task, resource), Link::Sends),
            HoldRole::Receiver => ((task, resource), Link::Receives),
        };
        let info = EdgeInfo {
            certainty: Some(hold.certainty),
            local: Some(hold.local.clone()),
            acquired_at: hold.acquired_at.clone(),
            ..EdgeInfo::default()
        };
        self.edge(ends, link, info);
    }

    fn task(&mut self, id: TaskId) -> NodeKey {
        self.tasks.entry(id).or_insert(TaskNode { count: 1, seen: None });
        NodeKey::Task(id)
    }

    fn resource(
        &mut self,
        key: ResourceKey,
        kind: ResourceKind,
        fd: Option<i32>,
        detail: Option<&str>,
    ) -> NodeKey {
        let fresh = ResourceNode { count: 1, kind, fd: None, detail: None };
        let node = self.resources.entry(key).or_insert(fresh);
        if says_more(kind, node.kind) {
            node.kind = kind;
        }
        node.fd = node.fd.or(fd);
        // Each who waits may see another state of it; the first in order is as good as any, and always the same.
        if node.detail.is_none() {
            node.detail = detail.map(Box::from);
        }
        NodeKey::Resource(key)
    }

    /// A second statement of the same edge adds what the first did not know, and never makes it more certain.
    fn edge(&mut self, (from, to): (NodeKey, NodeKey), link: Link, info: EdgeInfo) {
        match self.edges.entry((from, to, link)) {
            Entry::Vacant(place) => {
                place.insert(EdgeInfo { count: 1, ..info });
            }
            Entry::Occupied(mut known) => {
                let known = known.get_mut();
                known.certainty = known.certainty.max(info.certainty);
                known.local = known.local.take().or(info.local);
                known.acquired_at = known.acquired_at.take().or(info.acquired_at);
                known.any &= info.any;
            }
        }
    }

    fn mark_cycles(&mut self) {
        let blocking = || self.edges.keys().filter(|(_, _, link)| link.blocks());
        let graph: DiGraphMap<NodeKey, ()> = blocking().map(|(from, to, _)| (*from, *to)).collect();
        let mut member: HashMap<NodeKey, usize> = HashMap::new();
        // Kosaraju's, because petgraph's other one calls itself: a chain of 300,000 tasks is not a deep stack here.
        for mut component in kosaraju_scc(&graph) {
            if component.len() > 1 || graph.contains_edge(component[0], component[0]) {
                component.sort_unstable();
                self.cycles.push(component);
            }
        }
        self.cycles.sort_unstable();
        for (number, component) in self.cycles.iter().enumerate() {
            member.extend(component.iter().map(|node| (*node, number)));
        }
        for ((from, to, link), info) in &mut self.edges {
            let same = member.get(from).is_some_and(|cycle| member.get(to) == Some(cycle));
            info.cycle = link.blocks() && same;
        }
    }
}

/// A lock's inner semaphore lies at the lock's own address: the lock is what people know.
fn says_more(kind: ResourceKind, than: ResourceKind) -> bool {
    let inner = |kind| matches!(kind, ResourceKind::Semaphore | ResourceKind::Notify);
    kind != ResourceKind::Unknown && (than == ResourceKind::Unknown || (inner(than) && !inner(kind)))
}

fn seen(task: &Task, frames: &Frames) -> SeenTask {
    let mut combines = BTreeMap::new();
    if let Some(tree) = &task.tree {
        combinators(tree, frames, &mut combines);
    }
    SeenTask {
        name: task.name.clone(),
        state: task.state,
        stale: task.stale,
        location: task.location(frames),
        combines: combines.into_iter().collect(),
    }
}

fn combinators(node: &Node, frames: &Frames, found: &mut BTreeMap<Arc<str>, u64>) {
    let frame = frames.get(node.frame);
    if frame.kind == FrameKind::Combinator {
        *found.entry(frame.function.clone()).or_default() += node.awaiting.len() as u64;
    }
    node.awaiting.iter().for_each(|child| combinators(child, frames, found));
}

#[cfg(test)]
#[path = "relations_tests.rs"]
mod tests;
