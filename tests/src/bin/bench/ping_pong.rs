//! What a poll costs whom it is observed by: pairs of tasks on two workers hand a message to and fro.

use crate::document::Table;
use crate::observer::{CAUSES, DEFAULT, EXACT, NO_LONG_POLLS, Observer, Question, SAMPLED, STARTS};
use crate::statistics::{Spread, shown};
use crate::subject::{Peer, Subject, build};
use crate::tables::Effort;
use anyhow::Result;
use std::time::Duration;

const PAIRS: &str = "32";
const WARM_UP: Duration = Duration::from_millis(200);
const WINDOW: Duration = Duration::from_secs(1);

/// Nanoseconds of processor time for each poll.
#[derive(Default)]
struct Row {
    of_target: Vec<f64>,
    /// Over the untraced run of the same round.
    gained: Vec<f64>,
    of_observer: Vec<f64>,
    /// Events lost for each poll.
    lost: Vec<f64>,
    failure: Option<String>,
}

fn subjects() -> Vec<(Peer, Observer)> {
    let peers = Peer::ALL.map(|peer| (peer, Observer::Nobody));
    let questions = [Question::Entries, Question::EntriesAndReturns, Question::Durations];
    let bpftrace = questions.map(|question| (Peer::Nothing, Observer::Bpftrace(question)));
    let ours =
        [EXACT, STARTS, CAUSES, NO_LONG_POLLS, DEFAULT, SAMPLED].map(|observer| (Peer::Nothing, observer));
    let untraced = (Peer::Nothing, Observer::Nobody);
    let empty = (Peer::Nothing, Observer::EmptySession);
    [untraced, empty].into_iter().chain(ours).chain(bpftrace).chain(peers).collect()
}

pub fn measure(effort: Effort) -> Result<Vec<Table>> {
    let subjects = subjects();
    for (peer, _) in &subjects {
        build(*peer, "ping_pong")?;
    }
    let rounds = effort.rounds(9);
    let mut rows: Vec<Row> = subjects.iter().map(|_| Row::default()).collect();
    for _ in 0..rounds {
        for ((peer, observer), row) in subjects.iter().zip(&mut rows) {
            if row.failure.is_none()
                && let Err(error) = row.add(*peer, *observer, effort)
            {
                row.failure = Some(format!("{error:#}"));
            }
        }
        let untraced = rows[0].of_target.clone();
        for row in &mut rows {
            // A row that failed ends with an earlier round.
            row.gained = row.of_target.iter().zip(&untraced).map(|(with, without)| with - without).collect();
        }
    }
    Ok(vec![table(&subjects, &rows, rounds, effort.span(WINDOW))])
}

impl Row {
    fn add(&mut self, peer: Peer, observer: Observer, effort: Effort) -> Result<()> {
        let mut subject = Subject::start(&build(peer, "ping_pong")?, &[PAIRS])?;
        let watching = observer.attach(&subject)?;
        std::thread::sleep(effort.span(WARM_UP));
        let begin = watching.cpu_ns()?;
        let sums = subject.window(effort.span(WINDOW))?;
        let polls = sums.polls.max(1) as f64;
        self.of_observer.push((watching.cpu_ns()? - begin) as f64 / polls);
        let left = watching.detach()?;
        self.lost.extend(left.lost.map(|lost| lost as f64 / polls));
        self.of_target.push(sums.cpu_per_poll());
        Ok(())
    }
}

fn table(subjects: &[(Peer, Observer)], rows: &[Row], rounds: u32, window: Duration) -> Table {
    let head = [
        "observed by",
        "CPU of the target for a poll, ns",
        "gained, ns",
        "× an empty session",
        "× bpftrace entry + return",
        "× console-subscriber",
        "CPU of the observer's process for a poll, ns",
        "events lost",
    ];
    let note = format!(
        "{PAIRS} pairs of tasks hand a message to and fro through `mpsc` channels on two workers. {rounds} interleaved rounds of \
         {window:?}; processor time of all threads of the target, traps included, over the polls it counted; what is gained, \
         over the untraced run of the same round. Of the peers each task, and where the crate is about awaits each await of \
         the program's own, is instrumented. With `--blocked-after 0` nobody looks for polls that take long, nor for time off CPU; what \
         long polls compute costs nothing where there are none, as here. Ratios are of medians."
    );
    let mut table = Table::new("A poll of a ping-pong", note, &head);
    let gained = |peer: Peer, observer: Observer| {
        let nth = subjects.iter().position(|subject| *subject == (peer, observer))?;
        Some(Spread::of(&rows[nth].gained)?.median)
    };
    let references = [
        gained(Peer::Nothing, Observer::EmptySession),
        gained(Peer::Nothing, Observer::Bpftrace(Question::EntriesAndReturns)),
        gained(Peer::ConsoleSubscriber, Observer::Nobody),
    ];
    for (&(peer, observer), row) in subjects.iter().zip(rows) {
        let name = if peer == Peer::Nothing { observer.name() } else { peer.name().to_owned() };
        if let Some(failure) = &row.failure {
            let mut cells = vec![name, format!("not measured: {failure}")];
            cells.resize(head.len(), String::new());
            table.rows.push(cells);
            continue;
        }
        let untraced = (peer, observer) == (Peer::Nothing, Observer::Nobody);
        let ratio = |reference: &Option<f64>| match (Spread::of(&row.gained), reference) {
            (Some(own), Some(reference)) if !untraced => format!("{:.2}", own.median / reference),
            _ => String::new(),
        };
        let lost =
            Spread::of(&row.lost).map_or_else(String::new, |lost| format!("{:.1} %", lost.median * 100.0));
        let mut cells = vec![name, shown(&row.of_target, 0)];
        cells.push(if untraced { String::new() } else { shown(&row.gained, 0) });
        cells.extend(references.iter().map(ratio));
        let own = matches!(observer, Observer::Attach(_) | Observer::Record | Observer::Bpftrace(_));
        cells.push(if own { shown(&row.of_observer, 0) } else { String::new() });
        cells.push(lost);
        table.rows.push(cells);
    }
    table
}
