//! How long polls took, in words.

use super::units::{counted, span};
use crate::model::{Delays, KindTimes, Known, PlaceTimes, TaskEntry};
use crate::trace::Histogram;

/// `p50 3.0 µs, p99 40 µs, longest 1.2 ms`; None where there are none.
pub fn spread(times: &Histogram) -> Option<String> {
    let at = |percent| times.percentile(percent).map(span);
    Some(format!("p50 {}, p99 {}, longest {}", at(50)?, at(99)?, at(100)?))
}

/// `2,000 polls: p50 3.0 µs, …; after a wake p50 20 µs, … later`.
pub fn kind(times: &KindTimes) -> Option<String> {
    let polls =
        spread(&times.polls).map(|spread| format!("{}: {spread}", counted(times.polls.count(), "poll")));
    let delays = spread(&times.delays).map(|spread| format!("after a wake {spread} later"));
    let words: Vec<String> = [polls, delays].into_iter().flatten().collect();
    (!words.is_empty()).then(|| words.join("; "))
}

/// `busy 3.0 ms in 2,000 polls; scheduled 20 µs; idle 2.3 s`: time of tasks of one name at one place.
pub fn place(times: &PlaceTimes) -> String {
    let mut words =
        vec![format!("busy {} in {}", span(times.polls.sum_ns), counted(times.polls.count(), "poll"))];
    words.extend((!times.delays.is_empty()).then(|| format!("scheduled {}", span(times.delays.sum_ns))));
    words.push(format!("idle {}", span(times.idle_ns)));
    words.join("; ")
}

/// `busy 3.0 ms, 1.2 ms at most; scheduled 20 µs; idle 2.3 s`: all of a task's time that is known. None where it is not
/// seen when polls end.
pub fn accounts(entry: &TaskEntry, now_ns: Option<u64>) -> Option<String> {
    let Delays { count, sum_ns, idle_ns, poll_max_ns, .. } = entry.wakes.delays;
    let mut words = Vec::new();
    let longest = poll_max_ns.map(|ns| format!(", {} at most", span(ns))).unwrap_or_default();
    words.push(format!("busy {}{longest}", span(entry.busy_ns?)));
    words.extend((count > 0).then(|| format!("scheduled {}", span(sum_ns))));
    let rest = now_ns.and_then(|now| entry.idle_for(now)).filter(|(_, known)| *known == Known::Exact);
    words.push(format!("idle {}", span(idle_ns?.saturating_add(rest.map_or(0, |(ns, _)| ns)))));
    Some(words.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_left_out() {
        let polls = Histogram::of((1..=100).map(|n| n * 1000));
        let times = KindTimes { name: "a".into(), polls, delays: Histogram::default(), idle_ns: 0 };
        assert_eq!(kind(&times).unwrap(), "100 polls: p50 57 µs, p99 100 µs, longest 100 µs");
        let none = KindTimes { polls: Histogram::default(), ..times };
        assert_eq!(kind(&none), None);
    }
}
