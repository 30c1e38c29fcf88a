//! How far a share of looks is to be trusted.

/// Of the normal distribution: 95 % lie within this many standard deviations.
pub const Z_95: f64 = 1.959_964;

/// A length of time known by looking now and then: it was so in `hits` of `looks`, which `span_ns` was divided into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    pub hits: u64,
    pub looks: u64,
    pub span_ns: u64,
}

impl Estimate {
    /// The likeliest length, ns; 0 where nobody looked.
    pub fn ns(self) -> u64 {
        let ns = u128::from(self.span_ns) * u128::from(self.hits) / u128::from(self.looks.max(1));
        u64::try_from(ns).unwrap_or(u64::MAX)
    }

    /// From and to, ns: Wilson's interval for the share (E. B. Wilson, 1927), which holds as well for shares near 0 and 1. One look
    /// in each equal part of the time errs less than looks at any time do, so it is rather too wide than too narrow.
    pub fn interval(self, z: f64) -> (u64, u64) {
        if self.looks == 0 {
            return (0, self.span_ns);
        }
        let n = self.looks as f64;
        let share = (self.hits as f64 / n).min(1.0);
        let square = z * z;
        let middle = share + square / (2.0 * n);
        let half = z * (share * (1.0 - share) / n + square / (4.0 * n * n)).sqrt();
        let ns = |share: f64| (share.clamp(0.0, 1.0) * self.span_ns as f64) as u64;
        let scale = 1.0 + square / n;
        (ns((middle - half) / scale), ns((middle + half) / scale))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_wilsons() {
        // From the table in R. G. Newcombe, Statistics in Medicine 17 (1998): 81 of 263 is 0.2553 to 0.3662; 0 of 20, 0 to 0.1611.
        let of = |hits, looks| Estimate { hits, looks, span_ns: 1_000_000 }.interval(Z_95);
        let close =
            |(low, high): (u64, u64), (l, h): (u64, u64)| low.abs_diff(l) < 100 && high.abs_diff(h) < 100;
        assert!(close(of(81, 263), (255_300, 366_200)), "{:?}", of(81, 263));
        assert!(close(of(0, 20), (0, 161_100)), "{:?}", of(0, 20));
        assert!(close(of(20, 20), (838_900, 1_000_000)), "{:?}", of(20, 20));
    }

    #[test]
    fn whoever_did_not_look_knows_nothing() {
        let none = Estimate { hits: 0, looks: 0, span_ns: 7 };
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
                let (low, high) = Estimate { hits, looks: 400, span_ns: 1_000 }.interval(Z_95);
                (low..=high).contains(&300)
            })
            .count();
        assert!((1_850..=1_950).contains(&inside), "{inside} of {tries}");
    }
}
