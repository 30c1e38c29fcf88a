//! Tasks that can never go on, because all that could let them go on waits for them in turn.
//!
//! The largest set of idle tasks in which each waits, whichever of its waits may end first, for others of the set: found by
//! taking out, again and again, who has some way to go on. Those that go round in it are deadlocked, the others wait behind.

use crate::decode::{Certainty, ResourceKind, Snapshot, Task, TaskId, TaskState, Wait};
use petgraph::algo::kosaraju_scc;
use petgraph::graphmap::DiGraphMap;
use std::collections::{HashMap, HashSet, VecDeque};

/// Who must act before a wait can end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    /// A lock is free when all have let go of it: one that never does is enough.
    Each,
    /// One of them would do.
    Any,
}

/// A task that waits for another, by index in the snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Edge {
    pub waiter: usize,
    /// Number of the wait in the task's.
    pub wait: usize,
    pub holder: usize,
}

/// Tasks that wait for each other in a circle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Circle {
    /// One way round, each edge's holder the waiter of the next.
    pub edges: Vec<Edge>,
    /// Tasks that take part in it on other ways.
    pub others: Vec<usize>,
    /// Tasks that wait for these and are not waited for by them.
    pub behind: Vec<usize>,
}

/// Holders that are listed of one wait; there may be more where it is as many. See `MAX_HOLDERS` in decode/relations.rs.
const LISTED: usize = 16;

/// Circles of tasks, in order of their first task.
pub(super) fn circles(snapshot: &Snapshot) -> Vec<Circle> {
    let tasks = &snapshot.tasks;
    // Only who waits for somebody, or is waited for by such, matters: of 100,000 tasks these are few.
    let waiters: Vec<usize> = (0..tasks.len()).filter(|i| may_be_stuck(&tasks[*i])).collect();
    if waiters.is_empty() {
        return Vec::new();
    }
    let index: HashMap<TaskId, usize> = waiters.iter().map(|i| (tasks[*i].id, *i)).collect();
    let stuck = stuck(tasks, &waiters, &index);
    let mut graph = DiGraphMap::<usize, ()>::new();
    for edge in waiters.iter().filter(|i| stuck.contains(i)).flat_map(|i| edges(tasks, *i, &index)) {
        if stuck.contains(&edge.holder) {
            graph.add_edge(edge.waiter, edge.holder, ());
        }
    }
    let is_circle =
        |component: &Vec<usize>| component.len() > 1 || graph.contains_edge(component[0], component[0]);
    let mut rounds: Vec<Vec<usize>> = kosaraju_scc(&graph).into_iter().filter(is_circle).collect();
    rounds.iter_mut().for_each(|round| round.sort_unstable_by_key(|i| tasks[*i].id));
    rounds.sort_unstable_by_key(|round| tasks[round[0]].id);
    rounds.iter().map(|round| circle(tasks, round, &graph, &index)).collect()
}

fn may_be_stuck(task: &Task) -> bool {
    let idle = task.state == TaskState::Idle && !task.stale;
    idle && !task.waits.is_empty() && task.waits.iter().all(|wait| needs(wait).is_some())
}

/// None where somebody or something else may end it.
fn needs(wait: &Wait) -> Option<Needs> {
    if wait.holders.is_empty() {
        return None;
    }
    match wait.kind {
        ResourceKind::Mutex | ResourceKind::RwLock | ResourceKind::OnceCell | ResourceKind::Join => {
            Some(Needs::Each)
        }
        ResourceKind::Semaphore
        | ResourceKind::Mpsc
        | ResourceKind::Oneshot
        | ResourceKind::Watch
        | ResourceKind::Broadcast => (wait.holders.len() < LISTED).then_some(Needs::Any),
        _ => None,
    }
}

/// How far it is known that nobody else can end a wait of this kind.
pub(super) fn certainty(wait: &Wait) -> Certainty {
    let sole = match wait.kind {
        ResourceKind::Mutex
        | ResourceKind::RwLock
        | ResourceKind::OnceCell
        | ResourceKind::Join
        | ResourceKind::Mpsc
        | ResourceKind::Oneshot => true,
        // Permits may be added by anybody, and senders of these be kept by no task.
        _ => false,
    };
    if sole { wait.certainty.unwrap_or(Certainty::Possible) } else { Certainty::Possible }
}

