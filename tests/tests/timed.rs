//! What the kernel's histograms say of polls, and of the waits for them, lies between what the program read off the clock
//! within and around each.

use anyhow::{Context as _, Result};
use e2e::schema::{Classes, Line};
use e2e::tracer::{Traced, Tracer};
use e2e::{Program, Tokio, Truth, Variant, rights};
use std::collections::HashMap;

struct Outcome {
    truth: Vec<Truth>,
    traced: Traced,
}

fn trace(variant: Variant, options: &[&str]) -> Result<Outcome> {
    let (truth, traced) = e2e::tracer::trace(variant, "timed", &[], options)?;
    Ok(Outcome { truth, traced })
}

/// Where the class begins that a time lies in: four of equal width to a power of two, from 2^7 to 2^38 ns.
fn class(ns: u64) -> u64 {
    match ns {
        0..128 => 0,
        0x40_0000_0000.. => 0x40_0000_0000,
        _ => {
            let quarter = 1 << (ns.ilog2() - 2);
            ns / quarter * quarter
        }
    }
}

/// A whole histogram, put together from its parts.
#[derive(Debug, Default)]
struct Sum {
    /// One for each poll: where its class begins; ascending.
    classes: Vec<u64>,
    sum_ns: u64,
    max_ns: u64,
    idle_ns: u64,
}

impl Sum {
    fn add(&mut self, part: &Classes) {
        assert_eq!(part.count, part.classes.iter().map(|(_, count)| count).sum::<u64>(), "{part:?}");
        for (begin, count) in &part.classes {
            assert_eq!(class(*begin), *begin, "no class begins there: {part:?}");
            self.classes.extend((0..*count).map(|_| *begin));
        }
        self.classes.sort_unstable();
        self.sum_ns += part.sum_ns;
        self.max_ns = self.max_ns.max(part.max_ns);
    }

    /// Each time lay between its own `least` and `most`: then so does the longest, the longest but one, and so on; in classes as
    /// well. Sum and maximum are exact, and so are their bounds.
    fn compare(&self, what: &str, least: &[u64], most: &[u64]) -> Vec<String> {
        let sorted = |times: &[u64]| {
            let mut classes: Vec<u64> = times.iter().map(|ns| class(*ns)).collect();
            classes.sort_unstable();
            classes
        };
        let mut wrong = Vec::new();
        if self.classes.len() != least.len() {
            wrong.push(format!("{what}: {} counted of {}", self.classes.len(), least.len()));
        }
        for ((told, least), most) in self.classes.iter().zip(sorted(least)).zip(sorted(most)) {
            if *told < least || *told > most {
                wrong.push(format!("{what}: {told} is not between {least} and {most}"));
            }
        }
        let (least_sum, most_sum) = (least.iter().sum::<u64>(), most.iter().sum::<u64>());
        if self.sum_ns < least_sum || self.sum_ns > most_sum {
            wrong.push(format!("{what}: sum {} is not between {least_sum} and {most_sum}", self.sum_ns));
        }
        let max = |times: &[u64]| times.iter().copied().max().unwrap_or(0);
        if self.max_ns < max(least) || self.max_ns > max(most) {
            wrong.push(format!(
                "{what}: longest {} is not between {} and {}",
                self.max_ns,
                max(least),
                max(most)
            ));
        }
        wrong
    }
}

fn histograms(traced: &Traced) -> HashMap<String, (Sum, Sum)> {
    let mut sums: HashMap<String, (Sum, Sum)> = HashMap::new();
    for line in &traced.lines {
        if let Line::Histogram { name, polls, delays, idle_ns, .. } = line {
            let (all_polls, all_delays) = sums.entry(name.clone()).or_default();
            all_polls.add(polls);
            all_delays.add(delays);
            all_delays.idle_ns += idle_ns;
        }
    }
    sums
}

