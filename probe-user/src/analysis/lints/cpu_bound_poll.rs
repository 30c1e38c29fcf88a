//! Polls that compute for long.

use super::never_yields::{self, NeverYields};
use crate::analysis::computing::{Computing, computing};
use crate::analysis::stalls::{self, AGAIN, LONG, SHORT};
use crate::analysis::{Answer, Case, Finding, Lint, Part, sentence};
use crate::decode::Certainty;

pub struct CpuBoundPoll;

/// Worth a word if it was seen once.
const NOTICEABLE_NS: u64 = 50_000_000;
/// Or if shorter ones were seen so often.
const OFTEN: u64 = 10;

impl Lint for CpuBoundPoll {
    fn name(&self) -> &'static str {
        "cpu-bound-poll"
    }

    fn what(&self) -> &'static str {
        "polls that compute for long, so that no other task of their thread goes on"
    }

    fn look(&self, case: &Case<'_>) -> Answer {
        answer(case, computing(case).iter().filter(|one| is_long(one)).map(finding).collect())
    }
}

/// Of a lint that looks for polls that compute.
pub(super) fn answer(case: &Case<'_>, found: Vec<Finding>) -> Answer {
    if let Some(why) = stalls::blind(case) {
        return Answer::Blind(why);
    }
    let runs = |(poll, _): (&crate::decode::ThreadPoll, _)| {
        poll.asleep == Some(false) && stalls::is_worker(case, poll)
    };
    if found.is_empty() && !case.read_twice && case.polls().any(runs) {
        return Answer::LookAgain(AGAIN);
    }
    Answer::of(found)
}

fn is_long(one: &Computing) -> bool {
    let short = one.ns >= SHORT.as_nanos() as u64 && one.count >= OFTEN;
    (one.ns >= NOTICEABLE_NS || short) && !never_yields::is_so(one)
}

fn finding(one: &Computing) -> Finding {
    let mut message = one.who();
    message.append(sentence![" computed for ", Part::Span(one.ns)]);
    message.append(one.from());
    one.doing().into_iter().for_each(|doing| message.append(doing));
    message.append(sentence![": nothing else ran on that thread"]);
    // While it is under way it may become worse.
    let proven = one.proven && one.over && one.ns >= LONG.as_nanos() as u64;
    Finding {
        lint: CpuBoundPoll.name(),
        certainty: if proven { Certainty::Proven } else { Certainty::Possible },
        tasks: one.tasks.clone(),
        places: vec![one.place.clone()],
        resources: Vec::new(),
        message,
        evidence: one.evidence(),
        remedy: NeverYields::REMEDY,
    }
}
