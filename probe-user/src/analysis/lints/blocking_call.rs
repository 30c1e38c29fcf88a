//! Calls that block their thread, made within a poll, for which async code has another way.

use super::blocked_executor::{answer, at};
use crate::analysis::stalls::{Stall, stalls};
use crate::analysis::{Answer, Case, Finding, Lint, Part, sentence};
use crate::runtime::BlockingCall;

pub struct BlockingCalls;

impl Lint for BlockingCalls {
    fn name(&self) -> &'static str {
        "blocking-call"
    }

    fn what(&self) -> &'static str {
        "blocking calls within polls: std's sleep, files, sockets, processes, locks and channels, and block_on"
    }

    fn look(&self, case: &Case<'_>) -> Answer {
        let one = |stall: &Stall| stall.call.map(|call| finding(case, stall, call));
        answer(case, stalls(case).iter().filter_map(one).collect())
    }
}

fn finding(case: &Case<'_>, stall: &Stall, call: BlockingCall) -> Finding {
    let mut message = stall.who();
    let blocks = if stall.tasks.len() == 1 { " blocks its thread in " } else { " block their threads in " };
    message.append(sentence![blocks, call.what]);
    at(&mut message, stall);
    let up_to = if stall.count > 1 { ", for up to " } else { ", for " };
    message.append(sentence![up_to, Part::Span(stall.ns)]);
    let mut evidence = vec![stall.how(), stall.how_long()];
    if call.lock {
        evidence.extend(stall.lock(case));
    }
    Finding {
        lint: BlockingCalls.name(),
        certainty: stall.certainty(),
        tasks: stall.tasks.clone(),
        places: stall.places(case),
        resources: Vec::new(),
        message,
        evidence,
        remedy: call.remedy,
    }
}
