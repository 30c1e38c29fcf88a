//! What a trace counts equals what the program counts itself, and nothing is lost.

use anyhow::{Result, ensure};
use e2e::tracer::{Seen, Traced, Tracer};
use e2e::{Lto, Mangling, Panic, Program, Tokio, Truth, Variant, rights};
use std::collections::HashMap;

/// Traces `counts MODE` from before its start signal to its end.
fn trace(variant: Variant, mode: &str) -> Result<(Vec<Truth>, Traced)> {
    let executable = variant.build(&["counts"])?.program("counts");
    let mut program = Program::start(&executable, &[mode])?;
    program.truth()?;
    let tracer = Tracer::attach(program.pid(), &[])?;
    program.say("go")?;
    let truth = program.truth()?;
    tracer.interrupt()?;
    let traced = tracer.finish()?;
    ensure!(program.is_running(), "the program did not outlive the tracer");
    ensure!(traced.code == Some(0), "attach ended with {:?}: {}", traced.code, traced.stderr);
    Ok((truth, traced))
}

/// All that differs, as text.
fn differences(truth: &[Truth], traced: &Traced) -> Vec<String> {
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

fn check(variant: Variant, mode: &str) {
    if !rights::root_or_skip("poll counts") {
        return;
    }
    let (truth, traced) = trace(variant, mode).expect("a trace");
    let wrong = differences(&truth, &traced);
    let shown = wrong.iter().take(20).map(String::as_str).collect::<Vec<_>>().join("\n");
    assert!(wrong.is_empty(), "{} {mode}: {} differences\n{shown}", variant.name(), wrong.len());
}

fn optimized(tokio: Tokio) -> Variant {
    Variant {
        lto: Lto::Fat,
        codegen_units: 1,
        panic: Panic::Abort,
        mangling: Mangling::V0,
        ..Variant::release(tokio)
    }
}

#[test]
fn even_rate_latest() {
    check(Variant::release(Tokio::Latest), "even");
}

#[test]
fn even_rate_1_43() {
    check(Variant::release(Tokio::V1_43), "even");
}

#[test]
fn even_rate_1_38() {
    check(Variant::release(Tokio::V1_38), "even");
}

#[test]
fn bursts_latest() {
    check(Variant::release(Tokio::Latest), "bursts");
}

#[test]
fn bursts_1_38() {
    check(Variant::release(Tokio::V1_38), "bursts");
}

#[test]
fn spawns_latest() {
    check(Variant::release(Tokio::Latest), "spawns");
}

#[test]
fn spawns_1_43() {
    check(Variant::release(Tokio::V1_43), "spawns");
}

#[test]
fn bursts_fully_optimized() {
    check(optimized(Tokio::Latest), "bursts");
}

#[test]
fn even_rate_fully_optimized_1_38() {
    check(optimized(Tokio::V1_38), "even");
}

#[test]
fn entry_probes_alone_count_polls() {
    if !rights::root_or_skip("entry_probes_alone_count_polls") {
        return;
    }
    let executable = Variant::release(Tokio::Latest).build(&["counts"]).expect("builds").program("counts");
    let mut program = Program::start(&executable, &["even"]).expect("starts");
    program.truth().expect("waits");
    let tracer = Tracer::attach(program.pid(), &["--entry-only"]).expect("attaches");
    program.say("go").expect("listens");
    let truth = program.truth().expect("tells");
    tracer.interrupt().expect("runs");
    let seen = tracer.finish().expect("ends").tasks();
    for line in truth {
        if let Truth::Polls { id, name, polls, .. } = line {
            let counted = seen.get(&id).map_or(0, |seen| seen.polls);
            assert_eq!(counted, polls, "task {id} {name}");
        }
    }
}
