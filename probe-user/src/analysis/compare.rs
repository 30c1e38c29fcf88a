//! What became slower between two watches, per await point.
//!
//! Each watch is cut into blocks of a second, and the mean of each block is one observation: so what varies within a run
//! (load, neighbours, the clock of the processor) widens the interval, and is not called a change. Means are compared by
//! their logarithms with Welch's test, whose interval is one of ratios. Runs that were made one after the other may differ for
//! reasons that do not show within either; then most points differ alike, which `median_ratio` tells.

use crate::model::{AwaitPoint, PointTimes, Profile, Series};
use crate::trace::Histogram;
use statrs::distribution::{ContinuousCDF, StudentsT};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Chance to be wrong at one point by noise alone, on either side: of a thousand points one is.
const CHANCE: f64 = 0.001;
/// A change that is worth telling.
const LEAST: f64 = 1.1;
/// Observations on either side without which nothing is told.
const BLOCKS: usize = 3;
/// Stays or polls on either side.
const COUNT: u64 = 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Metric {
    /// From arrival at an await until the task moves on.
    Stay,
    /// Polls that began there.
    Poll,
    /// From a wake there to the poll.
    Delay,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verdict {
    Slower,
    Faster,
    /// No change of a tenth or more, beyond noise.
    Same,
    /// It varies too much, or too little was seen, to say either.
    Unclear,
}

/// One metric at one point, before and after.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// As it is in the second.
    pub point: AwaitPoint,
    /// The line it had in the first.
    pub line_before: u32,
    pub metric: Metric,
    pub verdict: Verdict,
    /// Of the means, after to before; with the interval that noise within the runs allows. None where too little was seen.
    pub ratio: Option<(f64, f64, f64)>,
    pub before: Histogram,
    pub after: Histogram,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// What changed first: the slower ones by the time that costs, then the faster ones.
    pub changes: Vec<Change>,
    /// Points of one of the two alone.
    pub only_before: Vec<AwaitPoint>,
    pub only_after: Vec<AwaitPoint>,
    /// Of all changes with a ratio; far from 1 it is the machine, or all of the program.
    pub median_ratio: Option<f64>,
}

/// Stable across builds: a function's awaits keep their order when lines move.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    task: Arc<str>,
    function: Arc<str>,
    /// None before the first await.
    ordinal: Option<u32>,
    /// Of several that are the same but for their lines, in the order of those.
    nth: u32,
}

fn by_key(profile: &Profile) -> BTreeMap<Key, (&AwaitPoint, &PointTimes)> {
    let mut known = BTreeMap::new();
    // In the order of lines, for such of one function.
    for (point, times) in profile.points() {
        let ordinal = (point.line > 0).then_some(point.ordinal);
        let mut key = Key { task: point.task.clone(), function: point.function.clone(), ordinal, nth: 0 };
        while known.contains_key(&key) {
            key.nth += 1;
        }
        known.insert(key, (point, times));
    }
    known
}

impl Comparison {
    pub fn of(before: &Profile, after: &Profile) -> Comparison {
        let (old, new) = (by_key(before), by_key(after));
        let missing = |of: &BTreeMap<Key, (&AwaitPoint, &PointTimes)>, other: &BTreeMap<Key, _>| {
            let alone = of.iter().filter(|(key, _)| !other.contains_key(*key));
            alone.map(|(_, (point, _))| (*point).clone()).collect()
        };
        let mut changes = Vec::new();
        for (key, (point, after)) in &new {
            let Some((was, before)) = old.get(key) else { continue };
            for (metric, before, after) in [
                (Metric::Stay, &before.stays, &after.stays),
                (Metric::Poll, &before.polls, &after.polls),
                (Metric::Delay, &before.delays, &after.delays),
            ] {
                changes.extend(change(point, was.line, metric, before, after));
            }
        }
        changes.sort_by(|a, b| a.verdict.cmp(&b.verdict).then(costs(b).total_cmp(&costs(a))));
        let mut ratios: Vec<f64> =
            changes.iter().filter_map(|change| change.ratio.map(|(ratio, ..)| ratio)).collect();
        ratios.sort_by(f64::total_cmp);
        let median_ratio = ratios.get(ratios.len() / 2).copied();
        Comparison {
            changes,
            only_before: missing(&old, &new),
            only_after: missing(&new, &old),
            median_ratio,
        }
    }
}

/// Time that the change costs or saves each time, times how often, ns.
fn costs(change: &Change) -> f64 {
    let mean = |times: &Histogram| times.mean_ns().unwrap_or(0) as f64;
    (mean(&change.after) - mean(&change.before)).abs() * change.after.count() as f64
}

fn change(
    point: &AwaitPoint,
    line_before: u32,
    metric: Metric,
    before: &Series,
    after: &Series,
) -> Option<Change> {
    if before.all.is_empty() || after.all.is_empty() {
        return None;
    }
    let enough = before.all.count() >= COUNT && after.all.count() >= COUNT;
    let ratio = ratio(&before.means(), &after.means()).filter(|_| enough);
    let verdict = match ratio {
        None => Verdict::Unclear,
        Some((_, low, _)) if low > LEAST => Verdict::Slower,
        Some((_, _, high)) if high < 1.0 / LEAST => Verdict::Faster,
        Some((_, low, high)) if low > 1.0 / LEAST / LEAST && high < LEAST * LEAST => Verdict::Same,
        Some(_) => Verdict::Unclear,
    };
    let (before, after) = (before.all.clone(), after.all.clone());
    Some(Change { point: point.clone(), line_before, metric, verdict, ratio, before, after })
}

