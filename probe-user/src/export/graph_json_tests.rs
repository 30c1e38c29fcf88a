use super::*;
use crate::analysis::Relations;
use crate::model::sample::{SECOND, Shop, tokio};
use std::collections::HashSet;

fn text(graph: &Relations) -> String {
    let mut out = vec![];
    write(&mut out, graph).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn schema_1() {
    let snapshot = Shop::new().deadlock(SECOND);
    insta::assert_snapshot!(text(&Relations::of(&snapshot, &[(tokio(1), tokio(2))])));
}

#[test]
fn every_end_is_a_node() {
    let shop = Shop::new();
    for snapshot in [shop.deadlock(SECOND), shop.busy_day(SECOND)] {
        let graph: serde_json::Value = serde_json::from_str(&text(&Relations::of(&snapshot, &[]))).unwrap();
        let list = |name: &str| graph[name].as_array().unwrap().clone();
        let nodes: Vec<_> =
            list("tasks").into_iter().chain(list("resources")).map(|node| node["node"].to_string()).collect();
        let distinct: HashSet<_> = nodes.iter().cloned().collect();
        assert_eq!(distinct.len(), nodes.len());
        for edge in list("edges") {
            assert!(
                distinct.contains(&edge["from"].to_string()) && distinct.contains(&edge["to"].to_string())
            );
        }
        assert_eq!(list("tasks").len(), snapshot.tasks.len());
    }
}
