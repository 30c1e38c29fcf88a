//! Is what was traced of the program `counts` what it counted itself?

use crate::Truth;
use crate::tracer::{Seen, Traced};
use std::collections::HashMap;

/// All that differs, as text.
pub fn differences(truth: &[Truth], traced: &Traced) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut seen: HashMap<String, Seen> = traced.tasks();
    if traced.lost() != 0 {
        wrong.push(format!("{} events lost", traced.lost()));
    }
    let (mut spawns, mut completed) = (0, 0);
    match traced.totals() {
        None => wrong.push("the last line is not a summary".to_string()),
        Some(totals) => {
            let polls: u64 = seen.values().map(|seen| seen.polls).sum();
            if (totals.polls, totals.lost) != (polls, 0) {
                wrong.push(format!("the summary has {} polls, the events {polls}", totals.polls));
            }
        }
    }
    for seen in seen.values() {
        spawns += seen.spawns;
        completed += seen.completed;
    }
    for line in truth {
        match line {
            Truth::Polls { id, name, polls, changes } => {
                let seen = seen.remove(id).unwrap_or_default();
                if seen.polls != *polls {
                    wrong.push(format!("task {id} {name}: {} polls, not {polls}", seen.polls));
                }
                if changes.is_some_and(|changes| changes != seen.changes) {
                    wrong.push(format!("task {id} {name}: {} state changes, not {changes:?}", seen.changes));
                }
                if seen.completed != 1 {
                    wrong.push(format!("task {id} {name}: completed {} times", seen.completed));
                }
            }
            Truth::Totals { spawned, completed: all, .. } => {
                if spawns != *spawned {
                    wrong.push(format!("{spawns} tasks spawned, not {spawned}"));
                }
                if completed != *all {
                    wrong.push(format!("{completed} tasks completed, not {all}"));
                }
            }
            other => wrong.push(format!("unexpected truth {other:?}")),
        }
    }
    wrong.extend(seen.keys().map(|id| format!("task {id} does not exist")));
    wrong
}
