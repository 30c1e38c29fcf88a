use super::*;
use crate::outline::{Choice, sample};

fn json(choice: &Choice) -> String {
    let mut out = vec![];
    write(&mut out, &Excerpt::of(&sample::shop(), choice)).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn schema_1() {
    insta::assert_snapshot!(json(&Choice::default()));
}

#[test]
fn every_end_of_an_edge_is_a_function() {
    for deps in [false, true] {
        let text = json(&Choice { deps, ..Choice::default() });
        let graph: serde_json::Value = serde_json::from_str(&text).unwrap();
        let ids: Vec<u64> =
            graph["functions"].as_array().unwrap().iter().map(|f| f["id"].as_u64().unwrap()).collect();
        let edges = graph["edges"].as_array().unwrap();
        assert!(edges.iter().all(|e| ids.contains(&e["from"].as_u64().unwrap())));
        assert!(edges.iter().all(|e| ids.contains(&e["to"].as_u64().unwrap())));
        assert_eq!(ids.len() as u64 + graph["folded"].as_u64().unwrap(), 25);
    }
}

#[test]
fn what_was_cut_is_counted() {
    let mut graph = sample::shop();
    graph.bounds.cut(crate::outline::Bound::Candidates, 3);
    let mut out = vec![];
    write(&mut out, &Excerpt::of(&graph, &Choice::default())).unwrap();
    let graph: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(graph["bounds"], serde_json::json!({ "candidates": 3 }));
}
