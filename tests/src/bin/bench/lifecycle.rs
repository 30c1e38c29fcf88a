//! How long the tool takes to come and go, and what it keeps in memory.

use crate::document::Table;
use crate::empty_session;
use crate::observer::EXACT;
use crate::statistics::shown;
use crate::subject::{Peer, Subject, build, poll_functions};
use crate::tables::Effort;
use anyhow::Result;
use std::time::Duration;

/// Traced for so long before it is told to go.
const WINDOW: Duration = Duration::from_secs(1);

/// Program, arguments, and what it is.
const PROGRAMS: [(&str, &[&str], &str); 6] = [
    ("ping_pong", &["32"], "ping-pong, 64 tasks"),
    ("server", &[], "axum server, idle"),
    ("types_500", &[], "500 types of tasks"),
    ("types_1000", &[], "1,000 types of tasks"),
    ("types_1000", &["quiet"], "1,000 types of tasks, all waiting"),
    ("yields", &["100000", "2", "steady"], "100,000 tasks, all ready"),
];

pub fn measure(effort: Effort) -> Result<Vec<Table>> {
    let rounds = effort.rounds(7);
    let head = [
        "program",
        "poll functions",
        "attach, ms",
        "first poll told of, ms",
        "detach, ms",
        "peak memory, MiB",
        "an empty session in, ms",
        "and out, ms",
    ];
    let window = effort.span(WINDOW);
    let note = format!(
        "`attach --json --max-overhead 100` for {window:?}, its index on disk from a run before; {rounds} interleaved rounds. \
         Attach: from the start of the command to `ready`, when probes are live and all tasks were read once; detach: from \
         Ctrl-C to the end of the process. An empty session on the same poll functions: the one system call that puts it in, and the \
         one that takes it out."
    );
    let mut table = Table::new("Coming and going", note, &head);
    let mut measured: Vec<[Vec<f64>; 6]> = PROGRAMS.iter().map(|_| Default::default()).collect();
    // The first round writes the indexes, and is not counted.
    for round in 0..=rounds {
        for ((program, arguments, _), columns) in PROGRAMS.iter().zip(&mut measured) {
            let figures = once(program, arguments, effort)?;
            if round > 0 {
                columns.iter_mut().zip(figures).for_each(|(column, figure)| column.extend(figure));
            }
        }
    }
    for ((program, _, what), columns) in PROGRAMS.iter().zip(&measured) {
        let functions = poll_functions(&build(Peer::Nothing, program)?)?.len();
        let mut cells = vec![(*what).to_owned(), functions.to_string()];
        cells.extend(columns.iter().map(|column| shown(column, 0)));
        table.rows.push(cells);
    }
    Ok(vec![table])
}

/// Attach, first poll, detach in milliseconds, MiB; and an empty session in and out.
fn once(program: &str, arguments: &[&str], effort: Effort) -> Result<[Option<f64>; 6]> {
    let subject = Subject::start(&build(Peer::Nothing, program)?, arguments)?;
    let watching = EXACT.attach(&subject)?;
    std::thread::sleep(effort.span(WINDOW));
    let peak = watching.peak_mib()?;
    let millis = |span: Duration| span.as_secs_f64() * 1000.0;
    let idle = subject.address.is_some() || arguments.contains(&"quiet");
    let (attach, first) = watching.took(!idle)?;
    let left = watching.detach()?;
    let [came, went] = empty_session::come_and_go(&subject.executable, subject.pid())?.map(millis).map(Some);
    Ok([Some(millis(attach)), first.map(millis), Some(millis(left.took)), Some(peak), came, went])
}
