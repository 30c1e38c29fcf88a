//! What a request to an axum server costs whom it is observed by.

use crate::document::Table;
use crate::observer::{DEFAULT, EXACT, Observer, SAMPLED};
use crate::statistics::{Spread, mean, shown};
use crate::subject::{Peer, Subject, Sums, build};
use crate::tables::Effort;
use anyhow::{Context as _, Result, ensure};
use nix::unistd::Pid;
use serde::Deserialize;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const CONNECTIONS: &str = "32";
/// Of both servers together. What coming costs is another table's.
const WARM_UP: Duration = Duration::from_millis(1500);
/// Of each of the two servers.
const WINDOW: Duration = Duration::from_millis(4800);
/// Far shorter than what slows such a machine down lasts, far longer than a request.
const SLICE: Duration = Duration::from_millis(50);
/// Of rows where it is asked whether some percent or none, and of the others.
const CLOSE: u32 = 20;
const CLEAR: u32 = 8;

/// What the load program tells.
#[derive(Deserialize)]
struct Load {
    requests_per_second: f64,
    p50_us: f64,
    p99_us: f64,
}

/// A server in its slices of a run.
struct Run {
    cpu_us: f64,
    polls: f64,
    observer_us: f64,
    load: Load,
}

/// A server that is observed and one that is not, which took turns.
struct Pair {
    own: Run,
    untraced: Run,
}

/// Pairs of the same processes.
struct Round(Vec<Pair>);

#[derive(Default)]
struct Row {
    rounds: Vec<Round>,
    failure: Option<String>,
}

/// With one that nobody observes either, which tells what a rise of nothing looks like.
fn subjects() -> Vec<(Peer, Observer)> {
    let ours = [Observer::Nobody, DEFAULT, EXACT, SAMPLED, Observer::Record];
    let ours = ours.map(|observer| (Peer::Nothing, observer));
    ours.into_iter().chain(Peer::ALL.map(|peer| (peer, Observer::Nobody))).collect()
}

pub fn measure(effort: Effort) -> Result<Vec<Table>> {
    let subjects = subjects();
    for (peer, _) in &subjects {
        build(*peer, "server")?;
    }
    let load = build(Peer::Nothing, "load")?;
    let rounds: Vec<u32> = subjects.iter().map(|subject| effort.rounds(asked(*subject))).collect();
    let most = rounds.iter().copied().max().unwrap_or(0);
    let mut rows: Vec<Row> = subjects.iter().map(|_| Row::default()).collect();
    for round in 0..most {
        for (((peer, observer), rounds), row) in subjects.iter().zip(&rounds).zip(&mut rows) {
            // A row of fewer rounds leaves out some here and there.
            let left_out = (round + 1) * rounds / most == round * rounds / most;
            if row.failure.is_some() || left_out {
                continue;
            }
            match one(*peer, *observer, &load, effort) {
                Ok(round) => row.rounds.push(round),
                Err(error) => row.failure = Some(format!("{error:#}")),
            }
        }
    }
    Ok(vec![table(&subjects, &rows, effort.span(WINDOW))])
}

/// How often it is measured.
fn asked((peer, observer): (Peer, Observer)) -> u32 {
    let close = match peer {
        Peer::Nothing => observer != EXACT,
        peer => peer == Peer::AsyncBacktrace,
    };
    if close { CLOSE } else { CLEAR }
}

/// Of two servers that are built alike each is observed in turn: no two processes run alike, and what is theirs falls out.
fn one(peer: Peer, observer: Observer, load: &Path, effort: Effort) -> Result<Round> {
    let mut untraced = Subject::start(&build(Peer::Nothing, "server")?, &[])?;
    let mut subject = Subject::start(&build(peer, "server")?, &[])?;
    let window = effort.span(WINDOW);
    if peer != Peer::Nothing {
        return Ok(Round(vec![pair([&mut subject, &mut untraced], observer, 0, load, window)?]));
    }
    let first = pair([&mut subject, &mut untraced], observer, 0, load, window / 2)?;
    Ok(Round(vec![first, pair([&mut untraced, &mut subject], observer, 1, load, window / 2)?]))
}

/// The first is observed, or built with a peer, and has this turn of two. `window`: of each of them.
fn pair(
    [subject, untraced]: [&mut Subject; 2],
    observer: Observer,
    turn: usize,
    load: &Path,
    window: Duration,
) -> Result<Pair> {
    let watching = observer.attach(subject)?;
    let mut servers = [server(subject, watching.pid())?, server(untraced, None)?];
    servers.rotate_right(turn);
    drive(load, &servers, WARM_UP)?;
    let begin = watching.cpu_ns()?;
    let drive = |_: &Subject| drive(load, &servers, 2 * window);
    let (untraced_sums, (sums, mut loads)) = untraced.during(|_| subject.during(drive))?;
    let observer_ns = watching.cpu_ns()? - begin;
    watching.detach()?;
    loads.rotate_left(turn);
    let [own_load, untraced_load] = loads;
    let run = |sums: Sums, observer_ns: u64, load| Run {
        cpu_us: sums.cpu_per_request() / 1000.0,
        polls: sums.polls as f64 / sums.requests.max(1) as f64,
        observer_us: observer_ns as f64 / 1000.0 / sums.requests.max(1) as f64,
        load,
    };
    Ok(Pair { own: run(sums, observer_ns, own_load), untraced: run(untraced_sums, 0, untraced_load) })
}

