//! `analyze --show-call-graph` from the file alone, against what the program says when it runs: every await between its async
//! functions, every line at which one is suspended, the size of each future.

use e2e::{Lto, Tokio, Variant, inspector};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

#[derive(Deserialize)]
struct Await {
    from: String,
    to: String,
    line: u32,
    size: u64,
}

#[derive(Deserialize)]
struct Graph {
    functions: Vec<Function>,
    edges: Vec<Edge>,
}

#[derive(Deserialize)]
struct Function {
    id: usize,
    function: String,
    kind: String,
    color: String,
    size: Option<u64>,
    suspend_points: Vec<Point>,
}

#[derive(Deserialize)]
struct Point {
    line: Option<u32>,
}

#[derive(Deserialize)]
struct Edge {
    from: usize,
    to: usize,
    kind: String,
    line: Option<u32>,
    certainty: String,
}

fn is_own(name: &str) -> bool {
    name.trim_start_matches('<').starts_with("awaits::")
}

#[test]
fn the_graph_is_what_the_source_awaits() {
    let plain = Variant::release(Tokio::Latest);
    for variant in [
        plain,
        Variant::in_one_unit(Tokio::Latest),
        Variant { lto: Lto::Fat, ..plain },
        Variant::smallest(Tokio::Latest),
    ] {
        compare(variant);
    }
}

fn compare(variant: Variant) {
    let name = variant.name();
    let program = variant.build(&["awaits"]).expect("builds").program("awaits");
    let output = Command::new(&program).output().expect("runs");
    assert!(output.status.success(), "{name}");
    let said = String::from_utf8(output.stdout).expect("is text");
    let truth: Vec<Await> = said.lines().map(|line| serde_json::from_str(line).expect("is truth")).collect();
    let output = inspector::command()
        .args(["analyze", "--show-call-graph", "-f", "json"])
        .arg(&program)
        .output()
        .expect("runs");
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    let graph: Graph = serde_json::from_slice(&output.stdout).expect("is a graph");

    let own = |id: usize| Some(&graph.functions[id]).filter(|f| is_own(&f.function) && f.kind != "sync");
    let told: BTreeSet<(&str, &str, u32)> = graph
        .edges
        .iter()
        .filter(|edge| edge.kind == "awaits" && edge.certainty == "proven")
        .filter_map(|edge| Some((&*own(edge.from)?.function, &*own(edge.to)?.function, edge.line?)))
        .filter(|(_, to, _)| !to.contains("Counted<"))
        .collect();
    let inside = truth.iter().filter(|edge| edge.to != "-");
    let expected: BTreeSet<(&str, &str, u32)> =
        inside.map(|edge| (&*edge.from, &*edge.to, edge.line)).collect();
    assert_eq!(told, expected, "{name}: edges");

    let mut lines: BTreeMap<&str, BTreeSet<u32>> = BTreeMap::new();
    for edge in &truth {
        lines.entry(&edge.from).or_default().insert(edge.line);
    }
    lines.entry("awaits::nothing").or_default();
    let coroutines = || graph.functions.iter().filter(|f| is_own(&f.function) && f.kind.starts_with("async"));
    let suspended: BTreeMap<&str, BTreeSet<u32>> = coroutines()
        .map(|f| (&*f.function, f.suspend_points.iter().filter_map(|point| point.line).collect()))
        .collect();
    assert_eq!(suspended, lines, "{name}: lines of suspend points");

    let sizes: BTreeMap<&str, u64> =
        truth.iter().filter(|edge| edge.to != "-").map(|edge| (&*edge.to, edge.size)).collect();
    let read: BTreeMap<&str, u64> = coroutines()
        .filter(|f| sizes.contains_key(&*f.function))
        .filter_map(|f| Some((&*f.function, f.size?)))
        .collect();
    assert_eq!(read, sizes, "{name}: sizes");

    let green: Vec<&str> = coroutines().filter(|f| f.color == "green").map(|f| &*f.function).collect();
    assert_eq!(green, ["awaits::nothing"], "{name}: what could be sync");
    assert!(graph.functions.iter().enumerate().all(|(at, f)| at == f.id), "{name}: ids");
}
