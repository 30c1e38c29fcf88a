//! Tasks that wait for one task, and only then spawn the next.

use crate::analysis::{Answer, Case, Finding, FoundPlace, Lint, Part, sentence};
use crate::decode::{Certainty, FrameId};
use crate::model::{Model, Sequence};
use std::cmp::Reverse;

pub struct SequentialAwaits;

/// Met as often, and waited for as long on average, ns: it is worth a look.
const OFTEN: u64 = 3;
const WORTH_NS: u64 = 5_000_000;
/// Pairs that are told.
const TOLD: usize = 10;

impl Lint for SequentialAwaits {
    fn name(&self) -> &'static str {
        "sequential-awaits"
    }

    fn what(&self) -> &'static str {
        "a task that is spawned only after another was waited for, time and again"
    }

    fn needs_trees(&self) -> bool {
        true
    }

    fn look(&self, case: &Case<'_>) -> Answer {
        let Some(model) = case.watched.filter(|model| model.mode().counts_polls()) else {
            return Answer::Blind("when tasks are born is not watched");
        };
        let often = model.sequences().filter(|pair| pair.seen >= OFTEN);
        let worth = |pair: &&Sequence| {
            let stays = [pair.first, pair.second].map(|place| mean_stay(model, pair, place));
            pair.first == pair.second || stays.into_iter().all(|stay| stay.is_some_and(|ns| ns >= WORTH_NS))
        };
        let mut pairs: Vec<&Sequence> = often.filter(worth).collect();
        pairs.sort_by_key(|pair| (Reverse(pair.seen), pair.last));
        Answer::of(pairs.into_iter().take(TOLD).map(|pair| finding(case, model, pair)).collect())
    }
}

fn finding(case: &Case<'_>, model: &Model, pair: &Sequence) -> Finding {
    let place = |id: FrameId| {
        let frame = case.frames().get(id);
        FoundPlace { function: frame.function.clone(), line: frame.line.clone() }
    };
    let (first, second) = (place(pair.first), place(pair.second));
    let mut message = sentence![&pair.name, " waits for one task, and only then spawns the next"];
    if let (Some(first), Some(second)) = (&first.line, &second.line) {
        message.append(sentence![": at ", first, " and then at ", second]);
    }
    let mut evidence = sentence![Part::Count(pair.seen), " snapshots met it"];
    let stays = [pair.first, pair.second].map(|place| mean_stay(model, pair, place));
    if let [Some(one), Some(other)] = stays {
        evidence.append(sentence![
            "; the waits take ",
            Part::Span(one),
            " and ",
            Part::Span(other),
            " on average"
        ]);
    }
    evidence.add("; whether the second needs what the first gives is not known");
    Finding {
        lint: SequentialAwaits.name(),
        certainty: Certainty::Possible,
        tasks: vec![pair.last],
        places: if first == second { vec![first] } else { vec![first, second] },
        resources: Vec::new(),
        message,
        evidence: vec![evidence],
        remedy: "if the second does not need the result of the first, spawn both and then wait: tokio::join!, or a JoinSet",
    }
}

/// Of those of its name that have left that await again, ns.
fn mean_stay(model: &Model, pair: &Sequence, place: FrameId) -> Option<u64> {
    let here = model.places().find(|totals| totals.place == place && totals.task_name == pair.name)?;
    here.spent_ns.checked_div(here.departures)
}