fn stuck(tasks: &[Task], waiters: &[usize], index: &HashMap<TaskId, usize>) -> HashSet<usize> {
    let mut stuck: HashSet<usize> = waiters.iter().copied().collect();
    let mut waits_for: HashMap<usize, Vec<usize>> = HashMap::new();
    for edge in waiters.iter().flat_map(|i| edges(tasks, *i, index)) {
        waits_for.entry(edge.holder).or_default().push(edge.waiter);
    }
    let mut doubted: VecDeque<usize> = waiters.iter().copied().collect();
    while let Some(i) = doubted.pop_front() {
        let is_stuck = |id: &TaskId| index.get(id).is_some_and(|holder| stuck.contains(holder));
        let ends_never = |wait: &Wait| match needs(wait) {
            Some(Needs::Each) => wait.holders.iter().any(is_stuck),
            Some(Needs::Any) => wait.holders.iter().all(is_stuck),
            None => false,
        };
        if stuck.contains(&i) && !tasks[i].waits.iter().all(ends_never) {
            stuck.remove(&i);
            doubted.extend(waits_for.get(&i).into_iter().flatten());
        }
    }
    stuck
}

fn edges<'a>(
    tasks: &'a [Task],
    waiter: usize,
    index: &'a HashMap<TaskId, usize>,
) -> impl Iterator<Item = Edge> + 'a {
    let of_wait = move |(wait, of): (usize, &'a Wait)| {
        let holders = of.holders.iter().filter_map(|id| index.get(id));
        holders.map(move |holder| Edge { waiter, wait, holder: *holder })
    };
    tasks[waiter].waits.iter().enumerate().flat_map(of_wait)
}

fn circle(
    tasks: &[Task],
    round: &[usize],
    graph: &DiGraphMap<usize, ()>,
    index: &HashMap<TaskId, usize>,
) -> Circle {
    let members: HashSet<usize> = round.iter().copied().collect();
    // Two readers who both want to write wait for themselves as well, and that is not the point.
    let way = shortest_way_round(round[0], &members, graph).unwrap_or_else(|| vec![round[0]]);
    let edge = |(nth, waiter): (usize, &usize)| {
        let holder = way[(nth + 1) % way.len()];
        edges(tasks, *waiter, index).find(|edge| edge.holder == holder)
    };
    let edges = way.iter().enumerate().filter_map(edge).collect();
    let others = round.iter().copied().filter(|i| !way.contains(i)).collect();
    let mut behind: Vec<usize> = Vec::new();
    let mut seen = members;
    let mut next: VecDeque<usize> = round.iter().copied().collect();
    while let Some(i) = next.pop_front() {
        for waiter in graph.neighbors_directed(i, petgraph::Incoming).filter(|w| seen.insert(*w)) {
            behind.push(waiter);
            next.push_back(waiter);
        }
    }
    behind.sort_unstable_by_key(|i| tasks[*i].id);
    Circle { edges, others, behind }
}

/// From a task over others back to itself, within a component that is strongly connected. None where it is alone.
fn shortest_way_round(
    from: usize,
    members: &HashSet<usize>,
    graph: &DiGraphMap<usize, ()>,
) -> Option<Vec<usize>> {
    let mut came_from: HashMap<usize, usize> = HashMap::new();
    let mut next = VecDeque::from([from]);
    while let Some(at) = next.pop_front() {
        let mut neighbours: Vec<usize> =
            graph.neighbors(at).filter(|to| *to != at && members.contains(to)).collect();
        neighbours.sort_unstable();
        for to in neighbours {
            if to == from {
                let mut way = vec![at];
                while let Some(before) = came_from.get(way.last().expect("it has one")) {
                    way.push(*before);
                }
                way.reverse();
                return Some(way);
            }
            if let std::collections::hash_map::Entry::Vacant(place) = came_from.entry(to) {
                place.insert(at);
                next.push_back(to);
            }
        }
    }
    None
}
