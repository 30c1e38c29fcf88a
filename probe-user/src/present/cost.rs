//! What watching costs, in words.

use crate::model::Cost;

/// Of the target's CPU time, and how long the probes were in: `probes 1.9 % of its CPU time, in for 12 % of the time`. None where
/// it was not measured.
pub fn words(cost: &Cost, watched_ns: u64) -> Option<String> {
    let share = percent(cost.target_ns?, cost.cpu_ns?)?;
    let mut words = format!("probes {} of its CPU time", of_hundred(share));
    if cost.out_ns > 0 {
        let inside = percent(watched_ns.saturating_sub(cost.out_ns), watched_ns)?;
        words += &format!(", in for {} of the time", of_hundred(inside));
    }
    Some(words)
}

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
        cost.cpu_ns = None;
        assert_eq!(words(&cost, 500), None);
    }
}
