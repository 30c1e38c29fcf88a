//! What a poll costs as a program grows: deeper nesting, more tasks, more poll functions.

use crate::document::Table;
use crate::observer::{EXACT, Observer};
use crate::statistics::{Spread, shown};
use crate::subject::{Peer, Subject, build, poll_functions};
use crate::tables::Effort;
use anyhow::Result;
use std::time::Duration;

const WARM_UP: Duration = Duration::from_millis(150);
const WINDOW: Duration = Duration::from_millis(500);

/// One size of the program, and what was measured of it: nanoseconds of processor time for a poll.
struct Size {
    label: Vec<String>,
    program: &'static str,
    arguments: Vec<String>,
    untraced: Vec<f64>,
    /// Over the untraced windows before and after, in the same process.
    by_empty_session: Vec<f64>,
    by_trace: Vec<f64>,
}

impl Size {
    fn new(label: &[&str], program: &'static str, arguments: &[&str]) -> Size {
        let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        Size {
            label: owned(label),
            program,
            arguments: owned(arguments),
            untraced: Vec::new(),
            by_empty_session: Vec::new(),
            by_trace: Vec::new(),
        }
    }

    fn measure(&mut self, effort: Effort) -> Result<()> {
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        let mut subject = Subject::start(&build(Peer::Nothing, self.program)?, &arguments)?;
        let mut under = |observer: Observer| -> Result<f64> {
            let watching = observer.attach(&subject)?;
            std::thread::sleep(effort.span(WARM_UP));
            let sums = subject.window(effort.span(WINDOW))?;
            watching.detach()?;
            Ok(sums.cpu_per_poll())
        };
        let before = under(Observer::Nobody)?;
        let empty = under(Observer::EmptySession)?;
        let between = under(Observer::Nobody)?;
        let traced = under(EXACT)?;
        let after = under(Observer::Nobody)?;
        self.untraced.extend([before, between, after]);
        self.by_empty_session.push(empty - (before + between) / 2.0);
        self.by_trace.push(traced - (between + after) / 2.0);
        Ok(())
    }

    fn cells(&self) -> Vec<String> {
        let ratio = match (Spread::of(&self.by_trace), Spread::of(&self.by_empty_session)) {
            (Some(traced), Some(empty)) => format!("{:.2}", traced.median / empty.median),
            _ => String::new(),
        };
        let figures = [&self.untraced, &self.by_empty_session, &self.by_trace].map(|column| shown(column, 0));
        self.label.iter().cloned().chain(figures).chain([ratio]).collect()
    }
}

/// Measures all sizes in interleaved rounds.
fn grow(
    title: &str,
    how: &str,
    label: &[&str],
    mut sizes: Vec<Size>,
    rounds: u32,
    effort: Effort,
) -> Result<Table> {
    for size in &sizes {
        build(Peer::Nothing, size.program)?;
    }
    for _ in 0..rounds {
        for size in &mut sizes {
            size.measure(effort)?;
        }
    }
    let figures = ["untraced, ns", "gained by an empty session, ns", "gained by `attach`, ns", "×"];
    let head: Vec<&str> = label.iter().copied().chain(figures).collect();
    let window = effort.span(WINDOW);
    let note = format!(
        "{how} Processor time of the target for a poll, {rounds} interleaved rounds of {window:?} a window; what is gained, over \
         the untraced windows before and after in the same process. `attach --json --max-overhead 100`. Ratios are of medians."
    );
    let mut table = Table::new(title, note, &head);
    table.rows = sizes.iter().map(Size::cells).collect();
    Ok(table)
}

pub fn depth(effort: Effort) -> Result<Vec<Table>> {
    let kinds = [("steady", "the same await"), ("alternating", "another await")];
    let sizes = kinds.iter().flat_map(|(kind, after)| {
        ["1", "2", "4", "8", "16"].map(|depth| Size::new(&[depth, after], "yields", &["64", depth, kind]))
    });
    let how = "64 tasks on two workers, each so many async fns deep, that wake themselves in each poll, and stand at the \
               same await after it as before or at another.";
    let label = ["levels", "after a poll, a task stands at"];
    let table = grow("A poll by nesting", how, &label, sizes.collect(), effort.rounds(4), effort)?;
    Ok(vec![table])
}

pub fn tasks(effort: Effort) -> Result<Vec<Table>> {
    let counts: &[&str] = match effort {
        Effort::Quick => &["10", "1000", "100000"],
        _ => &["10", "100", "1000", "10000", "100000", "1000000"],
    };
    let sizes = counts.iter().map(|count| Size::new(&[count], "yields", &[count, "2", "steady"]));
    let how = "So many tasks on two workers, all of them ready all the time.";
    let table =
        grow("A poll by number of tasks", how, &["tasks"], sizes.collect(), effort.rounds(3), effort)?;
    Ok(vec![table])
}

pub fn sites(effort: Effort) -> Result<Vec<Table>> {
    let programs = ["types_5", "types_50", "types_500", "types_1000"];
    let mut sizes = Vec::new();
    for program in programs {
        let functions = poll_functions(&build(Peer::Nothing, program)?)?.len().to_string();
        sizes.push(Size::new(&[&functions], program, &[]));
    }
    let how = "A program with so many poll functions, two for each type of task and one of the blocking pool; one task of each \
               type, always ready, on two workers.";
    let label = ["poll functions"];
    let table = grow("A poll by number of poll functions", how, &label, sizes, effort.rounds(5), effort)?;
    Ok(vec![table])
}
