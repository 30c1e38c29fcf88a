//! A server of real size: what hangs is found through hyper, tower, reqwest and sqlx.

use e2e::schema::{Dump, Node, NodeState};
use e2e::{Program, build_package, compare, inspector, rights, workspace};
use std::fs;

/// The line of the handlers' source that holds this text.
fn line_of(text: &str) -> u32 {
    let source = fs::read_to_string(workspace().join("tests/targets/big/src/pages.rs")).expect("is there");
    let mut lines = source.lines().enumerate().filter(|(_, line)| line.contains(text));
    let (nth, _) = lines.next().unwrap_or_else(|| panic!("no line has {text:?}"));
    assert!(lines.next().is_none(), "several lines have {text:?}");
    nth as u32 + 1
}

/// Lines at which this function is suspended, over all tasks.
fn suspended_at(dump: &Dump, function: &str) -> Vec<u32> {
    fn walk(node: &Node, function: &str, found: &mut Vec<u32>) {
        if node.function == function && node.state == NodeState::Suspended {
            found.extend(node.line);
        }
        for child in &node.awaiting {
            walk(child, function, found);
        }
    }
    let mut found = Vec::new();
    for root in dump.tasks.iter().filter_map(|task| task.r#await.as_ref()) {
        walk(root, function, &mut found);
    }
    found.sort_unstable();
    found
}

#[test]
fn handlers_are_found_through_the_framework() {
    if !rights::root_or_skip("handlers_are_found_through_the_framework") {
        return;
    }
    let executable = build_package("big", &["big"]).expect("builds").program("big");
    let mut program = Program::start(&executable, &[]).expect("starts");
    let truth = program.tasks().expect("tells");
    let mut dump = inspector::dump(program.pid()).expect("a dump");

    // One asked for directly, one by `mirror`, which waits for its answer.
    let sleeps = line_of("tokio::time::sleep(Duration::from_secs(seconds)).await");
    assert_eq!(suspended_at(&dump, "big::pages::slow"), [sleeps, sleeps]);
    assert_eq!(suspended_at(&dump, "big::pages::mirror"), [line_of("shared.client.get(url).send().await")]);
    assert_eq!(suspended_at(&dump, "big::pages::articles"), [line_of("rows.fetch_all(&shared.pool).await")]);
    assert_eq!(suspended_at(&dump, "big::pages::article"), [line_of("row.fetch_one(&shared.pool).await")]);
    // Three orders: one holds the turnstile and waits for the database, two wait for the turnstile.
    let (locks, inserts) =
        (line_of("shared.turnstile.lock().await"), line_of(".execute(&shared.pool).await"));
    assert_eq!(suspended_at(&dump, "big::pages::order"), [locks, locks, inserts]);

    // hyper, reqwest and sqlx have tasks too, of which the program knows nothing.
    dump.tasks.retain(|task| truth.iter().any(|expected| expected.id == task.id));
    if let Some(differences) = compare::report(&compare::tasks(&dump, &truth, "big")) {
        panic!("{differences}");
    }
}
