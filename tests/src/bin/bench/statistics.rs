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

/// Of fewer values nothing is said of how sure one can be.
const ENOUGH: usize = 6;

/// A mean and the bounds that the true one lies within with 95 % confidence (Student), where there are enough values. None of nothing.
pub fn mean(values: &[f64]) -> Option<(f64, Option<(f64, f64)>)> {
    if values.is_empty() {
        return None;
    }
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    if values.len() < ENOUGH {
        return Some((mean, None));
    }
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
    let half = quantile(count - 1.0) * (variance / count).sqrt();
    Some((mean, Some((mean - half, mean + half))))
}

/// Student's two-sided 95 % quantile, by its expansion around the normal one (R. A. Fisher & E. A. Cornish, 1960): to 1 % from five degrees of
/// freedom on.
fn quantile(degrees: f64) -> f64 {
    1.96 + 2.372 / degrees + 2.823 / degrees.powi(2)
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
    fn bounds_hold_the_mean_and_narrow_with_more_values() {
        let wave = |count: usize| (0..count).map(|n| ((n * 7) % 11) as f64).collect::<Vec<_>>();
        let width = |count| {
            let (middle, bounds) = mean(&wave(count)).expect("some");
            let (low, high) = bounds.expect("enough");
            assert!(low <= middle && middle <= high && low <= 5.0 && 5.0 <= high, "{low} {high}");
            high - low
        };
        assert!(width(220) < width(11));
        assert_eq!(mean(&[]), None);
        assert_eq!(mean(&[1.0, 2.0]), Some((1.5, None)));
        assert_eq!(mean(&[2.0; 6]), Some((2.0, Some((2.0, 2.0)))));
    }

    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (degrees, tabled) in [(5.0, 2.571), (14.0, 2.145), (30.0, 2.042)] {
            assert!((quantile(degrees) / tabled - 1.0).abs() < 0.01, "{degrees}");
        }
    }
}
