//! What `analyze --show-call-graph` writes of a real program, in every format and with every choice.

use e2e::schema::{CallGraph, Color, EdgeKind, FunctionKind, Origin};
use e2e::{Tokio, Variant, inspector};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn program() -> PathBuf {
    Variant::release(Tokio::Latest).build(&["awaits"]).expect("builds").program("awaits")
}

fn analyze(program: &Path, arguments: &[&str]) -> String {
    let output = inspector::command().arg("analyze").args(arguments).arg(program).output().expect("runs");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("is text")
}

fn graph(program: &Path, arguments: &[&str]) -> CallGraph {
    let text = analyze(program, &[&["-f", "json"], arguments].concat());
    serde_json::from_str(&text).expect("keeps to the schema")
}

#[test]
fn json_keeps_to_its_schema_folded_and_whole() {
    let program = program();
    let (folded, whole) = (graph(&program, &[]), graph(&program, &["--deps"]));
    assert_eq!((folded.schema, whole.schema, whole.folded, whole.left_out), (1, 1, 0, 0));
    assert_eq!(folded.functions.len() as u64 + folded.folded, whole.functions.len() as u64);
    let own = |graph: &CallGraph| -> BTreeSet<(String, Option<u32>, Option<u64>)> {
        let own = graph.functions.iter().filter(|f| f.origin == Origin::Own);
        own.map(|f| (f.function.clone(), f.line, f.size)).collect()
    };
    assert_eq!(own(&folded), own(&whole), "no function of one's own is folded");
    for graph in [&folded, &whole] {
        assert!(graph.functions.iter().enumerate().all(|(at, f)| at as u64 == f.id));
        let ends = graph.edges.iter().flat_map(|edge| [edge.from, edge.to]);
        assert!(ends.max() < Some(graph.functions.len() as u64));
        let sizes = graph.functions.iter().filter(|f| f.kind == FunctionKind::Sync);
        assert!(sizes.clone().all(|f| f.size.is_none() && f.suspend_points.is_empty()));
    }
    let nothing = folded.functions.iter().find(|f| f.function == "awaits::nothing").expect("is there");
    assert_eq!((nothing.color, nothing.kind), (Color::Green, FunctionKind::AsyncFn));
    // What own code awaits of its own, with the lines, is the same in both.
    let awaits = |graph: &CallGraph| -> BTreeSet<(String, String, Option<u32>)> {
        let name = |id: u64| &graph.functions[id as usize];
        let edges = graph.edges.iter().filter(|edge| edge.kind == EdgeKind::Awaits);
        let own = edges.filter(|e| [e.from, e.to].iter().all(|id| name(*id).origin == Origin::Own));
        own.map(|e| (name(e.from).function.clone(), name(e.to).function.clone(), e.line)).collect()
    };
    assert!(awaits(&folded).is_superset(&awaits(&whole)) && !awaits(&whole).is_empty());
}

#[test]
fn every_format_has_every_function_of_ones_own() {
    let program = program();
    let graph = graph(&program, &[]);
    let own = graph.functions.iter().filter(|f| f.origin == Origin::Own && f.kind == FunctionKind::AsyncFn);
    let names: Vec<&str> = own.map(|f| f.function.split('<').next().expect("has a name")).collect();
    assert!(names.len() > 5, "{names:?}");
    let text = analyze(&program, &[]);
    for name in &names {
        let short = name.rsplit("::").next().expect("has a last part");
        assert!(text.contains(short), "{name} in\n{text}");
        assert!(analyze(&program, &["-f", "dot"]).contains(short), "{name} in DOT");
        assert!(analyze(&program, &["-f", "html"]).contains(short), "{name} in the page");
        // `_` is an entity there.
        let mermaid = analyze(&program, &["-f", "mermaid"]);
        assert!(mermaid.contains(&short.replace('_', "#95;")), "{name} in Mermaid");
    }
    for said in
        ["legend", "summary", "Where async is necessary", "Where sync and async meet", "could be broken"]
    {
        assert!(text.contains(said), "{said}");
    }
    for format in ["text", "json", "dot", "mermaid", "html"] {
        assert_eq!(
            analyze(&program, &["-f", format]),
            analyze(&program, &["-f", format]),
            "{format} is reproducible"
        );
    }
}

#[test]
fn a_root_and_a_depth_choose() {
    let program = program();
    let one = graph(&program, &["--root", "awaits::nothing"]);
    assert_eq!(one.functions.len(), 1);
    assert!(one.left_out > 0);
    let all = graph(&program, &[]);
    let near = graph(&program, &["--depth", "1"]);
    assert!(near.functions.len() < all.functions.len());
    assert_eq!(near.left_out + near.functions.len() as u64, all.functions.len() as u64);

    let output = inspector::command().args(["analyze", "--root", "no_such_function"]).arg(&program).output();
    let output = output.expect("runs");
    assert_eq!(output.status.code(), Some(2), "a usage error");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("it has no function of that name") && said.contains("try:"), "{said}");

    let directory = tempfile::tempdir().expect("is made");
    let file = directory.path().join("graph.html");
    assert_eq!(analyze(&program, &["-f", "html", "-o", file.to_str().expect("is text")]), "");
    let page = std::fs::read_to_string(&file).expect("was written");
    assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
}
