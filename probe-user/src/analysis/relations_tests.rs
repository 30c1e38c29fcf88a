use super::*;
use crate::model::sample::{SECOND, Shop, tokio};
use proptest::prelude::*;

fn task(id: u64) -> NodeKey {
    NodeKey::Task(tokio(id))
}

fn deadlock() -> Relations {
    Relations::of(&Shop::new().deadlock(SECOND), &[(tokio(1), tokio(2))])
}

fn links(graph: &Relations, link: Link) -> Vec<(NodeKey, NodeKey)> {
    graph.edges.keys().filter(|key| key.2 == link).map(|(from, to, _)| (*from, *to)).collect()
}

#[test]
fn the_two_that_lock_in_opposite_order_are_the_only_cycle() {
    let graph = deadlock();
    assert_eq!(graph.cycles.len(), 1);
    let tasks: Vec<_> = graph.cycles[0].iter().filter(|key| matches!(key, NodeKey::Task(_))).collect();
    assert_eq!(tasks, [&task(2), &task(3)]);
    let cyclic: Vec<_> = graph.edges.iter().filter(|(_, info)| info.cycle).map(|(key, _)| key.2).collect();
    assert_eq!(cyclic.iter().filter(|link| **link == Link::WaitsFor).count(), 2);
    assert_eq!(cyclic.iter().filter(|link| **link == Link::HeldBy).count(), 2);
    assert_eq!(cyclic.len(), 4, "{cyclic:?}");
}

#[test]
fn ends_joins_and_births_are_edges_of_their_own() {
    let graph = deadlock();
    assert_eq!(links(&graph, Link::Joins), [(task(1), task(2))]);
    assert_eq!(links(&graph, Link::Spawned), [(task(1), task(2))]);
    let channel = NodeKey::Resource(ResourceKey::At(Avma(0x7f00_2000_0090)));
    assert_eq!(links(&graph, Link::Sends), [(task(4), channel)]);
    assert_eq!(links(&graph, Link::Receives), [(task(5), channel)]);
    assert!(links(&graph, Link::HeldBy).contains(&(channel, task(5))), "who must empty the full channel");
    // The joined task's header is no resource, it is the task.
    assert_eq!(graph.resources.len(), 6);
}

#[test]
fn what_two_say_of_one_edge_is_as_certain_as_the_less_certain() {
    let mut snapshot = Shop::new().deadlock(SECOND);
    let wait = &mut snapshot.tasks[2].waits[0];
    wait.certainty = Some(Certainty::Possible);
    let graph = Relations::of(&snapshot, &[]);
    let cart = NodeKey::Resource(ResourceKey::At(Avma(0x7f00_2000_0010)));
    let info = &graph.edges[&(cart, task(2), Link::HeldBy)];
    assert_eq!((info.certainty, info.local.as_deref()), (Some(Certainty::Possible), Some("cart")));
}

#[test]
fn a_holder_that_the_snapshot_lacks_is_a_node_of_which_nothing_is_known() {
    let mut snapshot = Shop::new().deadlock(SECOND);
    snapshot.tasks.retain(|task| task.id != tokio(2));
    let graph = Relations::of(&snapshot, &[]);
    assert_eq!(graph.tasks[&tokio(2)].seen, None);
    assert!(graph.cycles.is_empty(), "what task 2 waits for is not known");
}

#[test]
fn equal_tasks_become_one_with_a_count_and_their_own_sockets_too() {
    let (graph, folded) = (deadlock(), deadlock().folded());
    assert_eq!((graph.tasks.len(), folded.tasks.len()), (10, 7));
    assert_eq!(folded.tasks[&tokio(10)].count, 3);
    assert_eq!(folded.tasks[&tokio(20)].count, 2);
    assert_eq!((graph.resources.len(), folded.resources.len()), (6, 5));
    let sockets = folded.resources.values().find(|node| node.count == 2).unwrap();
    assert_eq!((sockets.fd, &sockets.detail), (None, &None), "they differ");
    let cart = NodeKey::Resource(ResourceKey::At(Avma(0x7f00_2000_0010)));
    assert_eq!(folded.edges[&(task(10), cart, Link::WaitsFor)].count, 3);
    assert_eq!(folded.cycles, graph.cycles);
}

#[test]
fn a_long_chain_of_waits_needs_no_deep_stack() {
    let shop = Shop::new();
    let mut tasks = shop.deadlock(SECOND).tasks;
    let join = tasks[0].waits[0].clone();
    tasks.truncate(0);
    tasks.extend((1..100_000).map(|id| {
        let mut task = shop.task(id, "shop::link", TaskState::Idle, None);
        task.waits = [Wait { task: Some(tokio(id % 99_999 + 1)), ..join.clone() }].into();
        task
    }));
    let graph = Relations::of(&shop.snapshot(SECOND, tasks), &[]);
    assert_eq!(graph.cycles[0].len(), 99_999);
}

proptest! {
    /// Folding loses no task, no resource and no edge, and an edge is on a cycle iff both its ends are on the same.
    #[test]
    fn folding_keeps_counts(waits in prop::collection::vec((1u64..8, 0u64..5, prop::option::of(1u64..8)), 0..20)) {
        let shop = Shop::new();
        let leaf = shop.deadlock(SECOND).tasks[1].waits[0].clone();
        let tasks = (1..8).map(|id| {
            let mut task = shop.task(id, if id % 2 == 0 { "a" } else { "b" }, TaskState::Idle, None);
            let own = waits.iter().filter(|wait| wait.0 == id);
            task.waits = own.map(|(_, at, holder)| Wait {
                address: Some(Avma(0x1000 + at)),
                holders: holder.iter().map(|id| tokio(*id)).collect(),
                ..leaf.clone()
            }).collect();
            task
        });
        let graph = Relations::of(&shop.snapshot(SECOND, tasks.collect()), &[]);
        let folded = graph.folded();
        let total = |g: &Relations| (
            g.tasks.values().map(|n| n.count).sum::<u64>(),
            g.resources.values().map(|n| n.count).sum::<u64>(),
            g.edges.values().map(|e| e.count).sum::<u64>(),
        );
        prop_assert_eq!(total(&graph), total(&folded));
        for (from, to, _) in folded.edges.keys() {
            for end in [from, to] {
                prop_assert!(folded.nodes().contains(end), "{end:?} is no node");
            }
        }
        for ((from, to, link), info) in &graph.edges {
            let together = graph.cycles.iter().any(|c| c.contains(from) && c.contains(to));
            prop_assert_eq!(info.cycle, together && link.blocks());
        }
    }
}
