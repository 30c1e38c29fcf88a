use super::*;
use crate::decode::SourceLine;
use crate::outline::{Color, Function, FunctionKind, Origin, sample};
use proptest::prelude::*;
use std::collections::BTreeSet;

fn function(id: usize) -> Function {
    Function {
        name: format!("f{id:02}").into(),
        kind: FunctionKind::AsyncFn,
        place: None,
        origin: Origin::Own,
        color: Color::Red,
        why_yellow: vec![],
        size: None,
        suspend_points: vec![],
        is_root: false,
    }
}

fn graphs() -> impl Strategy<Value = (CallGraph, Vec<bool>)> {
    (1_usize..14).prop_flat_map(|n| {
        let id = 0..n as u32;
        let edge =
            (id.clone(), id, 0..3_usize, 1..4_u32, any::<bool>()).prop_map(|(from, to, kind, line, sure)| {
                Edge {
                    from: FunctionId(from),
                    to: FunctionId(to),
                    kind: [EdgeKind::Awaits, EdgeKind::Spawns, EdgeKind::Calls][kind],
                    place: Some(SourceLine { file: "a.rs".into(), line }),
                    through: vec![],
                    certainty: if sure { Certainty::Proven } else { Certainty::Possible },
                }
            });
        (proptest::collection::vec(edge, 0..40), proptest::collection::vec(any::<bool>(), n)).prop_map(
            move |(mut edges, kept)| {
                edges.sort();
                edges.dedup();
                (CallGraph { functions: (0..n).map(function).collect(), edges, ..CallGraph::default() }, kept)
            },
        )
    })
}

fn reached(graph: &CallGraph, from: FunctionId) -> BTreeSet<Arc<str>> {
    let mut found = BTreeSet::new();
    let mut todo: Vec<FunctionId> = graph.from(from).iter().map(|edge| edge.to).collect();
    while let Some(id) = todo.pop() {
        if found.insert(graph.function(id).name.clone()) {
            todo.extend(graph.from(id).iter().map(|edge| edge.to));
        }
    }
    found
}

/// Whether edges of the graph lead from one to the next of these, and at least one of the first step's has this place.
fn is_path(graph: &CallGraph, path: &[FunctionId], place: Option<&SourceLine>) -> bool {
    path.windows(2).enumerate().all(|(nth, step)| {
        graph.from(step[0]).iter().any(|edge| edge.to == step[1] && (nth > 0 || edge.place.as_ref() == place))
    })
}

proptest! {
    #[test]
    fn what_stays_reaches_what_it_reached((graph, kept) in graphs()) {
        let (folded, numbers) = graph.folded(&kept);
        let names: BTreeSet<Arc<str>> = folded.functions.iter().map(|f| f.name.clone()).collect();
        for (new, old) in numbers.iter().enumerate() {
            let mut before = reached(&graph, *old);
            before.retain(|name| names.contains(name));
            prop_assert_eq!(before, reached(&folded, FunctionId(new as u32)));
        }
    }

    #[test]
    fn no_edge_is_invented((graph, kept) in graphs()) {
        let (folded, numbers) = graph.folded(&kept);
        for edge in &folded.edges {
            let by_name = |name: &Arc<str>| FunctionId(name[1..].parse().unwrap());
            let between: Vec<FunctionId> = edge.through.iter().map(by_name).collect();
            prop_assert!(between.iter().all(|id| !kept[id.index()]), "only what goes lies between");
            let (from, to) = (numbers[edge.from.index()], numbers[edge.to.index()]);
            let path: Vec<FunctionId> = [from].into_iter().chain(between).chain([to]).collect();
            prop_assert!(is_path(&graph, &path, edge.place.as_ref()), "{edge:?}");
        }
    }

    #[test]
    fn what_is_proven_was((graph, kept) in graphs()) {
        let sure = CallGraph {
            edges: graph.edges.iter().filter(|e| e.certainty == Certainty::Proven).cloned().collect(),
            ..graph.clone()
        };
        let (all, _) = graph.folded(&kept);
        let (proven, _) = sure.folded(&kept);
        let ends = |graph: &CallGraph| -> BTreeSet<_> {
            let edges = graph.edges.iter().filter(|edge| edge.certainty == Certainty::Proven);
            edges.map(|edge| (edge.from, edge.to, edge.kind, edge.place.clone())).collect()
        };
        prop_assert_eq!(ends(&all), ends(&proven));
    }

    #[test]
    fn nothing_changes_where_all_stays((graph, _) in graphs()) {
        let (folded, _) = graph.folded(&vec![true; graph.functions.len()]);
        let set = |graph: &CallGraph| graph.edges.iter().cloned().collect::<BTreeSet<_>>();
        prop_assert_eq!(set(&folded), set(&graph));
        prop_assert_eq!(folded.functions, graph.functions);
    }
}

#[test]
fn a_chain_through_a_server_is_one_edge() {
    let graph = sample::shop();
    let kept: Vec<bool> = graph.functions.iter().map(|f| f.origin == Origin::Own).collect();
    let (folded, _) = graph.folded(&kept);
    let served = folded.edges.iter().find(|edge| *folded.function(edge.to).name == *"shop::api::user_page");
    let served = served.unwrap();
    assert_eq!(*folded.function(served.from).name, *"shop::main::{async_block#0}");
    assert_eq!((served.kind, served.place.as_ref().unwrap().line), (EdgeKind::Spawns, 38));
    let through: Vec<&str> = served.through.iter().map(|name| &**name).collect();
    let expected = [
        "axum::serve::serve",
        "hyper::server::conn::Connection<axum::Router>",
        "hyper::proto::h1::Dispatcher<axum::Router>",
        "axum::routing::Route::call",
    ];
    assert_eq!(through, expected);
}
