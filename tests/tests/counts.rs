//! What a trace counts equals what the program counts itself, and nothing is lost.

use anyhow::Result;
use e2e::counted::differences;
use e2e::tracer::{Traced, Tracer};
use e2e::{Lto, Mangling, Panic, Program, Tokio, Truth, Variant, rights};

/// Traces `counts MODE` from before its start signal to its end.
fn trace(variant: Variant, mode: &str) -> Result<(Vec<Truth>, Traced)> {
    e2e::tracer::trace(variant, "counts", &[mode], &[])
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
fn threads_that_come_and_go() {
    check(Variant::release(Tokio::Latest), "threads");
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
