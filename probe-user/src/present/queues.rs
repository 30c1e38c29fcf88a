//! Where a scheduled task stands in line.

use crate::decode::{Queue, QueueKind};

/// `3rd of 17 in worker 1's queue`.
pub fn words(queue: Queue) -> String {
    let whose = queue.worker.map(|worker| format!("worker {worker}'s"));
    let place = format!("{} of {}", ordinal(u64::from(queue.position) + 1), queue.length);
    match (queue.kind, whose) {
        (QueueKind::LifoSlot, whose) => format!("in {} LIFO slot", whose.as_deref().unwrap_or("a")),
        (QueueKind::Local, whose) => format!("{place} in {} queue", whose.as_deref().unwrap_or("the run")),
        (QueueKind::Injection, _) => format!("{place} in the injection queue"),
    }
}

fn ordinal(n: u64) -> String {
    let ending = match (n % 10, n % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{n}{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(kind: QueueKind, worker: Option<u32>, position: u32) -> Queue {
        Queue { kind, worker, position, length: 120 }
    }

    #[test]
    fn places_are_counted_from_one() {
        let at = |position| words(queue(QueueKind::Local, Some(1), position));
        assert_eq!(at(0), "1st of 120 in worker 1's queue");
        assert_eq!(at(1), "2nd of 120 in worker 1's queue");
        assert_eq!(at(2), "3rd of 120 in worker 1's queue");
        assert_eq!(at(10), "11th of 120 in worker 1's queue");
        assert_eq!(at(21), "22nd of 120 in worker 1's queue");
        assert_eq!(at(111), "112th of 120 in worker 1's queue");
    }

    #[test]
    fn a_queue_without_a_worker_is_the_schedulers() {
        assert_eq!(words(queue(QueueKind::Local, None, 3)), "4th of 120 in the run queue");
        assert_eq!(words(queue(QueueKind::Injection, None, 3)), "4th of 120 in the injection queue");
        assert_eq!(words(queue(QueueKind::LifoSlot, Some(0), 0)), "in worker 0's LIFO slot");
    }
}
