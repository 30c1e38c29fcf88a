//! Polls that sleep, in a call that nothing else explains.

use crate::analysis::stalls::{self, AGAIN, Stall, stalls};
use crate::analysis::{Answer, Case, Finding, Lint, Part, Sentence, sentence};

pub struct BlockedExecutor;

impl Lint for BlockedExecutor {
    fn name(&self) -> &'static str {
        "blocked-executor"
    }

    fn what(&self) -> &'static str {
        "polls whose thread sleeps in a system call, so that no other task of it goes on"
    }

    fn look(&self, case: &Case<'_>) -> Answer {
        let found: Vec<Finding> = stalls(case)
            .iter()
            .filter(|stall| stall.call.is_none())
            .map(|stall| finding(case, stall))
            .collect();
        answer(case, found)
    }
}

/// Of a lint that looks for threads asleep within polls.
pub(super) fn answer(case: &Case<'_>, found: Vec<Finding>) -> Answer {
    if let Some(why) = stalls::blind(case) {
        return Answer::Blind(why);
    }
    let asleep = |(poll, _): (&crate::decode::ThreadPoll, _)| poll.asleep == Some(true);
    if found.is_empty() && !case.read_twice && case.polls().any(asleep) {
        return Answer::LookAgain(AGAIN);
    }
    Answer::of(found)
}

fn finding(case: &Case<'_>, stall: &Stall) -> Finding {
    let mut message = stall.who();
    let kept = if stall.tasks.len() == 1 { " kept its thread" } else { " kept their threads" };
    message.append(sentence![kept, " asleep within a poll"]);
    at(&mut message, stall);
    message.append(sentence![", for ", Part::Span(stall.ns), ": nothing else ran there"]);
    Finding {
        lint: BlockedExecutor.name(),
        certainty: stall.certainty(),
        tasks: stall.tasks.clone(),
        places: stall.places(case),
        resources: Vec::new(),
        message,
        evidence: [stall.how(), stall.how_long()].into_iter().chain(stall.lock(case)).collect(),
        remedy: "await what this call waits for, or make the call in tokio::task::spawn_blocking",
    }
}

pub(super) fn at(message: &mut Sentence, stall: &Stall) {
    if let Some(line) = &stall.place.line {
        message.append(sentence![" at ", line]);
    }
}
