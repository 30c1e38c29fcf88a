//! Tasks that were cancelled while they awaited something: what stood behind that await was not done.

use crate::analysis::{Answer, Case, Finding, FoundPlace, Lint, Part, sentence};
use crate::decode::Certainty;
use std::cmp::Reverse;

pub struct Cancelled;

/// Places that are told.
const TOLD: usize = 10;

impl Lint for Cancelled {
    fn name(&self) -> &'static str {
        "cancelled-mid-await"
    }

    fn what(&self) -> &'static str {
        "tasks that were cancelled in the middle, counted by the line that they awaited at"
    }

    fn look(&self, case: &Case<'_>) -> Answer {
        let Some(model) = case.watched.filter(|model| model.mode().counts_polls()) else {
            return Answer::Blind("ends of tasks are not watched");
        };
        let mut places: Vec<_> = model.cancels().collect();
        places.sort_by_key(|cancels| (Reverse(cancels.count), cancels.last));
        let found = places.into_iter().take(TOLD).map(|cancels| {
            let frame = case.frames().get(cancels.place);
            let many = if cancels.count == 1 { " task " } else { " tasks " };
            let mut message = sentence![Part::Count(cancels.count), many, &cancels.name, " cancelled"];
            if let Some(line) = &frame.line {
                message.append(sentence![" at ", line]);
            }
            Finding {
                lint: self.name(),
                // That they were is certain; whether it was meant is not.
                certainty: Certainty::Possible,
                tasks: vec![cancels.last],
                places: vec![FoundPlace { function: frame.function.clone(), line: frame.line.clone() }],
                resources: Vec::new(),
                message,
                evidence: vec![sentence!["what stands behind that await was not done; the last was ", cancels.last]],
                remedy: "make sure that all before this await may stand alone, or finish it in a task of its own",
            }
        });
        Answer::of(found.collect())
    }
}
