//! Workers of a runtime that one poll has held for long, by readings of memory: whoever waits for them waits.

use super::calls::own_frame;
use super::stalls::is_worker;
use super::{Case, FoundPlace, Part, Sentence, sentence};
use crate::decode::{Lasting, Task, ThreadPoll};

/// A worker that has not left its task between two readings.
pub(super) struct Held<'a> {
    pub poll: &'a ThreadPoll,
    pub task: &'a Task,
    pub lasting: Lasting,
    /// At least so long, ns.
    pub ns: u64,
    /// Where it is held: the innermost own code of a stack, or the await from which the poll runs.
    pub place: FoundPlace,
}

/// All that are known, in the order of their threads.
pub(super) fn held_workers<'a>(case: &Case<'a>) -> Vec<Held<'a>> {
    let Some(now_ns) = case.snapshot.t_ns else { return Vec::new() };
    let held = |(poll, lasting): (&'a ThreadPoll, Option<Lasting>)| {
        let lasting = lasting.filter(|_| is_worker(case, poll))?;
        let task = case.task(poll.task)?;
        let ns = now_ns.saturating_sub(lasting.since_ns);
        Some(Held { poll, task, lasting, ns, place: place(case, poll, task) })
    };
    case.polls().filter_map(held).collect()
}

fn place(case: &Case<'_>, poll: &ThreadPoll, task: &Task) -> FoundPlace {
    let own = own_frame(&poll.stack).map(|own| &poll.stack[own]);
    let of_frame = |frame: &crate::decode::CodeFrame| {
        Some(FoundPlace { function: frame.function.clone()?, line: frame.line.clone() })
    };
    own.and_then(of_frame).unwrap_or_else(|| case.place(task))
}

impl Held<'_> {
    /// Of that time its thread ran so long, ns. None where the kernel does not say.
    pub fn ran_ns(&self) -> Option<u64> {
        Some(self.poll.ran_ns?.saturating_sub(self.lasting.ran_ns?))
    }

    /// It ran whenever others let it.
    pub fn runs(&self) -> bool {
        self.poll.asleep == Some(false) && self.ran_ns().is_some_and(|ran| ran >= self.ns / 10)
    }

    /// `#5 app::hog holds worker 0 (thread 71) for 2 s, asleep in futex at src/hog.rs:12`.
    pub fn how(&self) -> Sentence {
        let mut words = sentence![self.task.id, " ", &self.task.name, " holds "];
        match self.poll.worker {
            Some(worker) => {
                words.append(sentence![format!("worker {worker} ("), Part::Thread(self.poll.tid), ")"]);
            }
            None => words.append(sentence!["the only worker (", Part::Thread(self.poll.tid), ")"]),
        }
        words.append(sentence![", for at least ", Part::Span(self.ns)]);
        match (&self.poll.system_call, self.poll.asleep) {
            (Some(call), Some(true)) => words.append(sentence![", asleep in ", call]),
            (None, Some(true)) => words.append(sentence![", asleep"]),
            _ => {
                if let Some(ran_ns) = self.ran_ns() {
                    words.append(sentence![", on a CPU for ", Part::Span(ran_ns), " of that"]);
                }
            }
        }
        if let Some(line) = &self.place.line {
            let since =
                if self.poll.asleep == Some(true) { " at " } else { ", in a poll that went on from " };
            words.append(sentence![since, line]);
        }
        words
    }
}

/// Those of a runtime, if they are all that it has.
pub(super) fn all_of<'h, 'a>(
    case: &Case<'_>,
    held: &'h [Held<'a>],
    runtime: u32,
) -> Option<Vec<&'h Held<'a>>> {
    let workers = case.snapshot.runtimes.get(runtime as usize)?.workers?;
    let mut own: Vec<&Held<'_>> = held.iter().filter(|held| held.poll.runtime == Some(runtime)).collect();
    own.sort_by_key(|held| (held.poll.worker, held.poll.tid));
    own.dedup_by_key(|held| held.poll.worker);
    (own.len() as u64 == u64::from(workers)).then_some(own)
}
