//! Polls that are under way for so long that they seem to have no end.

use super::cpu_bound_poll::answer;
use crate::analysis::computing::{Computing, computing};
use crate::analysis::{Answer, Case, Finding, Lint, Part, sentence};

pub struct NeverYields;

/// What ends at all has ended by then.
const ENDLESS_NS: u64 = 1_000_000_000;

impl NeverYields {
    pub(super) const REMEDY: &str =
        "compute in tokio::task::spawn_blocking (or rayon), or yield_now().await between parts of it";
}

impl Lint for NeverYields {
    fn name(&self) -> &'static str {
        "never-yields"
    }

    fn what(&self) -> &'static str {
        "polls under way that have run for a second and more and do not return"
    }

    fn look(&self, case: &Case<'_>) -> Answer {
        answer(case, computing(case).iter().filter(|one| is_so(one)).map(finding).collect())
    }
}

pub(super) fn is_so(one: &Computing) -> bool {
    !one.over && one.lasts_ns >= ENDLESS_NS && one.ns >= one.lasts_ns / 10
}

fn finding(one: &Computing) -> Finding {
    let mut message = one.who();
    message.append(sentence![
        " does not yield: it has been polled for ",
        Part::Span(one.lasts_ns),
        ", computing"
    ]);
    message.append(one.from());
    one.doing().into_iter().for_each(|doing| message.append(doing));
    Finding {
        lint: NeverYields.name(),
        certainty: one.certainty(),
        tasks: one.tasks.clone(),
        places: vec![one.place.clone()],
        resources: Vec::new(),
        message,
        evidence: one.evidence(),
        remedy: NeverYields::REMEDY,
    }
}
