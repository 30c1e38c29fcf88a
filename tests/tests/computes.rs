//! What a poll computes, and at which line, is what the program says of itself.

use anyhow::{Context, Result, bail, ensure};
use async_inspect::model::Update;
use async_inspect::record::Reader;
use async_inspect::trace::{CpuSamples, TraceEvent};
use aya::sys::{Stats, enable_stats};
use e2e::long_polls::{LONG, check_each, ends_at_a_poll, lines_of};
use e2e::schema::{CodeFrame, Line};
use e2e::tracer::{Traced, Tracer};
use e2e::{Program, Tokio, Truth, Variant, rights};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::time::Duration;

/// Tasks of the program that compute for long within a poll.
const COMPUTE: usize = 4;
/// Of so many strikes of their clocks one at least is a sample, whoever they are for.
const MORE: u64 = 50;

fn waiting(variant: Variant, program: &str, arguments: &[&str]) -> Result<Program> {
    let executable = variant.build(&[program])?.program(program);
    let mut program = Program::start(&executable, arguments)?;
    program.truth()?;
    Ok(program)
}

/// Records the program from before its start signal until it has said its truth.
fn record(variant: Variant, file: &Path, options: &[&str]) -> Result<(Vec<Truth>, Traced)> {
    let mut program = waiting(variant, "computes", &[])?;
    let recorder = Tracer::record(program.pid(), file, options)?;
    program.say("go")?;
    let truth = program.truth()?;
    recorder.interrupt()?;
    let traced = recorder.finish()?;
    ensure!(program.is_running(), "the program did not outlive the recorder");
    ensure!(traced.code == Some(0), "record ended with {:?}: {}", traced.code, traced.stderr);
    Ok((truth, traced))
}

fn events(file: &Path) -> Result<Vec<TraceEvent>> {
    let mut found = Vec::new();
    for update in Reader::open(std::fs::File::open(file)?)? {
        if let Update::Trace(events) = update {
            found.extend(events);
        }
    }
    Ok(found)
}

/// By task: all that was found of what it computes.
fn samples(file: &Path) -> Result<HashMap<String, CpuSamples>> {
    let mut found: HashMap<String, CpuSamples> = HashMap::new();
    for event in events(file)? {
        let (task, cpu) = match &event {
            TraceEvent::LongPoll { task, poll, .. } => (task, &poll.cpu),
            TraceEvent::LongPollLasts { task, cpu, .. } => (task, cpu),
            _ => continue,
        };
        found.entry(task.id.to_string()).or_default().merge(cpu);
    }
    Ok(found)
}

