//! Tasks that are dropped without another poll are told as cancelled, and those that take their place are not taken for them.

use e2e::tracer::{Seen, Traced};
use e2e::{Tokio, Truth, Variant, rights};

/// All that differs, as text.
///
/// `sees_all_ends`: else it may not be known of a task that it completed, as its memory was another's by then.
fn differences(truth: &[Truth], traced: &Traced, sees_all_ends: bool) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut seen = traced.tasks();
    let mut all = 0;
    for line in truth {
        match line {
            Truth::Polls { id, name, polls, changes } => {
                let dropped = u64::from(name == "dropped");
                let expected = Seen {
                    spawns: 1,
                    polls: *polls,
                    changes: changes.unwrap_or_default(),
                    completed: 1 - dropped,
                    cancelled: dropped,
                    panicked: 0,
                    unseen: 0,
                };
                let mut seen = seen.remove(id).unwrap_or_default();
                if !sees_all_ends {
                    seen.completed += std::mem::take(&mut seen.unseen);
                }
                if seen != expected {
                    wrong.push(format!("task {id}: {seen:?}, not {expected:?}"));
                }
                all += 1;
            }
            Truth::Totals { polls, .. } => match traced.totals() {
                Some(totals) if (totals.polls, totals.spawned, totals.lost) == (*polls, all, 0) => {}
                totals => wrong.push(format!("{totals:?}, of {polls} polls of {all} tasks")),
            },
            other => wrong.push(format!("unexpected truth {other:?}")),
        }
    }
    wrong.extend(seen.keys().map(|id| format!("task {id} does not exist")));
    wrong
}

fn check(variant: Variant, options: &[&str], sees_all_ends: bool) {
    if !rights::root_or_skip("dropped") {
        return;
    }
    let (truth, traced) = e2e::tracer::trace(variant, "dropped", &[], options).expect("a trace");
    let wrong = differences(&truth, &traced, sees_all_ends);
    let shown = wrong.iter().take(20).map(String::as_str).collect::<Vec<_>>().join("\n");
    assert!(wrong.is_empty(), "{} {options:?}: {} differences\n{shown}", variant.name(), wrong.len());
}

#[test]
fn latest() {
    check(Variant::release(Tokio::Latest), &[], true);
}

#[test]
fn without_events() {
    check(Variant::release(Tokio::Latest), &["--no-events"], true);
}

/// What a `LocalSet` does when its tasks end was inlined.
#[test]
fn fully_optimized_1_38() {
    check(Variant::smallest(Tokio::V1_38), &[], false);
}
