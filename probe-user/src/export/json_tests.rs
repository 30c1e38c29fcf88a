use super::*;
use crate::model::sample::{SECOND, Shop};
use serde_json::Value;

fn json(snapshot: &Snapshot) -> String {
    let mut out = vec![];
    write(&mut out, snapshot, snapshot.tasks.iter(), &[]).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn schema_1() {
    let shop = Shop::new();
    let mut snapshot = shop.busy_day(SECOND);
    snapshot.tasks.retain(|task| [1, 10, 30, 50].contains(&task.id.id));
    let value: Value = serde_json::from_str(&json(&snapshot)).unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&value).unwrap());
}

#[test]
fn equal_trees_are_rendered_alike_and_ids_are_strings() {
    let shop = Shop::new();
    let value: Value = serde_json::from_str(&json(&shop.busy_day(SECOND))).unwrap();
    let tasks = value["tasks"].as_array().unwrap();
    assert_eq!(tasks.len(), 11);
    let of = |id: &str| tasks.iter().find(|task| task["id"] == id).unwrap();
    assert_eq!(of("10")["await"], of("11")["await"]);
    assert_ne!(of("10")["await"], of("20")["await"]);
    assert_ne!(of("10")["address"], of("11")["address"]);
    assert_eq!(of("40")["stale"], true);
    assert_eq!(of("40")["waiting_on"], Value::Null, "it runs");
    assert_eq!(of("10")["waiting_on"][0]["kind"], "io");
    assert_eq!(of("10")["location"], serde_json::json!({"file": "/srv/shop/src/api.rs", "line": 171}));
}

#[test]
fn names_from_the_target_stay_whole_in_json() {
    let shop = Shop::new();
    let value: Value = serde_json::from_str(&json(&shop.busy_day(SECOND))).unwrap();
    let evil = value["tasks"].as_array().unwrap().iter().find(|task| task["id"] == "50").unwrap();
    assert_eq!(evil["name"], "evil\x1b[2Jname");
    assert!(!json(&shop.busy_day(SECOND)).contains('\x1b'), "yet no escape byte reaches a terminal");
}

#[test]
fn no_tasks_is_an_empty_list() {
    let shop = Shop::new();
    let value: Value = serde_json::from_str(&json(&shop.snapshot(SECOND, vec![]))).unwrap();
    assert_eq!(value["tasks"], serde_json::json!([]));
    assert_eq!(value["findings"], serde_json::json!([]));
}

#[test]
fn held_futures_are_apart() {
    let shop = Shop::new();
    let mut tree = shop.selecting(0x1000);
    tree.held = vec![shop.chain(&shop.sleeping(), 0x2000)].into();
    let task = shop.task(5, "shop::main", TaskState::Idle, Some(tree));
    let value: Value = serde_json::from_str(&json(&shop.snapshot(SECOND, vec![task]))).unwrap();
    let node = &value["tasks"][0]["await"];
    assert_eq!(node["held"][0]["function"], "shop::api::fetch_user");
    assert_eq!(node["awaiting"][0]["awaiting"][0].get("held"), None);
}
