//! What watching costs, in words.

use crate::model::Cost;
use crate::trace::ALLOWANCE_NS_PER_S;

/// Of the target's CPU time, and how long the probes were in: `probes 1.9 % of its CPU time, in for 12 % of the time`. None where
/// it was not measured.
pub fn words(cost: &Cost, watched_ns: u64) -> Option<String> {
    let mut words = format!("probes {} of its CPU time", share(cost)?);
    let of_its_time = percent(cost.target_ns?, cost.cpu_ns?)?;
    let of_a_cpu = percent(cost.target_ns?, watched_ns).unwrap_or(f64::MAX);
    // It would look as if the limit were not kept.
    if cost.limit.is_some_and(|limit| of_its_time > f64::from(limit)) && of_a_cpu <= ALWAYS {
        words += &format!(" (within the {ALWAYS} % of a CPU that is always allowed)");
    }
    if cost.out_ns > 0 {
        let inside = percent(watched_ns.saturating_sub(cost.out_ns), watched_ns)?;
        words += &format!(", in for {} of the time", of_hundred(inside));
    }
    Some(words)
}

/// Of the target's CPU time, `1.9 %`.
pub fn share(cost: &Cost) -> Option<String> {
    percent(cost.target_ns?, cost.cpu_ns?).map(of_hundred)
}

/// What a program that hardly runs may be watched for, in percent of a CPU.
const ALWAYS: f64 = ALLOWANCE_NS_PER_S as f64 / 1e7;

fn percent(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| 100.0 * part as f64 / whole as f64)
}

fn of_hundred(percent: f64) -> String {
    if percent >= 10.0 { format!("{percent:.0} %") } else { format!("{percent:.1} %") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_the_targets_own_time() {
        let mut cost = Cost { target_ns: Some(15), cpu_ns: Some(1000), ..Cost::default() };
        assert_eq!(words(&cost, 500).as_deref(), Some("probes 1.5 % of its CPU time"));
        cost.out_ns = 440;
        assert_eq!(
            words(&cost, 500).as_deref(),
            Some("probes 1.5 % of its CPU time, in for 12 % of the time")
        );
        cost.limit = Some(1);
        assert!(!words(&cost, 500).unwrap().contains("always"), "a limit that was not kept is not excused");
        assert_eq!(
            words(&Cost { out_ns: 0, ..cost }, 20_000).as_deref(),
            Some("probes 1.5 % of its CPU time (within the 0.2 % of a CPU that is always allowed)")
        );
        cost.cpu_ns = None;
        assert_eq!(words(&cost, 500), None);
    }
}
