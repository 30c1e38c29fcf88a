//! Medians, spreads, and how sure one can be of them.

use std::fmt;

/// Middle and ends of some measurements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub most: f64,
}

impl Spread {
    /// None of nothing.
    pub fn of(values: &[f64]) -> Option<Spread> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (&least, &most) = (sorted.first()?, sorted.last()?);
        Some(Spread { median: median(&sorted), least, most })
    }
}

/// With the formatter's precision for all three.
impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(0);
        write!(f, "{:.digits$} ({:.digits$} – {:.digits$})", self.median, self.least, self.most)
    }
}

/// `-` where nothing was measured.
pub fn shown(values: &[f64], digits: usize) -> String {
    Spread::of(values).map_or_else(|| "-".to_owned(), |spread| format!("{spread:.digits$}"))
}

fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 }
}

const RESAMPLES: usize = 10_000;

/// Of fewer values not even the least and the most enclose the median with 95 % confidence: all lie on one side of it with a
/// chance of 2 / 2ⁿ.
const ENOUGH: usize = 6;

/// Bounds that the median lies within with 95 % confidence: the percentile bootstrap. None of too few values.
/// The same values give the same bounds.
pub fn confidence(values: &[f64]) -> Option<(f64, f64)> {
    if values.len() < ENOUGH {
        return None;
    }
    let mut random = fastrand::Rng::with_seed(1);
    let mut medians: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let mut sample: Vec<f64> = values.iter().map(|_| values[random.usize(..values.len())]).collect();
            sample.sort_by(f64::total_cmp);
            median(&sample)
        })
        .collect();
    medians.sort_by(f64::total_cmp);
    Some((medians[RESAMPLES / 40], medians[RESAMPLES - 1 - RESAMPLES / 40]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn middles_and_ends() {
        assert_eq!(Spread::of(&[]), None);
        assert_eq!(Spread::of(&[3.0, 1.0, 2.0]), Some(Spread { median: 2.0, least: 1.0, most: 3.0 }));
        assert_eq!(shown(&[1.0, 2.0], 1), "1.5 (1.0 – 2.0)");
        assert_eq!(shown(&[], 1), "-");
    }

    #[test]
    fn bounds_hold_the_median_and_narrow_with_more_values() {
        let wave = |count: usize| (0..count).map(|n| ((n * 7) % 11) as f64).collect::<Vec<_>>();
        let width = |count| {
            let (low, high) = confidence(&wave(count)).expect("enough");
            assert!(low <= 5.0 && 5.0 <= high, "{low} {high}");
            high - low
        };
        assert!(width(220) < width(11));
        assert_eq!(confidence(&wave(5)), None);
        assert_eq!(confidence(&[2.0; 6]), Some((2.0, 2.0)));
    }
}
