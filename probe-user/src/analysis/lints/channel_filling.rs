//! Channels without a bound that fill: more is sent than is received, until memory is gone.

use crate::analysis::{Answer, Case, Finding, Lint, Part, sentence};
use crate::decode::{Certainty, ResourceKind};
use crate::model::Backlog;
use std::time::Duration;

pub struct ChannelFilling;

/// Readings in which the channel never had less than in the one before, and how long they lasted together.
const LOOKS: u32 = 5;
const LONG_NS: u64 = 1_000_000_000;
/// Messages that came in that time.
const MANY: u64 = 100;

impl Lint for ChannelFilling {
    fn name(&self) -> &'static str {
        "channel-filling"
    }

    fn what(&self) -> &'static str {
        "channels without a bound into which more is sent than is received"
    }

    fn needs_trees(&self) -> bool {
        true
    }

    fn look(&self, case: &Case<'_>) -> Answer {
        let Some(model) = case.watched else {
            return Answer::Blind("how much lies in channels is not watched over time");
        };
        if model.snapshots_taken() < LOOKS {
            return Answer::LookAgain(Duration::from_millis(250));
        }
        let mut filling: Vec<&Backlog> = model.backlogs().filter(|backlog| fills(backlog)).collect();
        filling.sort_unstable_by_key(|backlog| (backlog.receiver, backlog.channel));
        Answer::of(filling.into_iter().filter_map(|backlog| finding(case, backlog)).collect())
    }
}

/// A burst comes once, and then it is worked off: what fills has more at its end than in its middle.
fn fills(backlog: &Backlog) -> bool {
    let (came, ns) = (backlog.last.1 - backlog.first.1, backlog.last.0.saturating_sub(backlog.first.0));
    backlog.looks >= LOOKS && ns >= LONG_NS && came >= MANY && backlog.grew >= LOOKS - 1
}

fn finding(case: &Case<'_>, backlog: &Backlog) -> Option<Finding> {
    let task = case.task(backlog.receiver)?;
    let ((from_ns, before), (to_ns, now)) = (backlog.first, backlog.last);
    let thing = Part::Thing(ResourceKind::Mpsc, backlog.channel);
    let mut at = sentence![Part::Task(task.id), " ", &task.name, " receives from it, and waits"];
    if let Some(line) = case.location(task) {
        at.append(sentence![" at ", &line]);
    }
    Some(Finding {
        lint: "channel-filling",
        certainty: Certainty::Possible,
        tasks: vec![task.id],
        places: vec![case.place(task)],
        resources: vec![backlog.channel],
        message: sentence![
            thing,
            " has no bound, and fills: ",
            Part::Count(now),
            " messages wait for ",
            Part::Task(task.id)
        ],
        evidence: vec![
            sentence![
                "in ",
                Part::Span(to_ns.saturating_sub(from_ns)),
                " they grew from ",
                Part::Count(before),
                " to ",
                Part::Count(now),
                ", and were never fewer than at the reading before"
            ],
            at,
            sentence!["whether it is worked off later is not known"],
        ],
        remedy: "give the channel a bound (mpsc::channel(n)), so that senders wait; or receive faster: recv_many, several \
                 messages at once, less waiting for each",
    })
}
