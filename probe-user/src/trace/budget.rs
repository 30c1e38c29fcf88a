//! Keeping the cost of probes within a share of the target's CPU time.
//!
//! An account, as of a bank: each nanosecond that the target runs pays in its share, each hit of a probe takes out its
//! price. When it is empty the probes go out, and stay out until there is enough for a while of watching.
//! So the share is kept over any stretch of time that is long against such a while, whatever the target does.

/// Percent of the target's CPU time, unless something else is asked for.
pub const DEFAULT_PERCENT: u8 = 2;

/// Spent before anything was paid in, so that something is seen at once, ns.
const CREDIT_NS: i64 = 5_000_000;
/// A program that hardly runs may be watched all the time: what is paid in per second whatever it uses, ns: two thousandths of a CPU.
pub const ALLOWANCE_NS_PER_S: u64 = 2_000_000;
/// Never saved up more than for this long, ns: a burst after a quiet hour is not to cost all at once.
const SAVED_NS: u64 = 2_000_000_000;
/// A while of watching that is worth putting the probes in, ns.
const WHILE_NS: u64 = 100_000_000;
/// Probes stay out this many times as long as it takes to change them.
const CHANGES: u64 = 10;

/// What is known so far, all of it growing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spending {
    /// CLOCK_MONOTONIC, ns.
    pub t_ns: u64,
    /// CPU time of the target, what the probes cost in it included, ns.
    pub target_ns: u64,
    /// What the probes cost: in it, and us, who take in what they tell, ns.
    pub probes_ns: u64,
    /// How long it took to put the probes in or out when that was last done, ns.
    pub change_ns: u64,
}

/// What to do with the probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Stay,
    Out,
    In,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Budget {
    percent: u8,
    /// What is left, ns.
    left: i64,
    last: Spending,
    /// Since when the probes are in, or out.
    since: Spending,
    live: bool,
    /// What a second of watching cost in the last while, ns.
    per_s: u64,
}

impl Budget {
    /// `percent`: of the target's CPU time, 1 to 99; probes are in at `start`.
    pub fn new(percent: u8, start: Spending) -> Self {
        Budget { percent, left: CREDIT_NS, last: start, since: start, live: true, per_s: 0 }
    }

    /// What is known now, and what follows from it. The caller does so.
    pub fn look(&mut self, now: Spending) -> Verdict {
        let passed = now.t_ns.saturating_sub(self.last.t_ns);
        let ran = now.target_ns.saturating_sub(self.last.target_ns);
        let paid_in = (share(ran, self.percent)).max(per_second(ALLOWANCE_NS_PER_S, passed));
        let spent = now.probes_ns.saturating_sub(self.last.probes_ns);
        let saved = share(SAVED_NS, self.percent).max(CREDIT_NS as u64) as i64;
        self.left = self.left.saturating_add_unsigned(paid_in).min(saved).saturating_sub_unsigned(spent);
        self.last = now;
        let for_ns = now.t_ns.saturating_sub(self.since.t_ns);
        if self.live {
            if self.left > 0 {
                return Verdict::Stay;
            }
            let cost = now.probes_ns.saturating_sub(self.since.probes_ns);
            self.per_s = (u128::from(cost) * 1_000_000_000 / u128::from(for_ns.max(1))) as u64;
            self.turn(now);
            return Verdict::Out;
        }
        let needed = per_second(self.per_s, WHILE_NS).min(saved as u64 / 2).max(1);
        if self.left < needed as i64 || for_ns < now.change_ns.saturating_mul(CHANGES) {
            return Verdict::Stay;
        }
        self.turn(now);
        Verdict::In
    }

    /// How long the next look may wait, ns: no longer than what is left lasts, if things go on as they did.
    pub fn next_look_ns(&self) -> u64 {
        const SOONEST: u64 = 5_000_000;
        const LATEST: u64 = 100_000_000;
        let (now, since) = (self.last, self.since);
        let cost = now.probes_ns.saturating_sub(since.probes_ns);
        let for_ns = now.t_ns.saturating_sub(since.t_ns);
        if !self.live || cost == 0 {
            return if self.live { SOONEST } else { SOONEST * 4 };
        }
        let lasts = u128::from(self.left.max(0) as u64) * u128::from(for_ns) / u128::from(cost) / 2;
        (lasts as u64).clamp(SOONEST, LATEST)
    }

    fn turn(&mut self, now: Spending) {
        self.live = !self.live;
        self.since = now;
    }
}

fn share(ns: u64, percent: u8) -> u64 {
    (u128::from(ns) * u128::from(percent) / 100) as u64
}

fn per_second(rate: u64, ns: u64) -> u64 {
    (u128::from(rate) * u128::from(ns) / 1_000_000_000) as u64
}

#[cfg(test)]
#[path = "budget_tests.rs"]
mod tests;