fn differences(outcome: &Outcome, sees_ends: bool) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    let told = histograms(&outcome.traced);
    for truth in &outcome.truth {
        let Truth::Timed { name, least, most, least_delay, most_delay, idle } = truth else { continue };
        let (polls, delays) = told.get(name).with_context(|| format!("nothing of {name} in {told:?}"))?;
        match sees_ends {
            true => wrong.extend(polls.compare(name, least, most)),
            false => assert!(polls.classes.is_empty(), "durations of what nobody saw end: {polls:?}"),
        }
        // The waits of the others are the runtime's own doing.
        if !least_delay.is_empty() {
            wrong.extend(delays.compare(&format!("delays of {name}"), least_delay, most_delay));
            let (least, most) = if sees_ends { *idle } else { (0, 0) };
            if delays.idle_ns < least || delays.idle_ns > most {
                wrong.push(format!("idle of {name}: {} is not between {least} and {most}", delays.idle_ns));
            }
        }
    }
    Ok(wrong)
}

fn check(variant: Variant, options: &[&str], sees_ends: bool) {
    if !rights::root_or_skip("timed") {
        return;
    }
    let outcome = trace(variant, options).expect("a trace");
    let wrong = differences(&outcome, sees_ends).expect("histograms");
    if sees_ends {
        sums_agree(&outcome.traced);
    }
    let shown = wrong.iter().take(20).map(String::as_str).collect::<Vec<_>>().join("\n");
    assert!(wrong.is_empty(), "{}: {} differences\n{shown}", variant.name(), wrong.len());
}

/// What the tasks' own accounts say, line by line, is what the histograms say.
fn sums_agree(traced: &Traced) {
    let polls: u64 =
        traced.lines.iter().map(|line| if let Line::Poll { count, .. } = line { *count } else { 0 }).sum();
    let (timed, timed_delays) = traced.timed();
    assert_eq!((timed, timed_delays), (polls, traced.delays()));
    let (mut told, mut kinds) = ((0, 0, 0), (0, 0, 0));
    for line in &traced.lines {
        match line {
            Line::Delay { sum_ns, idle_ns, poll_max_ns, .. } => {
                told = (told.0 + sum_ns, told.1 + idle_ns.unwrap_or(0), told.2.max(poll_max_ns.unwrap_or(0)));
            }
            Line::Kind { polls, delays, idle_ns, .. } => {
                kinds = (kinds.0 + delays.sum_ns, kinds.1 + idle_ns, kinds.2.max(polls.max_ns.unwrap_or(0)));
            }
            _ => {}
        }
    }
    assert_eq!(told, kinds, "sum of delays, sum of idleness, longest poll: by task, by kind");
}

/// Wakes for which the ring has no room are lost, said to be, and cost neither a poll nor a delay.
#[test]
fn a_storm_of_wakes_while_nobody_reads() {
    if !rights::root_or_skip("a storm of wakes") {
        return;
    }
    let wakes = 400_000;
    let executable = Variant::release(Tokio::Latest).build(&["timed"]).expect("builds").program("timed");
    let mut program = Program::start(&executable, &["storm", &wakes.to_string()]).expect("starts");
    program.truth().expect("it waits");
    let tracer = Tracer::attach(program.pid(), &["--events", "scheduling,wakes"]).expect("attaches");
    tracer.hold().expect("it runs");
    program.say("go").expect("it listens");
    program.truth().expect("it is over");
    tracer.let_go().expect("it is there");
    tracer.interrupt().expect("it runs");
    let traced = tracer.finish().expect("ends");
    assert_eq!(traced.code, Some(0), "{}", traced.stderr);
    let totals = traced.totals().expect("an end");
    let told = traced.lines.iter().filter(|line| matches!(line, Line::Wake { .. })).count() as u64;
    println!("{told} wakes told, {} lost", traced.lost());
    assert!(traced.lost() > 0, "the ring is larger than the storm");
    assert_eq!((totals.lost, totals.wakes), (traced.lost(), Some(told)));
    assert_eq!(told + traced.lost(), wakes);
    assert_eq!((totals.polls, totals.completed), (wakes + 1, 1));
    assert_eq!(traced.timed(), (wakes + 1, wakes));
    assert_eq!(traced.delays(), wakes);
}

#[test]
fn latest() {
    check(Variant::release(Tokio::Latest), &[], true);
}

#[test]
fn the_oldest() {
    check(Variant::release(Tokio::V1_21), &[], true);
}

#[test]
fn by_perf_events() {
    check(Variant::release(Tokio::Latest), &["--probe-mode", "perf"], true);
}

/// In a tokio whose wakes are probed before they are done; in others these tell no delays.
#[test]
fn waits_are_timed_by_entry_probes_alone() {
    check(Variant::release(Tokio::V1_21), &["--entry-only"], false);
}
