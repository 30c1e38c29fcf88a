//! How much the model keeps. Every table is bounded; what goes over a bound is counted and said.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Living tasks kept one by one.
    pub live: usize,
    /// Ended tasks kept for people to look at.
    pub ended: usize,
    /// How long an ended task stays, ns.
    pub ended_for_ns: u64,
    /// Places remembered per task.
    pub history: usize,
    /// Distinct await paths.
    pub paths: usize,
    /// Distinct places that totals are kept for.
    pub places: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            live: 1_000_000,
            ended: 1_000,
            ended_for_ns: 10_000_000_000,
            history: 16,
            paths: 100_000,
            places: 10_000,
        }
    }
}
