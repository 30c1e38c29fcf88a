//! Estimates in words.

use super::units::{count, counted, known_span, span};
use crate::model::{Known, Looks, Mode, Model, TaskEntry};
use crate::sample::{Estimate, Z_95};

/// An estimate.
pub fn about(ns: u64) -> String {
    known_span((ns, Known::About))
}

/// Time in polls; with `~` where the mode only estimates it.
pub fn busy_span(ns: u64, mode: Mode) -> String {
    known_span((ns, if mode.samples() { Known::About } else { Known::Exact }))
}

/// What becomes of the target while the probes are out; None while they are in.
pub fn meanwhile(model: &Model) -> Option<String> {
    if model.probes_in() || !model.mode().counts_polls() {
        return None;
    }
    let looks = model.looks().filter(|looks| looks.now);
    Some(
        looks.map_or_else(
            || "probes out".into(),
            |looks| format!("probes out: sampling at {} Hz", looks.hz()),
        ),
    )
}

/// `~1.2 s (1.1 s to 1.3 s)`: the true length lies in there in 95 of 100 cases.
pub fn length(estimate: Estimate) -> String {
    let (low, high) = estimate.interval(Z_95);
    format!("~{} ({} to {})", span(estimate.ns()), span(low), span(high))
}

/// How many there were, and what they did not see.
pub fn looks(looks: &Looks) -> String {
    let threads = counted(u64::from(looks.threads), "thread");
    let mut words = format!("{} at {threads}, one in {}", count(looks.looks), span(looks.period_ns));
    if looks.missed > 0 {
        let all = looks.looks + looks.missed;
        let percent = 100.0 * looks.missed as f64 / all as f64;
        words += &format!("; {percent:.1} % of the time nobody looked");
    }
    if looks.unnamed > 0 {
        let ns = looks.unnamed.saturating_mul(looks.period_ns);
        words += &format!("; ~{} in tasks that no snapshot showed", span(ns));
    }
    words
}

/// The tasks, at most so many, that ran for longest; those that were never seen running are left out.
pub fn busiest(model: &Model, most: usize) -> Vec<(&TaskEntry, Estimate)> {
    let busy = |task| Some((task, model.busy(task).filter(|busy| busy.hits > 0)?));
    let mut tasks: Vec<_> = model.tasks().filter_map(busy).collect();
    tasks.sort_by_key(|(task, busy)| (std::cmp::Reverse(busy.hits), task.id.id));
    tasks.truncate(most);
    tasks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_says_how_good_it_is() {
        let second = 1_000_000_000;
        let estimate = Estimate { hits: 250, looks: 1000, missed: 0, span_ns: second };
        assert_eq!(length(estimate), "~250 ms (224 ms to 277 ms)");
        assert_eq!(busy_span(second, Mode::Sample { hz: 1000 }), "~1.0 s");
        assert_eq!(busy_span(second, Mode::Session), "1.0 s");
    }
}
