use super::*;
use crate::export::dot::tests::parse;
use crate::export::outline_text::tests::places;
use crate::outline::{CallGraph, Choice, sample};
use proptest::prelude::*;
use std::process::{Command, Stdio};

fn dot(graph: &CallGraph) -> String {
    let mut out = vec![];
    write(&mut out, &Excerpt::of(graph, &Choice::default()), &places(graph)).unwrap();
    String::from_utf8(out).unwrap()
}

fn called(evil: &str) -> CallGraph {
    let mut graph = sample::shop();
    for function in &mut graph.functions {
        function.name = format!("{}{evil}", function.name).into();
    }
    graph
}

#[test]
fn a_shop() {
    insta::assert_snapshot!(dot(&sample::shop()));
}

#[test]
fn graphviz_itself_reads_it() {
    let child = Command::new("dot").arg("-Tsvg").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let Ok(mut child) = child else {
        eprintln!("SKIPPED: graphviz is not installed (`dot`)");
        return;
    };
    child.stdin.take().unwrap().write_all(dot(&called("a\"b\\N<c>&lt;\n{d|e}#é")).as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert!(String::from_utf8(output.stdout).unwrap().contains("shop::db::Pool::query"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn it_parses_whatever_functions_are_called(evil in "(?s)[\"\\\\<>&\n\r\t{}|;\\[\\]a-c\u{202e}é]{0,40}") {
        let drawn = parse(&dot(&called(&evil)));
        prop_assert!(drawn.is_ok(), "{:?}", drawn);
        prop_assert_eq!(drawn, parse(&dot(&called("x"))), "no string adds or hides a statement");
    }
}
