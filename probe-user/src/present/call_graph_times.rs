//! Marks in a call graph where the time went in a recording.

use super::places::Places;
use super::units::{counted, span};
use crate::analysis::Bottlenecks;
use crate::decode::SourceLine;
use crate::model::AwaitPoint;
use crate::outline::{CallGraph, Color};

/// From this share of all on, in percent.
const SHARE: u64 = 10;

/// Makes yellow what took at least a tenth of all waiting, of all polling, or of all waiting for locks. Returns how many functions
/// it was; 0 also where the recording is of another program.
pub fn mark(graph: &mut CallGraph, times: &Bottlenecks, places: &Places) -> usize {
    let mut marked: Vec<(usize, String)> = Vec::new();
    let all = times.waits.iter().map(|rank| rank.waits.waited_ns).sum();
    for rank in times.waits.iter().filter(|rank| is_large(rank.waits.waited_ns, all)) {
        let (ns, stays) = (rank.waits.waited_ns, &rank.waits.times.stays.all);
        let long = stays.percentile(95).map(|ns| format!(", p95 {}", span(ns))).unwrap_or_default();
        let words = format!(
            "tasks waited {} at {}, {} of all waiting ({}{long})",
            span(ns),
            shown(&rank.point, places),
            percent(ns, all),
            counted(stays.count(), "stay")
        );
        marked.extend(of_name(graph, &rank.point.function).map(|at| (at, words.clone())));
    }
    let all = times.polls.iter().map(|rank| rank.times.polls.all.sum_ns).sum();
    for rank in times.polls.iter().filter(|rank| is_large(rank.times.polls.all.sum_ns, all)) {
        let polls = &rank.times.polls.all;
        let words = format!(
            "polls from {} took {}, {} of all polling ({})",
            shown(&rank.point, places),
            span(polls.sum_ns),
            percent(polls.sum_ns, all),
            counted(polls.count(), "poll")
        );
        marked.extend(of_name(graph, &rank.point.function).map(|at| (at, words.clone())));
    }
    let all = times.locks.iter().map(|lock| lock.waits.waited_ns).sum();
    for lock in times.locks.iter().filter(|lock| is_large(lock.waits.waited_ns, all)) {
        let Some(place) = lock.wanted.as_ref().and_then(|wanted| wanted.line.as_ref()) else { continue };
        let words = format!(
            "tasks waited about {} (by snapshots) for a {} at {}",
            span(lock.waits.waited_ns),
            lock.waits.kind.as_str(),
            places.show(place)
        );
        marked.extend(awaiting_at(graph, place).map(|at| (at, words.clone())));
    }
    marked.sort();
    marked.dedup();
    for (at, words) in &marked {
        let function = &mut graph.functions[*at];
        function.color = Color::Yellow;
        function.why_yellow.push(words.clone());
    }
    marked.dedup_by_key(|(at, _)| *at);
    marked.len()
}

fn is_large(ns: u64, all: u64) -> bool {
    ns > 0 && ns >= all / 100 * SHARE
}

fn percent(ns: u64, all: u64) -> String {
    format!("{:.0} %", ns as f64 * 100.0 / all.max(1) as f64)
}

fn shown(point: &AwaitPoint, places: &Places) -> String {
    if point.line == 0 {
        return "its beginning".into();
    }
    places.show(&SourceLine { file: point.file.clone(), line: point.line })
}

fn of_name<'g>(graph: &'g CallGraph, name: &'g str) -> impl Iterator<Item = usize> + 'g {
    let functions = graph.functions.iter().enumerate();
    functions.filter(move |(_, function)| &*function.name == name).map(|(at, _)| at)
}

fn awaiting_at<'g>(graph: &'g CallGraph, place: &'g SourceLine) -> impl Iterator<Item = usize> + 'g {
    let functions = graph.functions.iter().enumerate();
    let awaits = move |at: &crate::outline::Function| {
        at.suspend_points.iter().any(|point| point.place.as_ref() == Some(place))
    };
    functions.filter(move |(_, function)| awaits(function)).map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::{WaitRank, Waits};
    use crate::outline::sample;

    fn waited(function: &str, ns: u64) -> WaitRank {
        let file = "/srv/shop/src/api.rs".into();
        let point =
            AwaitPoint { task: "shop::main".into(), function: function.into(), file, line: 7, ordinal: 0 };
        WaitRank { point, waits: Waits { waited_ns: ns, ..Waits::default() } }
    }

    #[test]
    fn what_took_a_tenth_of_the_waiting_is_yellow_and_nothing_else_is() {
        let mut graph = sample::shop();
        let before = graph.clone();
        let name = graph.functions.iter().find(|f| f.color == Color::Red).unwrap().name.clone();
        let waits =
            vec![waited(&name, 95_000_000), waited("shop::elsewhere", 1), waited("other::f", 5_000_000)];
        let times = Bottlenecks { waits, ..Bottlenecks::default() };
        let places = Places::of_own([]);
        assert_eq!(mark(&mut graph, &times, &places), 1);
        for (now, then) in graph.functions.iter().zip(&before.functions) {
            if now.name == name {
                assert_eq!(now.color, Color::Yellow);
                let why = now.why_yellow.last().unwrap();
                assert!(why.contains("tasks waited 95 ms") && why.contains("api.rs:7, 95 %"), "{why}");
            } else {
                assert_eq!(now, then);
            }
        }
        let other = Bottlenecks { waits: vec![waited("other::f", 9)], ..Bottlenecks::default() };
        assert_eq!(mark(&mut before.clone(), &other, &places), 0);
    }
}
