use super::*;
use crate::outline::sample;

fn names(graph: &CallGraph, ids: &[FunctionId]) -> Vec<String> {
    ids.iter().map(|id| graph.function(*id).name.to_string()).collect()
}

fn find(graph: &CallGraph, name: &str) -> FunctionId {
    graph.ids().find(|id| *graph.function(*id).name == *name).unwrap_or_else(|| panic!("no {name}"))
}

#[test]
fn a_name_is_a_path_or_its_end_or_a_part_of_it() {
    let graph = sample::shop();
    let found = |name: &str| names(&graph, &named(&graph, name));
    assert_eq!(found("shop::api::query"), ["shop::api::query"]);
    assert_eq!(found("query"), ["shop::api::query", "shop::db::Pool::query"]);
    assert_eq!(found("Pool::query"), ["shop::db::Pool::query"]);
    assert_eq!(found("hyper::server::conn::Connection"), ["hyper::server::conn::Connection<axum::Router>"]);
    assert_eq!(found("Mutex::lock"), ["tokio::sync::mutex::Mutex<T>::lock"]);
    assert_eq!(found("walk"), ["shop::tree::walk"]);
    assert_eq!(found("tree::"), ["shop::tree::walk"]);
    assert!(found("nothing_of_that_name").is_empty() && found("").is_empty());
}

#[test]
fn trees_begin_at_main_then_at_roots_then_where_nobody_calls() {
    let graph = sample::shop();
    let all = Excerpt::of(&graph, &Choice::default());
    assert_eq!(names(&all.graph, &all.begins()), ["shop::main", "shop::plugins::unused"]);
    let mut alone = graph.clone();
    alone.edges.retain(|edge| edge.kind != EdgeKind::Spawns);
    let alone = Excerpt::of(&alone, &Choice::default());
    assert_eq!(
        names(&alone.graph, &alone.begins()),
        [
            "shop::main",
            "shop::mail::deliver",
            "shop::api::user_page",
            "shop::plugins::unused",
            "shop::mail::deliver::{closure#0}"
        ]
    );
}

#[test]
fn leaves_of_dependencies_stay_and_say_what_they_wait_for() {
    let all = Excerpt::of(&sample::shop(), &Choice::default());
    let waits = |name: &str| {
        let kinds = &all.waits_for[find(&all.graph, name).index()];
        kinds.iter().map(|kind| kind.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(waits("tokio::sync::semaphore::Semaphore::acquire"), ["semaphore"]);
    assert_eq!(waits("tokio::sync::mutex::Mutex<T>::lock"), ["mutex"]);
    assert_eq!(waits("tokio::time::sleep::Sleep"), ["timer"]);
    assert_eq!(waits("shop::api::query"), [""; 0]);
    // What they are made of does not stay, nor what serves the reader's own.
    let folded = ["tokio::sync::batch_semaphore::Acquire", "axum::routing::Route::call"];
    assert!(all.graph.functions.iter().all(|f| !folded.contains(&&*f.name)));
    assert_eq!(all.folded, 6);
}

#[test]
fn depth_counts_steps_from_the_roots() {
    let graph = sample::shop();
    let roots = vec![find(&graph, "shop::api::user_page")];
    let depth = |depth| Excerpt::of(&graph, &Choice { deps: false, roots: roots.clone(), depth });
    assert_eq!(depth(Some(0)).graph.functions.len(), 1);
    assert_eq!(depth(Some(0)).beyond, [4]);
    let one = depth(Some(1));
    let mut near = names(&one.graph, &one.graph.ids().collect::<Vec<_>>());
    near.sort();
    let expected = [
        "shop::api::fetch_user",
        "shop::api::render",
        "shop::api::user_page",
        "shop::plugins::tax",
        "shop::tree::walk",
    ];
    assert_eq!(near, expected);
    assert_eq!(one.graph.edges.len(), 4, "no edge of those at the end");
    let whole = depth(None);
    assert!(whole.beyond.iter().all(|n| *n == 0));
    assert_eq!(whole.graph.functions.len() + whole.left_out + whole.folded, graph.functions.len());
}

#[test]
fn no_more_than_was_asked_for() {
    let all = Excerpt::of(&sample::wide(30, 200), &Choice::default());
    let (part, depth) = all.at_most(500, 500);
    assert_eq!((part.graph.functions.len(), part.graph.edges.len(), depth), (401, 400, Some(2)));
    assert_eq!(part.left_out, 5_400);
    assert_eq!(part.beyond.iter().sum::<usize>(), 200);
    let (part, depth) = all.at_most(10_000, 10_000);
    assert_eq!((part.graph, depth), (all.graph, None));
}
