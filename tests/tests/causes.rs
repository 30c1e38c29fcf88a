//! Who woke, spawned and ended which task equals what the program noted itself, use for use.

use anyhow::Result;
use e2e::schema::Line;
use e2e::tracer::{Traced, Tracer};
use e2e::{Lto, Mangling, Panic, Program, Tokio, Truth, Variant, rights};
use std::collections::{BTreeMap, HashMap};

/// Traces `causes` from before its start signal to its end.
fn trace(variant: Variant, options: &[&str]) -> Result<(Vec<Truth>, Traced)> {
    e2e::tracer::trace(variant, "causes", &[], options)
}

/// What the trace says of one task.
#[derive(Debug, Default)]
struct Told {
    parent: Option<String>,
    existing: bool,
    woken: BTreeMap<String, u64>,
    polls: u64,
    delays: u64,
    delayed_ns: u64,
    longest_delay_ns: u64,
    /// Lines at which it was cancelled.
    cancelled_at: Vec<Option<u32>>,
    panics: u64,
}

impl Told {
    /// The longest is of the task up to a line, the sum only of what came since the line before.
    fn longest_is_beyond(&self) -> bool {
        self.longest_delay_ns > self.delayed_ns
    }
}

fn doer(task: Option<&String>, thread: Option<u32>) -> Option<String> {
    task.map(|id| format!("task {id}")).or(thread.map(|tid| format!("thread {tid}")))
}

fn told(traced: &Traced) -> HashMap<String, Told> {
    let mut tasks: HashMap<String, Told> = HashMap::new();
    for line in &traced.lines {
        let Some(task) = line.task() else { continue };
        let told = tasks.entry(task.to_string()).or_default();
        match line {
            Line::Spawn { parent, parent_thread, existing, .. } => {
                told.parent = doer(parent.as_ref(), *parent_thread);
                told.existing = *existing;
            }
            Line::Parent { parent, parent_thread, .. } => {
                told.parent = doer(parent.as_ref(), *parent_thread);
            }
            Line::Wake { waker, waker_thread, .. } => {
                let by = doer(waker.as_ref(), *waker_thread).unwrap_or_default();
                *told.woken.entry(by).or_default() += 1;
            }
            Line::Poll { count, .. } => told.polls += count,
            Line::Delay { count, sum_ns, max_ns, .. } => {
                told.delays += count;
                told.delayed_ns += sum_ns;
                told.longest_delay_ns = told.longest_delay_ns.max(*max_ns);
            }
            Line::Cancel { at, .. } => told.cancelled_at.push(at.as_ref().and_then(|at| at.line)),
            Line::Panic { .. } => told.panics += 1,
            _ => {}
        }
    }
    tasks
}

/// All that differs, as text. `parents`: whether this tokio tells who spawns.
fn differences(truth: &[Truth], traced: &Traced, parents: bool) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut tasks = told(traced);
    let mut wakes = 0;
    for line in truth {
        let Truth::Caused { id, parent, polls, woken, aborted_at, panics } = line else {
            wrong.push(format!("unexpected truth {line:?}"));
            continue;
        };
        let told = tasks.remove(id).unwrap_or_default();
        wakes += woken.values().sum::<u64>();
        // A task that is aborted is polled once more, to be dropped.
        let all_polls = polls + u64::from(aborted_at.is_some());
        let mut compare = |what: &str, got: String, expected: String| {
            if got != expected {
                wrong.push(format!("task {id}: {what} {got}, not {expected}"));
            }
        };
        compare("woken", format!("{:?}", told.woken), format!("{woken:?}"));
        let expected = Some(parent).filter(|_| parents && !told.existing);
        compare("parent", format!("{:?}", told.parent.as_ref()), format!("{expected:?}"));
        let cancelled: Vec<_> = aborted_at.iter().map(|line| Some(*line)).collect();
        compare("cancelled at", format!("{:?}", told.cancelled_at), format!("{cancelled:?}"));
        compare(
            "its longest delay beyond the sum of all",
            told.longest_is_beyond().to_string(),
            false.to_string(),
        );
        compare("panics", told.panics.to_string(), u64::from(*panics).to_string());
        if told.existing {
            compare("polls", (told.polls + 1).to_string(), all_polls.to_string());
        } else {
            compare("polls", told.polls.to_string(), all_polls.to_string());
        }
        // Each poll but the first follows a wake. That of an abort may as well, and what woke a task before we looked is not seen.
        match aborted_at.is_some() || told.existing {
            true if told.delays <= *polls => {}
            true => wrong.push(format!("task {id}: {} delays in {polls} polls", told.delays)),
            false => compare("delays", told.delays.to_string(), (polls - 1).to_string()),
        }
    }
    wrong.extend(tasks.keys().map(|id| format!("task {id} does not exist")));
    match traced.totals() {
        Some(totals) if totals.wakes == Some(wakes) && totals.lost == 0 => {}
        totals => wrong.push(format!("{totals:?}, of {wakes} wakes")),
    }
    wrong
}

