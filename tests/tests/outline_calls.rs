//! Who calls and spawns whom, told from the file alone: against what the program says of itself.

use e2e::inspector::run;
use e2e::{Lto, Program, Tokio, Truth, Variant};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Kind, from, to, line. Functions without their generic arguments.
type Edge = (String, String, String, u64);

fn built(variant: Variant) -> PathBuf {
    variant.build(&["outline_calls"]).expect("builds").program("outline_calls")
}

/// `app::S<u8>::f<u8>` → `app::S::f`; `<app::S as app::T>::f` stays.
fn plain(name: &str) -> String {
    let mut plain = String::new();
    let mut depth = 0;
    let mut previous = ' ';
    for c in name.chars() {
        match c {
            '<' if depth > 0 || previous.is_alphanumeric() || matches!(previous, '_' | '}') => depth += 1,
            '>' if depth > 0 && previous != '-' => depth -= 1,
            _ if depth == 0 => plain.push(c),
            _ => {}
        }
        previous = c;
    }
    plain
}

fn is_own(name: &str) -> bool {
    name.trim_start_matches('<').starts_with("outline_calls::")
}

fn said(program: &Path) -> Vec<Truth> {
    Program::start(program, &[]).and_then(|mut program| program.truth()).expect("tells")
}

fn analyze(arguments: &[&str], program: &Path) -> Value {
    let file = program.to_str().expect("plain ASCII");
    let outcome = run(&[&["analyze", "-f", "json"], arguments, &[file]].concat()).expect("runs");
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    serde_json::from_str(&outcome.stdout).expect("it is JSON")
}

/// `calls` and `spawns`, and `awaits` through trait objects: the others are those of `outline_awaits`.
fn told(graph: &Value) -> BTreeSet<Edge> {
    let functions = graph["functions"].as_array().expect("functions");
    let name = |id: &Value| {
        let function = functions.iter().find(|function| function["id"] == *id).expect("ids are of functions");
        function["function"].as_str().expect("a name").to_owned()
    };
    let edges = graph["edges"].as_array().expect("edges").iter();
    let dynamic = |edge: &Value| edge["through"].as_array().is_some_and(|t| t.contains(&"dyn Future".into()));
    edges
        .filter(|edge| edge["kind"] != "awaits" || dynamic(edge))
        .map(|edge| (edge, name(&edge["from"]), name(&edge["to"])))
        .filter(|(_, from, to)| is_own(from) && is_own(to))
        .map(|(edge, from, to)| {
            let kind = edge["kind"].as_str().expect("a kind").to_owned();
            (kind, plain(&from), plain(&to), edge["line"].as_u64().unwrap_or(0))
        })
        .collect()
}

fn check(variant: Variant) {
    let program = built(variant);
    let said = said(&program);
    let truth: BTreeSet<Edge> = said
        .iter()
        .cloned()
        .filter_map(|truth| match truth {
            Truth::Edge { kind, from, to, line } => Some((kind, plain(&from), plain(&to), line.into())),
            _ => None,
        })
        .collect();
    assert!(truth.len() > 30, "{truth:?}");
    let told = told(&analyze(&["--deps"], &program));
    let missing: Vec<_> = truth.difference(&told).collect();
    let invented: Vec<_> = told.difference(&truth).collect();
    assert!(
        missing.is_empty() && invented.is_empty(),
        "{}: missing {missing:#?}, invented {invented:#?}",
        variant.name()
    );
    blocking(&program, &said, &variant.name());
}

/// What, from which async fn, at which line.
fn blocking(program: &Path, said: &[Truth], variant: &str) {
    let truth: BTreeSet<(String, String, u64)> = said
        .iter()
        .cloned()
        .filter_map(|truth| match truth {
            Truth::Blocks { what, from, line } => Some((what, from, line.into())),
            _ => None,
        })
        .collect();
    assert_eq!(truth.len(), 3, "{truth:?}");
    let found = analyze(&["--blocking"], program);
    let text = |value: &Value| plain(value.as_str().expect("text"));
    let findings = found["findings"].as_array().expect("findings");
    let told: BTreeSet<(String, String, u64)> = findings
        .iter()
        .map(|one| {
            let path = one["path"].as_array().expect("a path");
            let places = path.iter().all(|step| step["file"].is_string() && step["line"].is_u64());
            assert!(places, "{variant}: {one}");
            let line = path.last().and_then(|step| step["line"].as_u64()).unwrap_or(0);
            (text(&one["what"]), text(&one["function"]), line)
        })
        .collect();
    assert_eq!(told, truth, "{variant}");
    let way: Vec<Vec<String>> = findings
        .iter()
        .filter(|one| one["what"] == "std::fs")
        .map(|one| one["path"].as_array().into_iter().flatten().map(|step| text(&step["function"])).collect())
        .collect();
    let names = ["blocks_through_functions", "read_settings", "read_file"];
    assert_eq!(way, [names.map(|name| format!("outline_calls::{name}"))], "{variant}");
}

#[test]
fn calls_of_a_plain_build() {
    check(Variant::release(Tokio::Latest));
}

#[test]
fn calls_of_one_codegen_unit() {
    check(Variant::in_one_unit(Tokio::Latest));
}

#[test]
fn calls_where_all_is_optimized_as_one() {
    check(Variant { lto: Lto::Fat, ..Variant::release(Tokio::Latest) });
}

#[test]
fn calls_of_the_smallest_build() {
    check(Variant::smallest(Tokio::Latest));
}
