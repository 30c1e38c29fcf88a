//! `--max-overhead`: what the probes cost the target is known, shown and kept.

use e2e::schema::Line;
use e2e::tracer::{Traced, Tracer};
use e2e::{Program, Tokio, Variant, inspector, rights};
use std::time::{Duration, Instant};

/// So long, and longer where the machine is so busy that it took long to take probes out, which then has to be made up for.
const USUALLY: Duration = Duration::from_secs(8);

/// Traces a program that does nothing but poll, for some seconds, with these options; until its probes have gone out and in again, if
/// that is to be seen.
fn traced(options: &[&str], goes_out: bool) -> Option<(Traced, u64)> {
    if !rights::root_or_skip("the budget") {
        return None;
    }
    let executable = Variant::release(Tokio::Latest).build(&["busy"]).expect("builds").program("busy");
    let mut program = Program::start(&executable, &[]).expect("starts");
    program.truth().expect("it says that it waits");
    let mut command = inspector::command();
    command.args(["attach", "--json", "-d", "80"]).args(options).arg(program.pid().to_string());
    let mut tracer = Tracer::spawn(command).expect("starts");
    let (begin, mut is_enough) = (Instant::now(), !goes_out);
    while begin.elapsed() < USUALLY || !is_enough {
        let Some(line) = tracer.line().expect("a line") else { break };
        is_enough |= matches!(&line, Line::Budget { probes, .. } if probes == "in");
    }
    tracer.interrupt().expect("it runs");
    let traced = tracer.finish().expect("ends");
    assert_eq!(traced.code, Some(0), "{}", traced.stderr);
    program.finish().expect("it ends when it is told to");
    let last: serde_json::Value =
        serde_json::from_str(program.printed.last().expect("it counts")).expect("a line of JSON");
    Some((traced, last["polls"].as_u64().expect("a count")))
}

#[test]
fn probes_go_out_when_they_have_cost_enough() {
    let Some((traced, polls)) = traced(&[], true) else { return };
    let cost = traced.cost().expect("the last line says what it cost");
    let changes = traced.budget_changes();
    println!(
        "{cost:?}, {} changes, {} of {polls} polls seen",
        changes.len(),
        traced.totals().expect("an end").polls
    );
    // Watched all the time, most of what this program does would be our doing.
    assert!(changes.starts_with(&[false, true]), "out, and in again: {changes:?}");
    assert!(changes.windows(2).all(|pair| pair[0] != pair[1]), "one after the other: {changes:?}");
    // 2 % are asked for. On a busy machine it takes long to take probes out, and so much more may pass; seconds are too short to
    // make up for all of that.
    let (probes_ns, target_ns) = (cost.probes_ns.expect("a price"), cost.target_ns.expect("it ran"));
    let share = probes_ns as f64 / target_ns as f64;
    assert!(share < 0.2, "{share}");
    assert!(cost.probes_out_ns > 3 * Duration::from_secs(1).as_nanos() as u64, "{cost:?}");
    let seen = traced.totals().expect("an end").polls;
    assert!(seen > 0 && seen < polls / 2, "{seen} of {polls} polls were seen");
    // In and out, nothing is counted in one way and not in the other.
    let (timed, delays) = traced.timed();
    assert_eq!((timed, delays), (seen, traced.delays()), "polls and delays in histograms, and by task");
    let mut out = false;
    let mut rounds = 0;
    for line in &traced.lines {
        match line {
            Line::Budget { probes, sampling_hz, .. } => {
                out = probes == "out";
                assert!(out || sampling_hz.is_none(), "{line:?}");
            }
            Line::Sample { looks, missed, period_ns, threads, .. } => {
                assert!(out && *threads > 0 && *looks + *missed > 0 && *period_ns > 0, "{line:?}");
                rounds += 1;
            }
            Line::Poll { sampled: true, count, .. } => assert!(out && *count == 0, "{line:?}"),
            _ => {}
        }
    }
    assert!(rounds > 10, "there are looks while the probes are out: {rounds} rounds");
}

#[test]
fn whatever_it_costs() {
    let Some((traced, polls)) = traced(&["--max-overhead", "100"], false) else { return };
    let cost = traced.cost().expect("the last line says what it cost");
    assert!(traced.budget_changes().is_empty());
    assert_eq!(cost.probes_out_ns, 0);
    // Two hits a poll, and each has a price.
    let seen = traced.totals().expect("an end").polls;
    assert!(cost.hits + 32 >= 2 * seen && seen <= polls, "{cost:?}, {seen} of {polls} polls");
    let (probes_ns, target_ns) = (cost.probes_ns.expect("a price"), cost.target_ns.expect("it ran"));
    assert!(probes_ns > target_ns / 4, "such a program does little else: {cost:?}");
}
