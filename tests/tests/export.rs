//! `export` draws what `dump --json` says: each task, each resource and each edge, and none besides.

use e2e::inspector::run;
use e2e::{Program, Tokio, Variant};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

/// A running program that does not move.
fn stuck(name: &str) -> Program {
    let built = Variant::release(Tokio::Latest).build(&[name]).expect("builds");
    let mut program = Program::start(&built.program(name), &[]).expect("starts");
    program.truth().expect("tells");
    program
}

fn output_of(arguments: &[&str]) -> String {
    let outcome = run(arguments).expect("runs");
    assert_eq!(outcome.code, Some(0), "{arguments:?}: {}", outcome.stderr);
    outcome.stdout
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().map_or(&[], Vec::as_slice)
}

type Edges = BTreeSet<(String, String, String)>;

/// What the resources of a dump's tasks say, as edges between nodes.
fn edges_of(dump: &Value) -> Edges {
    let mut edges = Edges::new();
    for task in list(dump, "tasks") {
        let node = |id: &Value| format!("tokio:{}", id.as_str().expect("ids are strings"));
        let me = node(&task["id"]);
        for (nth, wait) in list(task, "waiting_on").iter().enumerate() {
            if wait["task"].is_string() {
                edges.insert((me.clone(), node(&wait["task"]), "joins".into()));
                continue;
            }
            let holders = list(wait, "holders");
            let resource = match (wait["address"].as_str(), wait["fd"].as_i64()) {
                (Some(address), _) => address.to_owned(),
                (None, Some(fd)) => format!("fd:{fd}"),
                (None, None) if !holders.is_empty() => format!("{me}/wait:{nth}"),
                (None, None) => continue,
            };
            edges.insert((me.clone(), resource.clone(), "waits_for".into()));
            edges.extend(holders.iter().map(|id| (resource.clone(), node(id), "held_by".into())));
        }
        for hold in list(task, "holds").iter().chain(list(task, "ends")) {
            let address = hold["address"].as_str().expect("what is held has an address").to_owned();
            edges.insert(match hold["role"].as_str() {
                Some("sender") => (me.clone(), address, "sends".into()),
                Some("receiver") => (me.clone(), address, "receives".into()),
                _ => (address, me.clone(), "held_by".into()),
            });
        }
    }
    edges
}

#[test]
fn the_graph_has_the_tasks_resources_and_edges_of_the_dump() {
    for name in ["forever", "tree", "cycles"] {
        let program = stuck(name);
        let pid = program.pid().to_string();
        let dump: Value = serde_json::from_str(&output_of(&["dump", &pid, "--json"])).expect("JSON");
        let graph: Value = serde_json::from_str(&output_of(&["export", &pid, "-f", "json"])).expect("JSON");
        let expected = edges_of(&dump);
        let text = |value: &Value| value.as_str().expect("a string").to_owned();
        let edges: Edges = list(&graph, "edges")
            .iter()
            .map(|e| (text(&e["from"]), text(&e["to"]), text(&e["kind"])))
            .collect();
        assert_eq!(edges, expected, "{name}");
        let in_cycles = list(&graph, "edges").iter().filter(|e| e["cycle"] == true).count();
        // One task of `forever` waits for a lock of its own.
        assert_eq!(in_cycles > 0, name != "tree", "{name}: {in_cycles} edges of circular waits");
        let ids =
            |value: &Value| list(value, "tasks").iter().map(|t| text(&t["id"])).collect::<BTreeSet<_>>();
        assert!(ids(&graph).is_superset(&ids(&dump)) && !ids(&dump).is_empty(), "{name}");
        let resources: BTreeSet<String> =
            expected.iter().flat_map(|(from, to, _)| [from, to]).filter(|n| !is_task(n)).cloned().collect();
        let drawn: BTreeSet<String> = list(&graph, "resources").iter().map(|r| text(&r["node"])).collect();
        assert_eq!(drawn, resources, "{name}");

        // Mermaid and dot have a line per node and per edge.
        let nodes = list(&graph, "tasks").len() + list(&graph, "resources").len();
        let dot = output_of(&["export", &pid, "-f", "dot", "--all"]);
        assert_eq!(dot.matches(" [shape=").count(), nodes, "{dot}");
        assert_eq!(dot.matches(" -> ").count(), edges.len(), "{dot}");
        let mermaid = output_of(&["export", &pid, "-f", "mermaid", "--all"]);
        let arrows = mermaid.lines().filter(|line| line.contains("-->|") || line.contains("-.->|")).count();
        assert_eq!(arrows, edges.len(), "{mermaid}");
        let merged = output_of(&["export", &pid, "-f", "dot"]);
        assert!(merged.matches(" [shape=").count() <= nodes);
        assert_eq!(merged, output_of(&["export", &pid, "-f", "dot"]), "the same process, the same text");
    }
}

fn is_task(node: &str) -> bool {
    node.starts_with("tokio:") && !node.contains("/wait:")
}

#[test]
fn a_file_takes_the_place_of_the_old_one() {
    let program = stuck("forever");
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("graph.dot");
    std::fs::write(&file, "of yesterday").expect("writes");
    let path = file.to_str().expect("UTF-8");
    let said = output_of(&["export", &program.pid().to_string(), "-f", "dot", "-o", path]);
    assert_eq!(said, "", "machine output goes where it was told to");
    assert!(std::fs::read_to_string(&file).expect("reads").starts_with("digraph"));
    assert_eq!(names(directory.path()), ["graph.dot"]);
    let failed = run(&["export", "no-such-process", "-f", "dot", "-o", path]).expect("runs");
    assert_eq!(failed.code, Some(4), "{}", failed.stderr);
    assert!(std::fs::read_to_string(&file).expect("reads").starts_with("digraph"), "the old one stays");
}

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).expect("a directory");
    entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}