/// Of the means of two sets of observations, with its interval.
fn ratio(before: &[f64], after: &[f64]) -> Option<(f64, f64, f64)> {
    let (old, new) = (Moments::of(before)?, Moments::of(after)?);
    let (old_error, new_error) = (old.variance / old.n, new.variance / new.n);
    let error = old_error + new_error;
    // Welch and Satterthwaite.
    let spread = old_error.powi(2) / (old.n - 1.0) + new_error.powi(2) / (new.n - 1.0);
    let freedom = if spread > 0.0 { error.powi(2) / spread } else { old.n + new.n - 2.0 };
    let quantile = StudentsT::new(0.0, 1.0, freedom.max(1.0)).ok()?.inverse_cdf(1.0 - CHANCE);
    let (log, by) = (new.mean - old.mean, quantile * error.sqrt());
    let all @ (ratio, low, high) = (log.exp(), (log - by).exp(), (log + by).exp());
    (ratio.is_finite() && !low.is_nan() && !high.is_nan()).then_some(all)
}

struct Moments {
    n: f64,
    mean: f64,
    variance: f64,
}

impl Moments {
    /// Of logarithms; None of too few.
    fn of(values: &[f64]) -> Option<Moments> {
        let logs: Vec<f64> = values.iter().filter(|value| **value > 0.0).map(|value| value.ln()).collect();
        if logs.len() < BLOCKS {
            return None;
        }
        let n = logs.len() as f64;
        let mean = logs.iter().sum::<f64>() / n;
        let variance = logs.iter().map(|log| (log - mean).powi(2)).sum::<f64>() / (n - 1.0);
        Some(Moments { n, mean, variance })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{Frame, SourceLine};
    use crate::model::sample::{SECOND, Shop};
    use crate::model::{Limits, Mode, Model};
    use crate::trace::{Timed, TraceEvent};
    use proptest::prelude::*;

    /// Blocks with a mean of about this, each off by up to `noise`, as a fixed sequence has it.
    fn blocks(mean: f64, noise: f64, seed: usize) -> Vec<f64> {
        let off = |nth: usize| ((nth * 7919 + seed * 104_729) % 1000) as f64 / 500.0 - 1.0;
        (0..10).map(|nth| mean * (1.0 + noise * off(nth))).collect()
    }

    #[test]
    fn what_doubled_is_slower_and_the_interval_has_the_truth() {
        let (ratio, low, high) = ratio(&blocks(50.0, 0.1, 1), &blocks(100.0, 0.1, 2)).expect("enough");
        assert!(low > LEAST && low < 2.0 && high > 2.0 && (1.8..2.2).contains(&ratio), "{low} – {high}");
    }

    #[test]
    fn noise_is_no_change_and_three_blocks_are_few() {
        let (_, low, high) = ratio(&blocks(50.0, 0.3, 1), &blocks(50.0, 0.3, 5)).expect("enough");
        assert!(low < 1.0 && high > 1.0, "{low} – {high}");
        assert_eq!(ratio(&[1.0, 2.0], &[1.0, 2.0, 3.0]), None);
        assert_eq!(ratio(&[5.0; 4], &[5.0; 4]), Some((1.0, 1.0, 1.0)));
    }

    #[test]
    fn a_start_and_a_first_await_are_two_points_and_lines_may_move() {
        let shop = Shop::new();
        let profile = |line: u32| {
            let mut model = Model::new(Mode::Session, shop.frames.clone(), SECOND, Limits::default());
            let mut profile = Profile::default();
            let name: Arc<str> = "shop::api::fetch_user".into();
            let frame = Frame {
                function: name.clone(),
                suspend_point: Some(0),
                line: Some(SourceLine { file: "src/api.rs".into(), line }),
                own_code: true,
                ..(*shop.frames.get(shop.sleeping()[0])).clone()
            };
            let place = shop.frames.intern(frame);
            for path in [vec![], vec![place]] {
                let (polls, delays) = (Histogram::of([1000]), Histogram::default());
                let of = Timed { name: name.clone(), at: Some(path.into()), polls, delays, idle_ns: 0 };
                let mut events = Vec::new();
                model.trace(TraceEvent::Timed { t_ns: SECOND, of: Box::new(of) }, &mut events);
                events.iter().for_each(|event| profile.take(event, &model));
            }
            profile
        };
        let comparison = Comparison::of(&profile(150), &profile(160));
        let mut lines: Vec<_> =
            comparison.changes.iter().map(|change| (change.line_before, change.point.line)).collect();
        lines.sort_unstable();
        assert_eq!(lines, [(0, 0), (150, 160)]);
        assert!(comparison.only_before.is_empty() && comparison.only_after.is_empty());
    }

    proptest! {
        #[test]
        fn any_numbers_give_an_ordered_interval_or_none(
            before in proptest::collection::vec(0.0..1e15_f64, 0..12),
            after in proptest::collection::vec(0.0..1e15_f64, 0..12),
        ) {
            if let Some((ratio, low, high)) = ratio(&before, &after) {
                prop_assert!(low <= ratio && ratio <= high && low >= 0.0);
            }
        }
    }
}
