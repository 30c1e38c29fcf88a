//! What a request to an axum server costs whom it is observed by.

use crate::document::Table;
use crate::observer::{DEFAULT, EXACT, Observer, SAMPLED};
use crate::statistics::{Spread, confidence, shown};
use crate::subject::{Peer, Subject, build};
use crate::tables::Effort;
use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const CONNECTIONS: &str = "32";
const WARM_UP: Duration = Duration::from_millis(200);
const WINDOW: Duration = Duration::from_millis(1200);

/// What the load program tells.
#[derive(Deserialize)]
struct Load {
    requests_per_second: f64,
    p50_us: f64,
    p99_us: f64,
}

/// One run.
struct Run {
    cpu_us: f64,
    polls: f64,
    observer_us: f64,
    load: Load,
}

/// A run between two untraced ones.
#[derive(Default)]
struct Row {
    runs: Vec<Run>,
    /// Over the mean of both neighbours, as a share.
    cpu_rise: Vec<f64>,
    p99_rise: Vec<f64>,
    failure: Option<String>,
}

fn subjects() -> Vec<(Peer, Observer)> {
    let ours = [DEFAULT, EXACT, SAMPLED, Observer::Record].map(|observer| (Peer::Nothing, observer));
    ours.into_iter().chain(Peer::ALL.map(|peer| (peer, Observer::Nobody))).collect()
}

pub fn measure(effort: Effort) -> Result<Vec<Table>> {
    let subjects = subjects();
    for (peer, _) in &subjects {
        build(*peer, "server")?;
    }
    let load = build(Peer::Nothing, "load")?;
    let rounds = effort.rounds(15);
    let mut rows: Vec<Row> = subjects.iter().map(|_| Row::default()).collect();
    let mut untraced = vec![run(Peer::Nothing, Observer::Nobody, &load, effort)?];
    for _ in 0..rounds {
        for ((peer, observer), row) in subjects.iter().zip(&mut rows) {
            if row.failure.is_some() {
                continue;
            }
            match run(*peer, *observer, &load, effort) {
                Ok(own) => {
                    let after = run(Peer::Nothing, Observer::Nobody, &load, effort)?;
                    row.add(own, untraced.last().context("one came first")?, &after);
                    untraced.push(after);
                }
                Err(error) => row.failure = Some(format!("{error:#}")),
            }
        }
    }
    Ok(vec![table(&subjects, &untraced, &rows, rounds, effort.span(WINDOW))])
}

fn run(peer: Peer, observer: Observer, load: &Path, effort: Effort) -> Result<Run> {
    let mut subject = Subject::start(&build(peer, "server")?, &[])?;
    let watching = observer.attach(&subject)?;
    let begin = watching.cpu_ns()?;
    let (sums, output) = subject.during(|subject| {
        let address = subject.address.as_deref().context("a server has an address")?;
        let millis = |span| effort.span(span).as_millis().to_string();
        let arguments = [address, CONNECTIONS, &millis(WARM_UP), &millis(WINDOW)];
        Ok(Command::new(load).args(arguments).output()?)
    })?;
    ensure!(output.status.success(), "the load failed: {}", String::from_utf8_lossy(&output.stderr));
    let observer_ns = watching.cpu_ns()? - begin;
    watching.detach()?;
    Ok(Run {
        cpu_us: sums.cpu_per_request() / 1000.0,
        polls: sums.polls as f64 / sums.requests.max(1) as f64,
        observer_us: observer_ns as f64 / 1000.0 / sums.requests.max(1) as f64,
        load: serde_json::from_slice(&output.stdout)?,
    })
}

impl Row {
    fn add(&mut self, own: Run, before: &Run, after: &Run) {
        let rise = |of: fn(&Run) -> f64| of(&own) / ((of(before) + of(after)) / 2.0) - 1.0;
        self.cpu_rise.push(rise(|run| run.cpu_us));
        self.p99_rise.push(rise(|run| run.load.p99_us));
        self.runs.push(own);
    }
}

fn of(runs: &[Run], what: impl Fn(&Run) -> f64) -> Vec<f64> {
    runs.iter().map(what).collect()
}

/// A median and the bounds of confidence in it, in percent.
fn percent(shares: &[f64]) -> String {
    let Some(spread) = Spread::of(shares) else { return "-".to_owned() };
    let bounds = confidence(shares)
        .map(|(low, high)| format!(" [{:+.1}, {:+.1}]", low * 100.0, high * 100.0))
        .unwrap_or_default();
    format!("{:+.1} %{bounds}", spread.median * 100.0)
}

fn table(
    subjects: &[(Peer, Observer)],
    untraced: &[Run],
    rows: &[Row],
    rounds: u32,
    window: Duration,
) -> Table {
    let head = [
        "observed by",
        "CPU for a request, µs",
        "rise of it [95 % confidence]",
        "requests/s",
        "p50, µs",
        "p99, µs",
        "rise of p99 [95 % confidence]",
        "CPU of the observer's process for a request, µs",
    ];
    let polls = Spread::of(&of(untraced, |run| run.polls)).map_or(0.0, |polls| polls.median);
    let note = format!(
        "axum on hyper with two workers, a task for each of {CONNECTIONS} keep-alive connections, each with one request under \
         way, from one client thread on the same two cores; {polls:.1} polls for a request. {rounds} rounds of {window:?} a run; \
         each run stands between two untraced ones, and its rise is over their mean. Bounds are of the median, by bootstrap, \
         and given of six rounds or more."
    );
    let mut table = Table::new("An axum server under load", note, &head);
    let measured = |name: String, runs: &[Run], rises: [String; 2], own: String| {
        let [cpu_rise, p99_rise] = rises;
        vec![
            name,
            shown(&of(runs, |run| run.cpu_us), 2),
            cpu_rise,
            shown(&of(runs, |run| run.load.requests_per_second), 0),
            shown(&of(runs, |run| run.load.p50_us), 0),
            shown(&of(runs, |run| run.load.p99_us), 0),
            p99_rise,
            own,
        ]
    };
    let nothing = || [String::new(), String::new()];
    table.rows.push(measured(Observer::Nobody.name(), untraced, nothing(), String::new()));
    for (&(peer, observer), row) in subjects.iter().zip(rows) {
        let name = if peer == Peer::Nothing { observer.name() } else { peer.name().to_owned() };
        if let Some(failure) = &row.failure {
            let mut cells = vec![name, format!("not measured: {failure}")];
            cells.resize(head.len(), String::new());
            table.rows.push(cells);
            continue;
        }
        let rises = [percent(&row.cpu_rise), percent(&row.p99_rise)];
        let own = of(&row.runs, |run| run.observer_us);
        let own = if peer == Peer::Nothing { shown(&own, 2) } else { String::new() };
        table.rows.push(measured(name, &row.runs, rises, own));
    }
    table
}
