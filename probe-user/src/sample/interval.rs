//! How far a share of looks is to be trusted.

/// Of the normal distribution: 95 % lie within this many standard deviations.
pub const Z_95: f64 = 1.959_964;

/// A length of time known by looking now and then: it was so in `hits` of `looks`. `span_ns` was divided into parts for one look
/// each; in `missed` of them nobody looked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    pub hits: u64,
    pub looks: u64,
    pub missed: u64,
    /// All parts, those without a look too.
    pub span_ns: u64,
}

impl Estimate {
    /// The likeliest length, ns, if the time without looks was as the rest; 0 where nobody looked.
    pub fn ns(self) -> u64 {
        let ns = u128::from(self.span_ns) * u128::from(self.hits) / u128::from(self.looks.max(1));
        u64::try_from(ns).unwrap_or(u64::MAX)
    }

    /// From and to, ns: Wilson's interval for the share (E. B. Wilson, 1927), which holds as well for shares near 0 and 1. One look
    /// in each equal part of the time errs less than looks at any time do, so it is rather too wide than too narrow.
    ///
    /// Who looks late does so because the machine is busy, often with the target itself: what was missed is no fair draw. So of
    /// that time nothing is taken for known: it may have been so in all of it, or never.
    pub fn interval(self, z: f64) -> (u64, u64) {
        if self.looks == 0 {
            return (0, self.span_ns);
        }
        let n = self.looks as f64;
        let share = (self.hits as f64 / n).min(1.0);
        let square = z * z;
        let middle = share + square / (2.0 * n);
        let half = z * (share * (1.0 - share) / n + square / (4.0 * n * n)).sqrt();
        let seen = n / (n + self.missed as f64);
        let ns = |share: f64| (share.clamp(0.0, 1.0) * self.span_ns as f64) as u64;
        let scale = 1.0 + square / n;
        (ns((middle - half) / scale * seen), ns((middle + half) / scale * seen + (1.0 - seen)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_wilsons() {
        // From the table in R. G. Newcombe, Statistics in Medicine 17 (1998): 81 of 263 is 0.2553 to 0.3662; 0 of 20, 0 to 0.1611.
        let of = |hits, looks| Estimate { hits, looks, missed: 0, span_ns: 1_000_000 }.interval(Z_95);
        let close =
            |(low, high): (u64, u64), (l, h): (u64, u64)| low.abs_diff(l) < 100 && high.abs_diff(h) < 100;
        assert!(close(of(81, 263), (255_300, 366_200)), "{:?}", of(81, 263));
        assert!(close(of(0, 20), (0, 161_100)), "{:?}", of(0, 20));
        assert!(close(of(20, 20), (838_900, 1_000_000)), "{:?}", of(20, 20));
    }

    #[test]
    fn whoever_did_not_look_knows_nothing() {
        let none = Estimate { hits: 0, looks: 0, missed: 9, span_ns: 7 };
        assert_eq!((none.ns(), none.interval(Z_95)), (0, (0, 7)));
    }

    #[test]
    fn the_truth_lies_inside_as_often_as_is_said() {
        // Looks at random moments of a program that is busy 30 % of the time.
        let mut state = 42u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % 100
        };
        let tries = 2_000;
        let inside = (0..tries)
            .filter(|_| {
                let hits = (0..400).filter(|_| random() < 30).count() as u64;
                let (low, high) = Estimate { hits, looks: 400, missed: 0, span_ns: 1_000 }.interval(Z_95);
                (low..=high).contains(&300)
            })
            .count();
        assert!((1_850..=1_950).contains(&inside), "{inside} of {tries}");
    }

    /// Draws from 0 to below `n`.
    fn draws(mut state: u64) -> impl FnMut(u64) -> u64 {
        move |n| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % n
        }
    }

    #[test]
    fn what_was_missed_is_part_of_it() {
        // Four looks in five were missed: a tenth of the span was seen to be so, and half of what was looked at.
        let estimate = Estimate { hits: 100, looks: 200, missed: 800, span_ns: 1_000_000 };
        assert_eq!(estimate.ns(), 500_000);
        let (low, high) = estimate.interval(Z_95);
        assert!((80_000..100_000).contains(&low) && (900_000..920_000).contains(&high), "{low} to {high}");
    }

    #[test]
    fn the_truth_lies_inside_however_looks_are_missed() {
        let mut draw = draws(7);
        let (runs, parts) = (500, 1_000);
        // Percent of looks missed while it is so, and while it is not: by chance, when the target runs, when it rests.
        for (busy_missed, idle_missed) in [(0, 0), (30, 30), (82, 82), (95, 40), (50, 5), (5, 60), (99, 0)] {
            let mut inside = 0;
            for run in 0..runs {
                // From hardly ever to nearly always; in stretches, as programs are busy.
                let percent = 2 + run * 96 / runs;
                let (mut hits, mut looks, mut missed, mut truth) = (0, 0, 0, 0);
                let mut busy = false;
                for part in 0..parts {
                    if part % 5 == 0 {
                        busy = draw(100) < percent;
                    }
                    truth += u64::from(busy);
                    if draw(100) < if busy { busy_missed } else { idle_missed } {
                        missed += 1;
                    } else {
                        looks += 1;
                        hits += u64::from(busy);
                    }
                }
                let (low, high) = Estimate { hits, looks, missed, span_ns: parts }.interval(Z_95);
                inside += u64::from((low..=high + 1).contains(&truth));
            }
            assert!(
                inside * 100 >= runs * 95,
                "{inside} of {runs} where {busy_missed} % and {idle_missed} % are missed"
            );
        }
    }
}