fn check(variant: Variant, parents: bool) {
    if !rights::root_or_skip("causes") {
        return;
    }
    let (truth, traced) = trace(variant, &[]).expect("a trace");
    let wrong = differences(&truth, &traced, parents);
    let shown = wrong.iter().take(20).map(String::as_str).collect::<Vec<_>>().join("\n");
    assert!(wrong.is_empty(), "{}: {} differences\n{shown}", variant.name(), wrong.len());
    let said = traced.stderr.contains("who spawned a task is not seen");
    assert_eq!(said, !parents, "{}", traced.stderr);
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
fn latest() {
    check(Variant::release(Tokio::Latest), true);
}

#[test]
fn latest_in_one_unit() {
    check(Variant::in_one_unit(Tokio::Latest), true);
}

#[test]
fn latest_fully_optimized() {
    check(optimized(Tokio::Latest), true);
}

#[test]
fn tokio_1_43() {
    check(Variant::release(Tokio::V1_43), true);
}

#[test]
fn tokio_1_38_fully_optimized() {
    check(optimized(Tokio::V1_38), true);
}

#[test]
fn tokio_1_28_tells_no_parents() {
    check(Variant::release(Tokio::V1_28), false);
}

#[test]
fn what_is_not_asked_for_is_not_seen() {
    if !rights::root_or_skip("what_is_not_asked_for_is_not_seen") {
        return;
    }
    let variant = Variant::release(Tokio::Latest);
    let (_, traced) = trace(variant, &["--no-events"]).expect("a trace");
    let none = told(&traced).into_values().all(|told| told.woken.is_empty() && told.parent.is_none());
    assert!(none && traced.totals().is_some_and(|totals| totals.wakes.is_none()));
    let (_, traced) = trace(variant, &["--events", "scheduling"]).expect("a trace");
    let tasks = told(&traced);
    assert!(tasks.values().all(|told| told.woken.is_empty() && told.parent.is_none()));
    assert!(tasks.values().any(|told| told.delays > 0));
    assert!(traced.totals().and_then(|totals| totals.wakes).is_some_and(|wakes| wakes > 1000));
}

/// Wakes and spawns are watched by default where that is not dear, and it is not in any of these.
#[test]
fn no_tokio_is_dear_to_watch() {
    if !rights::root_or_skip("no_tokio_is_dear_to_watch") {
        return;
    }
    let (latest, old) = (Variant::release(Tokio::Latest), Variant::release(Tokio::V1_43));
    for variant in [latest, Variant::in_one_unit(Tokio::Latest), optimized(Tokio::Latest), old] {
        let executable = variant.build(&["causes"]).expect("builds").program("causes");
        let mut program = Program::start(&executable, &[]).expect("starts");
        program.truth().expect("waits");
        let mut command = e2e::inspector::command();
        command.args(["attach", "--json", "-d", "1"]).arg(program.pid().to_string());
        let traced = Tracer::spawn(command).expect("starts").finish().expect("ends");
        assert_eq!(traced.code, Some(0), "{}", traced.stderr);
        let watched = traced.totals().is_some_and(|totals| totals.wakes.is_some());
        assert!(watched && !traced.stderr.contains("not watched"), "{}: {}", variant.name(), traced.stderr);
    }
}

/// There a wake that was answered before its probe was hit cannot be told from one that was not.
#[test]
fn entry_probes_alone_tell_wakes_and_no_delays() {
    if !rights::root_or_skip("entry_probes_alone_tell_wakes_and_no_delays") {
        return;
    }
    let variant = Variant::release(Tokio::Latest);
    let (truth, traced) = trace(variant, &["--entry-only"]).expect("a trace");
    let wakes: u64 = truth
        .iter()
        .map(|line| match line {
            Truth::Caused { woken, .. } => woken.values().sum(),
            _ => 0,
        })
        .sum();
    assert_eq!(traced.totals().and_then(|totals| totals.wakes), Some(wakes));
    assert!(told(&traced).values().all(|told| told.delays == 0));
}
