//! What a poll computes, and at which line, is what the program says of itself.

use anyhow::{Context, Result, ensure};
use async_inspect::model::Update;
use async_inspect::record::Reader;
use async_inspect::trace::{CpuSamples, TraceEvent};
use e2e::schema::{CodeFrame, Line};
use e2e::tracer::{Traced, Tracer};
use e2e::{Lto, Mangling, Panic, Program, Tokio, Truth, Variant, rights};
use std::collections::HashMap;
use std::path::Path;

/// Longer than a busy machine makes a thread wait for a CPU, shorter than the program computes.
const LONG: &str = "300";

/// Records the program from before its start signal until it has said its truth.
fn record(variant: Variant, file: &Path, options: &[&str]) -> Result<(Vec<Truth>, Traced)> {
    let executable = variant.build(&["computes"])?.program("computes");
    let mut program = Program::start(&executable, &[])?;
    program.truth()?;
    let recorder = Tracer::record(program.pid(), file, options)?;
    program.say("go")?;
    let truth = program.truth()?;
    recorder.interrupt()?;
    let traced = recorder.finish()?;
    ensure!(program.is_running(), "the program did not outlive the recorder");
    ensure!(traced.code == Some(0), "record ended with {:?}: {}", traced.code, traced.stderr);
    Ok((truth, traced))
}

/// By task: all that was found of what it computes.
fn samples(file: &Path) -> Result<HashMap<String, CpuSamples>> {
    let mut found: HashMap<String, CpuSamples> = HashMap::new();
    for update in Reader::open(std::fs::File::open(file)?)? {
        let Update::Trace(events) = update else { continue };
        for event in events {
            let (task, cpu) = match &event {
                TraceEvent::LongPoll { task, poll, .. } => (task, &poll.cpu),
                TraceEvent::LongPollLasts { task, cpu, .. } => (task, cpu),
                _ => continue,
            };
            found.entry(task.id.to_string()).or_default().merge(cpu);
        }
    }
    Ok(found)
}

fn check_one(truth: &Truth, traced: &Traced, all: &HashMap<String, CpuSamples>) -> Result<()> {
    let Truth::Computes { id, case, function, first, last, calls } = truth else {
        anyhow::bail!("unexpected truth {truth:?}");
    };
    let told: Vec<_> = traced.lines.iter().filter(|line| line.task() == Some(id)).collect();
    let told = told.iter().filter_map(|line| match line {
        Line::Blocked { on_cpu, stack, samples, .. } => Some((*on_cpu, stack, *samples)),
        _ => None,
    });
    let told: Vec<(bool, &Vec<CodeFrame>, _)> = told.collect();
    let cpu = all.get(id);
    if case == "yields" {
        ensure!(told.is_empty() && cpu.is_none(), "told: {told:?}, {cpu:?}");
        return Ok(());
    }
    let is_there = |name: Option<&str>, line: Option<u32>| {
        name.is_some_and(|name| name.starts_with(function.as_str()))
            && line.is_some_and(|line| (*first..=*last).contains(&line))
    };

    // As it was told while it lasted.
    let [(true, stack, Some(samples))] = told[..] else { anyhow::bail!("told: {told:?}") };
    ensure!(samples.here >= 1 && samples.here + samples.unknown <= samples.count, "{samples:?}");
    let own = stack.iter().find(|frame| frame.own_code).context("no own code")?;
    ensure!(is_there(own.function.as_deref(), own.line), "at {own:?}: {stack:#?}");
    let end = stack.last().and_then(|frame| frame.function.as_deref()).unwrap_or_default();
    ensure!(end.starts_with("tokio::runtime::task::"), "it ends at {end}: {stack:#?}");

    // All of it. What it does before and after is next to nothing.
    let cpu = cpu.context("no samples")?;
    let found: u64 = cpu.spots.iter().map(|spot| spot.count).sum();
    ensure!(cpu.count >= 3 && found + cpu.unknown <= cpu.count, "{cpu:?}");
    ensure!(cpu.unknown * 4 <= cpu.count, "{} of {} samples are unknown", cpu.unknown, cpu.count);
    for spot in &cpu.spots {
        let own = spot.own().with_context(|| format!("no own code: {spot:#?}"))?;
        let line = own.line.as_ref().map(|line| line.line);
        ensure!(is_there(own.function.as_deref(), line), "at {own:?}: {spot:#?}");
    }
    let called =
        |name: &&str| cpu.spots.iter().any(|spot| spot.function().is_some_and(|f| f.starts_with(*name)));
    ensure!(
        Some(calls.as_str()).filter(|calls| !calls.is_empty()).as_ref().is_none_or(called),
        "no {calls}: {cpu:#?}"
    );
    Ok(())
}

fn check(variant: Variant) {
    if !rights::root_or_skip("computes") {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("computes.rec");
    let (truth, traced) = record(variant, &file, &["--blocked-after", LONG]).expect("a recording");
    assert_eq!(truth.len(), 5);
    let all = samples(&file).expect("it can be read");
    let wrong: Vec<String> = truth
        .iter()
        .filter_map(|one| check_one(one, &traced, &all).err().map(|why| format!("{one:?}: {why}")))
        .collect();
    assert!(wrong.is_empty(), "{}:\n{}\n{}", variant.name(), wrong.join("\n"), traced.stderr);
}

#[test]
fn latest() {
    check(Variant::release(Tokio::Latest));
}

#[test]
fn latest_fully_optimized() {
    let base = Variant::release(Tokio::Latest);
    check(Variant { lto: Lto::Fat, codegen_units: 1, panic: Panic::Abort, mangling: Mangling::V0, ..base });
}

#[test]
fn what_is_not_asked_for_is_not_looked_at() {
    if !rights::root_or_skip("what_is_not_asked_for_is_not_looked_at") {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("computes.rec");
    let asked = ["--blocked-after", "0"];
    let (truth, traced) = record(Variant::release(Tokio::Latest), &file, &asked).expect("a recording");
    assert_eq!(truth.len(), 5);
    assert!(samples(&file).expect("it can be read").is_empty(), "{}", traced.stderr);
}
