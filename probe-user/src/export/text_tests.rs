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
