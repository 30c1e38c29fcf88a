//! How each task ended that nobody joins: told as it was, also where another task stands in its memory a moment later.

use e2e::tracer::{Seen, Traced};
use e2e::{Lto, Tokio, Truth, Variant, rights};

/// All that differs, as text.
///
/// `sees_results`: else it may not be known of tasks in which a panic began how they ended.
fn differences(truth: &[Truth], traced: &Traced, sees_results: bool) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut tasks = traced.tasks();
    for line in truth {
        match line {
            Truth::Polls { id, name, polls, .. } => {
                let seen = tasks.remove(id).unwrap_or_default();
                let is = |end: &str| u64::from(name == end);
                let (completed, cancelled, panicked) =
                    (is("completed") + is("caught"), is("cancelled"), is("panicked"));
                if !sees_results && seen.unseen == 1 && (is("caught") | panicked) == 1 {
                    continue;
                }
                // The poll that finds a task aborted does not poll its future.
                let polls = if name == "cancelled" { seen.polls } else { *polls };
                let expected = Seen {
                    spawns: 1,
                    polls,
                    changes: seen.changes,
                    completed,
                    cancelled,
                    panicked,
                    unseen: 0,
                };
                if seen != expected {
                    wrong.push(format!("task {id}: {seen:?}, not {expected:?}"));
                }
            }
            Truth::Totals { .. } => {
                let totals = traced.totals().expect("a last line");
                if totals.lost > 0 {
                    wrong.push(format!("{totals:?}"));
                }
            }
            other => wrong.push(format!("unexpected truth {other:?}")),
        }
    }
    wrong
}

fn check(variant: Variant, arguments: &[&str], options: &[&str]) {
    if !rights::root_or_skip("outcomes") {
        return;
    }
    let (truth, traced) = e2e::tracer::trace(variant, "outcomes", arguments, options).expect("a trace");
    let wrong = differences(&truth, &traced, variant.lto == Lto::Local);
    let shown = wrong.iter().take(20).map(String::as_str).collect::<Vec<_>>().join("\n");
    assert!(wrong.is_empty(), "{} {options:?}: {} differences\n{shown}", variant.name(), wrong.len());
}

#[test]
fn latest() {
    check(Variant::release(Tokio::Latest), &[], &["--no-events"]);
}

#[test]
fn older() {
    check(Variant::release(Tokio::V1_38), &[], &[]);
}

#[test]
fn starts_of_polls_alone() {
    check(Variant::release(Tokio::Latest), &[], &["--entry-only"]);
}

/// Where the compiler has inlined what marks a task as complete, and what a `LocalSet` does when one of its own is, and changed what
/// functions are called with.
#[test]
fn fully_optimized() {
    check(Variant { lto: Lto::Fat, ..Variant::release(Tokio::Latest) }, &["without-local"], &[]);
}