/// Both in turns, for so long.
fn drive(load: &Path, servers: &[String; 2], span: Duration) -> Result<[Load; 2]> {
    let [span, slice] = [span, SLICE].map(|span| span.as_millis().to_string());
    let output = Command::new(load).args([CONNECTIONS, "0", &span, &slice]).args(servers).output()?;
    ensure!(output.status.success(), "the load failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// As the load program wants it.
fn server(subject: &Subject, observer: Option<Pid>) -> Result<String> {
    let address = subject.address.as_deref().context("a server has an address")?;
    Ok(observer.map_or(address.to_owned(), |pid| format!("{address}/{pid}")))
}

impl Row {
    fn pairs(&self) -> impl Iterator<Item = &Pair> {
        self.rounds.iter().flat_map(|round| &round.0)
    }

    /// As logarithms, of each round; of several pairs their mean.
    fn rises(&self, of: fn(&Run) -> f64) -> Vec<f64> {
        let rise = |Round(pairs): &Round| {
            let logarithms = pairs.iter().map(|pair| (of(&pair.own) / of(&pair.untraced)).ln());
            logarithms.sum::<f64>() / pairs.len() as f64
        };
        self.rounds.iter().map(rise).collect()
    }
}

fn of<'a>(runs: impl IntoIterator<Item = &'a Run>, what: impl Fn(&Run) -> f64) -> Vec<f64> {
    runs.into_iter().map(what).collect()
}

/// A mean of logarithms and the bounds of confidence in it, in percent.
fn percent(logarithms: &[f64]) -> String {
    let Some((mean, bounds)) = mean(logarithms) else { return "-".to_owned() };
    let percent = |logarithm: f64| logarithm.exp_m1() * 100.0;
    let bounds = bounds
        .map(|(low, high)| format!(" [{:+.1}, {:+.1}]", percent(low), percent(high)))
        .unwrap_or_default();
    format!("{:+.1} %{bounds}", percent(mean))
}

fn table(subjects: &[(Peer, Observer)], rows: &[Row], window: Duration) -> Table {
    let head = [
        "observed by",
        "runs",
        "CPU for a request, µs",
        "rise of it [95 % confidence]",
        "requests/s",
        "p50, µs",
        "p99, µs",
        "rise of p99 [95 % confidence]",
        "CPU of the observer's process for a request, µs",
    ];
    let untraced = || rows.iter().flat_map(Row::pairs).map(|pair| &pair.untraced);
    let polls = Spread::of(&of(untraced(), |run| run.polls)).map_or(0.0, |polls| polls.median);
    let note = format!(
        "axum on hyper with two workers, a task for each of {CONNECTIONS} keep-alive connections, each with one request under \
         way, from one client thread on the same two cores; {polls:.1} polls for a request. Each run is of a server beside an \
         untraced one: both take turns of {SLICE:?}, {window:?} each in all, so that what slows the machine slows both; for each \
         turn clients connect anew; the observer is stopped in the other's turns. Without a peer built in the two servers \
         change parts after half of the time. What is measured begins {WARM_UP:?} after the observer came. A rise is over the \
         untraced server of the same run: the geometric mean of all runs, and bounds of it (Student)."
    );
    let mut table = Table::new("An axum server under load", note, &head);
    let measured = |name: String, count: usize, runs: Vec<&Run>, rises: [String; 2], own: String| {
        let [cpu_rise, p99_rise] = rises;
        let of = |what: fn(&Run) -> f64| of(runs.iter().copied(), what);
        vec![
            name,
            count.to_string(),
            shown(&of(|run| run.cpu_us), 2),
            cpu_rise,
            shown(&of(|run| run.load.requests_per_second), 0),
            shown(&of(|run| run.load.p50_us), 0),
            shown(&of(|run| run.load.p99_us), 0),
            p99_rise,
            own,
        ]
    };
    let nothing = [String::new(), String::new()];
    table.rows.push(measured(
        "untraced, of all runs".to_owned(),
        rows.iter().map(|row| row.rounds.len()).sum(),
        untraced().collect(),
        nothing,
        String::new(),
    ));
    for (&(peer, observer), row) in subjects.iter().zip(rows) {
        let name = match (peer, observer) {
            (Peer::Nothing, Observer::Nobody) => "untraced as well".to_owned(),
            (Peer::Nothing, observer) => observer.name(),
            (peer, _) => peer.name().to_owned(),
        };
        if let Some(failure) = &row.failure {
            let mut cells = vec![name, format!("not measured: {failure}")];
            cells.resize(head.len(), String::new());
            table.rows.push(cells);
            continue;
        }
        let rises = [percent(&row.rises(|run| run.cpu_us)), percent(&row.rises(|run| run.load.p99_us))];
        let own: Vec<&Run> = row.pairs().map(|pair| &pair.own).collect();
        let observers = of(own.iter().copied(), |run| run.observer_us);
        let observers = if observer == Observer::Nobody { String::new() } else { shown(&observers, 2) };
        table.rows.push(measured(name, row.rounds.len(), own, rises, observers));
    }
    table
}
