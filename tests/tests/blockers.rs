//! What holds up a poll, and how long its thread was off CPU, equals what the program says of itself.

use anyhow::{Context, Result, ensure};
use e2e::long_polls::{LONG, check_each, ends_at_a_poll, lines_of};
use e2e::schema::{CodeFrame, Line};
use e2e::tracer::Traced;
use e2e::{Tokio, Truth, Variant, rights, slowness};

/// The program reads how long it ran from /proc, where the kernel brings it up to date at ticks: up to 10 ms, at the beginning and
/// at the end.
const INEXACT_NS: u64 = 20_000_000;

fn trace(variant: Variant, options: &[&str]) -> Result<(Vec<Truth>, Traced)> {
    e2e::tracer::trace(variant, "blockers", &[], options)
}

/// A long poll, as it was told.
#[derive(Debug)]
struct Long<'t> {
    for_ns: u64,
    on_cpu: bool,
    system_call: Option<&'t str>,
    stack: &'t [CodeFrame],
}

fn long_polls<'t>(traced: &'t Traced, id: &str) -> Vec<Long<'t>> {
    let long = lines_of(traced, id).filter_map(|line| match line {
        Line::Blocked { for_ns, on_cpu, system_call, stack, .. } => {
            Some(Long { for_ns: *for_ns, on_cpu: *on_cpu, system_call: system_call.as_deref(), stack })
        }
        _ => None,
    });
    long.collect()
}

/// Duration of a task's polls, the part of it off CPU, and the part of that asleep. None if any poll does not tell.
fn times(traced: &Traced, id: &str) -> Option<[u64; 3]> {
    let mut sums = [0; 3];
    for line in lines_of(traced, id) {
        if let Line::Poll { duration_ns, off_cpu_ns, blocked_ns, .. } = line {
            let told = [(*duration_ns)?, (*off_cpu_ns)?, (*blocked_ns)?];
            sums.iter_mut().zip(told).for_each(|(sum, told)| *sum += told);
        }
    }
    Some(sums)
}

/// System calls that a case may sleep in; none if it does not sleep.
fn calls(case: &str) -> &'static [&'static str] {
    match case {
        "sleep" => &["clock_nanosleep", "nanosleep"],
        "read" => &["read"],
        "lock" => &["futex"],
        _ => &[],
    }
}

fn check_one(truth: &Truth, traced: &Traced) -> Result<()> {
    let Truth::HeldUp { id, case, function, line, wall_ns, cpu_ns } = truth else {
        anyhow::bail!("unexpected truth {truth:?}");
    };
    let long = long_polls(traced, id);
    let [duration, off_cpu, blocked] = times(traced, id).context("a poll does not tell its times")?;
    ensure!(blocked <= off_cpu && off_cpu <= duration, "{blocked} of {off_cpu} of {duration}");
    if case == "healthy" {
        ensure!(long.is_empty(), "told: {long:?}");
        return Ok(());
    }
    let calls = calls(case);
    // On an emulated processor the way to a sleep may take longer than LONG, and is told as what it is: computing.
    let emulated = slowness() > 1 && !calls.is_empty();
    let long: Vec<Long<'_>> = long.into_iter().filter(|told| !(emulated && told.on_cpu)).collect();
    let [told] = &long[..] else { anyhow::bail!("told {} times: {long:?}", long.len()) };
    ensure!(told.on_cpu == calls.is_empty(), "{told:?}");
    ensure!(told.for_ns >= 300_000_000 && told.for_ns <= duration, "{} of {duration}", told.for_ns);
    // By the program's own clocks, which its poll is around.
    ensure!(duration >= *wall_ns, "{duration}, not {wall_ns}");
    let slept = wall_ns.saturating_sub(*cpu_ns + INEXACT_NS);
    let ran = cpu_ns.saturating_sub(INEXACT_NS);
    ensure!((duration - off_cpu) * 10 >= ran * 9, "on CPU {}, not {ran}", duration - off_cpu);
    if calls.is_empty() {
        ensure!(told.system_call.is_none(), "{told:?}");
        // What it did not run the machine may have spent on interrupts: the thread was on its CPU all the same.
        ensure!(blocked * 10 <= duration, "asleep {blocked} of {duration}");
        return Ok(());
    }
    // On an emulated machine some of what passed was no CPU's to give: the program took it for sleep, and nobody else.
    let least = if emulated { slept * 7 } else { slept * 9 };
    ensure!(blocked * 10 >= least, "asleep {blocked}, not {slept}");
    ensure!(told.system_call.is_some_and(|call| calls.contains(&call)), "{told:?}");
    // `measured` is a part of the function that calls it, and its closure of the line that holds up.
    let at = |frame: &&CodeFrame| frame.function.as_deref() == Some(function) && frame.line == Some(*line);
    let found = told.stack.iter().find(at).with_context(|| format!("not at {function}:{line}: {told:#?}"))?;
    ensure!(
        found.own_code && found.file.as_deref().is_some_and(|f| f.ends_with("src/blockers.rs")),
        "{found:?}"
    );
    let first = told.stack.first().context("a stack")?;
    ensure!(!first.own_code, "{first:?}");
    ends_at_a_poll(told.stack)
}

fn check(variant: Variant) {
    if !rights::root_or_skip("blockers") {
        return;
    }
    let traced = trace(variant, &["--blocked-after", LONG]).expect("a trace");
    check_each(variant, &traced, check_one);
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
fn tokio_1_38() {
    check(Variant::release(Tokio::V1_38));
}

#[test]
fn what_is_not_asked_for_is_not_watched() {
    if !rights::root_or_skip("what_is_not_asked_for_is_not_watched") {
        return;
    }
    let (truth, traced) = trace(Variant::release(Tokio::Latest), &["--blocked-after", "0"]).expect("a trace");
    assert_eq!(truth.len(), 5);
    assert!(!traced.lines.iter().any(|line| matches!(line, Line::Blocked { .. })));
    let told = |line: &Line| matches!(line, Line::Poll { off_cpu_ns: Some(_), .. });
    assert!(!traced.lines.iter().any(told));
}
