//! Times of many polls: how many lay in each class of length.

use async_inspect_ebpf::{CLASSES, class_begins, class_ends, class_of};
use serde::{Deserialize, Serialize};

/// Mergeable: the sum of two says what one of all their polls would say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histogram {
    /// How many in each class that has any, in the order of classes; see `async_inspect_ebpf::class_begins`.
    counts: Vec<(u8, u64)>,
    pub sum_ns: u64,
    /// The longest; may be of a time before those that are counted here.
    pub max_ns: u64,
}

impl Histogram {
    /// `counts`: how many in each class, from the first on.
    pub fn new(counts: impl IntoIterator<Item = u64>, sum_ns: u64, max_ns: u64) -> Histogram {
        let some = |(class, count): (usize, u64)| (count > 0).then_some((class as u8, count));
        let counts: Vec<_> = counts.into_iter().take(CLASSES).enumerate().filter_map(some).collect();
        let mut new = Histogram { counts, sum_ns, max_ns };
        new.max_ns = new.max_ns.max(new.least_max());
        new
    }

    /// Of single times, ns.
    pub fn of(times: impl IntoIterator<Item = u64>) -> Histogram {
        let mut counts = [0; CLASSES];
        let (mut sum_ns, mut max_ns) = (0u64, 0);
        for ns in times {
            counts[class_of(ns)] += 1;
            sum_ns = sum_ns.saturating_add(ns);
            max_ns = max_ns.max(ns);
        }
        Histogram::new(counts, sum_ns, max_ns)
    }

    /// The maximum is not counted atomically with the rest; the highest class that has any says that it is no less.
    fn least_max(&self) -> u64 {
        self.counts.last().map_or(0, |(class, _)| class_begins((*class).into()))
    }

    pub fn count(&self) -> u64 {
        self.counts.iter().fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    pub fn mean_ns(&self) -> Option<u64> {
        self.sum_ns.checked_div(self.count())
    }

    pub fn add(&mut self, more: &Histogram) {
        for (class, count) in &more.counts {
            match self.counts.binary_search_by_key(class, |(class, _)| *class) {
                Ok(at) => self.counts[at].1 = self.counts[at].1.saturating_add(*count),
                Err(at) => self.counts.insert(at, (*class, *count)),
            }
        }
        self.sum_ns = self.sum_ns.saturating_add(more.sum_ns);
        self.max_ns = self.max_ns.max(more.max_ns);
    }

    /// So many of a hundred polls took no longer than this, ns: at most a quarter too much. None where there are no polls.
    pub fn percentile(&self, percent: u64) -> Option<u64> {
        let all = u128::from(self.count());
        let rank = (all * u128::from(percent.min(100))).div_ceil(100).max(1);
        let mut so_far = 0;
        let (class, _) = self.counts.iter().find(|(_, count)| {
            so_far += u128::from(*count);
            so_far >= rank
        })?;
        let last = class_ends((*class).into()).map_or(self.max_ns, |end| end - 1);
        Some(last.min(self.max_ns))
    }

    /// Where each class that has any begins, ns, and how many it has.
    pub fn classes(&self) -> impl Iterator<Item = (u64, u64)> {
        self.counts.iter().map(|(class, count)| (class_begins((*class).into()), *count))
    }

    /// Whether it can be what [`Histogram::new`] made, and nothing in it is beyond `most`.
    pub fn is_sound(&self, most: u64) -> bool {
        self.counts.is_sorted_by(|(a, _), (b, _)| a < b)
            && self.counts.iter().all(|(class, count)| usize::from(*class) < CLASSES && *count < most)
            && self.sum_ns < most
            && self.max_ns < most
            && self.max_ns >= self.least_max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn percentiles_are_no_less_than_the_true_ones_and_at_most_a_quarter_more() {
        let times: Vec<u64> = (1..=1000).map(|n| n * 1000).collect();
        let histogram = Histogram::of(times.iter().copied());
        assert_eq!((histogram.count(), histogram.max_ns), (1000, 1_000_000));
        for percent in [1, 50, 95, 99, 100] {
            let (told, is) = (histogram.percentile(percent).unwrap(), percent * 10_000);
            assert!(told >= is && told <= is + is / 4, "{percent} %: {told}, is {is}");
        }
        assert_eq!(histogram.percentile(100), Some(1_000_000));
        assert_eq!(Histogram::default().percentile(50), None);
    }

    #[test]
    fn a_maximum_that_was_overtaken_is_no_less_than_the_highest_class() {
        let mut counts = [0; CLASSES];
        counts[class_of(5000)] = 1;
        let histogram = Histogram::new(counts, 5000, 300);
        assert_eq!(histogram.max_ns, class_begins(class_of(5000)));
        assert!(histogram.is_sound(1 << 52));
    }

    proptest! {
        #[test]
        fn the_sum_of_two_is_the_histogram_of_all(a: Vec<u64>, b: Vec<u64>) {
            let mut sum = Histogram::of(a.iter().copied());
            sum.add(&Histogram::of(b.iter().copied()));
            prop_assert_eq!(sum, Histogram::of(a.into_iter().chain(b)));
        }
    }
}
