use super::*;
use crate::model::sample::{SECOND, Shop};

fn text(snapshot: &Snapshot, all: bool, color: bool) -> String {
    let mut out = vec![];
    write(&mut out, snapshot, snapshot.tasks.iter(), Options { all, paint: Paint { color } }).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn grouped_dump() {
    insta::assert_snapshot!(text(&Shop::new().busy_day(SECOND), false, false));
}

#[test]
fn each_task() {
    let shop = Shop::new();
    let mut snapshot = shop.busy_day(SECOND);
    snapshot.tasks.retain(|task| [10, 11, 40].contains(&task.id.id));
    insta::assert_snapshot!(text(&snapshot, true, false));
}

#[test]
fn a_hundred_thousand_tasks_are_a_few_lines() {
    let shop = Shop::new();
    let reading = shop.reading();
    let tasks = (0..100_000).map(|id| shop.fetching(id, &reading)).collect();
    let text = text(&shop.snapshot(SECOND, tasks), false, false);
    assert!(text.contains("100,000 tasks  shop::api::fetch_user  idle"), "{text}");
    assert!(text.contains("tasks: #0, #1, #2, #3, #4 and 99,995 more"), "{text}");
    assert!(text.lines().count() < 20, "{text}");
}

#[test]
fn control_characters_of_the_target_never_reach_the_terminal() {
    let text = text(&Shop::new().busy_day(SECOND), true, false);
    assert!(text.contains("evil\\u{1b}[2Jname"));
    assert!(!text.contains('\x1b'));
}

#[test]
fn colour_only_where_asked() {
    assert!(text(&Shop::new().busy_day(SECOND), false, true).contains("\x1b[1m"));
}

/// As of a program whose tokio is older than any whose tasks can be found.
fn too_old(shop: &Shop) -> Snapshot {
    let mut snapshot = shop.snapshot(SECOND, Vec::new());
    snapshot.debuginfo = DebugInfoLevel::UnknownLayout;
    for runtime in &mut snapshot.runtimes {
        (runtime.version, runtime.tasks) = (Some("1.8.1".into()), 0);
    }
    snapshot
}

#[test]
fn tasks_that_cannot_be_found_are_not_none() {
    let snapshot = too_old(&Shop::new());
    let text = text(&snapshot, false, false);
    assert!(
        text.contains("tokio 1.8.1") && text.contains(": tasks not known (tokio older than 1.21)"),
        "{text}"
    );
    assert!(unseen_tasks(&snapshot).is_some_and(|words| words.contains("tokio 1.8.1")));
    let mut out = vec![];
    json::write(&mut out, &snapshot, std::iter::empty(), &[]).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(json["runtimes"][0]["tasks"], serde_json::Value::Null);
}

#[test]
fn what_the_trace_alone_knows_of_is_no_closure() {
    let shop = Shop::new();
    let mut born = shop.fetching(99, &shop.reading());
    (born.tree, born.address, born.state) = (None, Avma::default(), TaskState::Scheduled);
    let text = text(&shop.snapshot(SECOND, vec![born]), true, false);
    assert!(text.contains("born after the last snapshot"), "{text}");
}