fn check_one(truth: &Truth, traced: &Traced, all: &HashMap<String, CpuSamples>) -> Result<()> {
    let Truth::Computes { id, case, function, first, last, calls } = truth else {
        bail!("unexpected truth {truth:?}");
    };
    let told = lines_of(traced, id).filter_map(|line| match line {
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
    let [(true, stack, Some(samples))] = told[..] else { bail!("told: {told:?}") };
    ensure!(samples.here >= 1 && samples.here + samples.unknown <= samples.count, "{samples:?}");
    let own = stack.iter().find(|frame| frame.own_code).context("no own code")?;
    ensure!(is_there(own.function.as_deref(), own.line), "at {own:?}: {stack:#?}");
    ends_at_a_poll(stack)?;

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
    let recorded = record(variant, &file, &["--blocked-after", LONG]).expect("a recording");
    let all = samples(&file).expect("it can be read");
    check_each(variant, &recorded, |truth, traced| check_one(truth, traced, &all));
}

#[test]
fn latest() {
    check(Variant::release(Tokio::Latest));
}

#[test]
fn latest_fully_optimized() {
    check(Variant::smallest(Tokio::Latest));
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

/// Reads on until all that compute for long are told.
fn wait_until_told(recorder: &mut Tracer) -> Result<()> {
    let mut told = HashSet::new();
    while told.len() < COMPUTE {
        let line = recorder.line()?.context("it ended before all were told")?;
        if let Line::Blocked { task, .. } = line {
            told.insert(task);
        }
    }
    Ok(())
}

/// When a long poll began; whether it was said to be over when it was told again, if it was; looks at what it computes.
type LastTold = (u64, Option<bool>, u64);

/// By task: its last long poll.
fn last_told(file: &Path) -> Result<BTreeMap<u64, LastTold>> {
    let mut found = BTreeMap::new();
    for event in events(file)? {
        match event {
            TraceEvent::LongPoll { task, poll, .. } => {
                found.insert(task.id, (poll.since_ns, None, poll.cpu.count));
            }
            TraceEvent::LongPollLasts { task, since_ns, over, cpu, .. } => {
                let (began_ns, lasts, count) = found.get_mut(&task.id).context("what was not told lasts")?;
                ensure!(*began_ns == since_ns, "another poll lasts");
                (*lasts, *count) = (Some(over), *count + cpu.count);
            }
            _ => {}
        }
    }
    Ok(found)
}

/// Records tasks that compute on and on, to what ends it.
fn record_to_the_end(name: &str, end: impl FnOnce(Program, &Tracer) -> Result<()>) -> Result<()> {
    if !rights::root_or_skip(name) {
        return Ok(());
    }
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("computes.rec");
    let _counted = enable_stats(Stats::RunTime)?;
    let mut program = waiting(Variant::release(Tokio::Latest), "computes", &["on"])?;
    let mut recorder = Tracer::record(program.pid(), &file, &["--blocked-after", LONG])?;
    program.say("go")?;
    wait_until_told(&mut recorder)?;
    let before = strikes(&recorder)?;
    while strikes(&recorder)? < before + MORE {
        ensure!(program.is_running(), "no clock strikes");
        std::thread::sleep(Duration::from_millis(5));
    }
    end(program, &recorder)?;
    let traced = recorder.finish()?;
    ensure!(traced.code == Some(0), "record ended with {:?}: {}", traced.code, traced.stderr);
    let told = last_told(&file)?;
    ensure!(told.len() == COMPUTE, "{told:?}");
    // Not over: nobody saw its end.
    ensure!(told.values().all(|(_, lasts, _)| *lasts == Some(false)), "{told:?}");
    ensure!(told.values().any(|(_, _, count)| *count > 0), "{told:?}");
    Ok(())
}

#[test]
fn an_interrupted_recording_has_all_up_to_then() {
    let interrupted =
        record_to_the_end("an_interrupted_recording_has_all_up_to_then", |mut program, recorder| {
            recorder.interrupt()?;
            // It is there until the probes are out.
            std::thread::sleep(Duration::from_millis(500));
            ensure!(program.is_running(), "the program did not outlive the recorder");
            Ok(())
        });
    interrupted.expect("all is told");
}

#[test]
fn a_recording_of_what_was_killed_has_all_up_to_then() {
    let killed = record_to_the_end("a_recording_of_what_was_killed_has_all_up_to_then", |program, _| {
        drop(program);
        Ok(())
    });
    killed.expect("all is told");
}

/// How often the clocks' program has run, whoever it interrupted, by the kernel's count.
fn strikes(recorder: &Tracer) -> Result<u64> {
    const BPF_PROG_TYPE_PERF_EVENT: &str = "7";
    let mut found = HashMap::new();
    for entry in std::fs::read_dir(format!("/proc/{}/fdinfo", recorder.pid()))? {
        // Clocks come and go.
        let Ok(text) = std::fs::read_to_string(entry?.path()) else { continue };
        let field = |name| text.lines().find_map(|line| Some(line.strip_prefix(name)?.trim()));
        if field("prog_type:") == Some(BPF_PROG_TYPE_PERF_EVENT)
            && let (Some(id), Some(runs)) = (field("prog_id:"), field("run_cnt:"))
        {
            found.insert(id.to_owned(), runs.parse()?);
        }
    }
    ensure!(!found.is_empty(), "the clocks' program is not there");
    Ok(found.values().sum())
}

/// Nor is anybody else interrupted: not the CPUs that idle, nor those that run other programs, as this one.
#[test]
fn no_clock_strikes_while_no_poll_is_long() {
    if !rights::root_or_skip("no_clock_strikes_while_no_poll_is_long") {
        return;
    }
    // Longer than a thread that polls briefly is ever made to wait.
    let very_long = ["--blocked-after", "1000"];
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("healthy.rec");
    let _counted = enable_stats(Stats::RunTime).expect("the kernel counts");
    let latest = Variant::release(Tokio::Latest);

    let busy = waiting(latest, "busy", &[]).expect("starts");
    let recorder = Tracer::record(busy.pid(), &file, &very_long).expect("records");
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(strikes(&recorder).expect("the kernel says"), 0);
    recorder.interrupt().expect("it is there");
    assert_eq!(recorder.finish().expect("ends").code, Some(0));

    let mut computes = waiting(latest, "computes", &["on"]).expect("starts");
    let file = directory.path().join("computes.rec");
    let mut recorder = Tracer::record(computes.pid(), &file, &very_long).expect("records");
    assert_eq!(strikes(&recorder).expect("the kernel says"), 0);
    computes.say("go").expect("it listens");
    wait_until_told(&mut recorder).expect("all is told");
    assert!(strikes(&recorder).expect("the kernel says") > 0);
}
