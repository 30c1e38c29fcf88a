//! Numbers for people.

use crate::model::Known;

/// `1234567` → `1,234,567`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `count(n)` and the noun, in the plural unless n is 1.
pub fn counted(n: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(n), if n == 1 { "" } else { "s" })
}

/// A length of time in at most three digits and a unit: `850 ns`, `1.2 ms`, `12 s`, `3 m 04 s`, `2 h 10 m`.
pub fn span(ns: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "µs"), (1, "ns")];
    let seconds = ns / 1_000_000_000;
    match seconds {
        0..100 => {}
        100..3_600 => return format!("{} m {:02} s", seconds / 60, seconds % 60),
        3_600..86_400 => return format!("{} h {:02} m", seconds / 3_600, seconds / 60 % 60),
        _ => return format!("{} d {:02} h", seconds / 86_400, seconds / 3_600 % 24),
    }
    let (unit, name) = UNITS.into_iter().find(|(unit, _)| ns >= *unit).unwrap_or(UNITS[3]);
    let tenths = ns / (unit / 10).max(1);
    if unit > 1 && tenths < 100 {
        format!("{}.{} {name}", tenths / 10, tenths % 10)
    } else {
        format!("{} {name}", ns / unit)
    }
}

/// `span` with the mark of what is known: `>` at least, `~` about.
pub fn known_span((ns, known): (u64, Known)) -> String {
    match known {
        Known::Exact => span(ns),
        Known::AtLeast => format!(">{}", span(ns)),
        Known::About => format!("~{}", span(ns)),
    }
}

/// `412 bytes`, `64 kB`, `1.5 MB`.
pub fn size(bytes: u64) -> String {
    match bytes {
        0..10_000 => counted(bytes, "byte"),
        10_000..1_000_000 => format!("{} kB", bytes / 1000),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

/// What is not known is a dash, never a zero.
pub fn or_dash(value: Option<String>) -> String {
    value.unwrap_or_else(|| "-".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_separators() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([counted(1, "task"), counted(2_000, "task")], ["1 task", "2,000 tasks"]);
    }

    #[test]
    fn spans_keep_few_digits() {
        let ns = [0, 850, 1_234, 99_999, 1_200_000, 2_345_000_000, 12_000_000_000, 184_000_000_000];
        let shown = ["0 ns", "850 ns", "1.2 µs", "99 µs", "1.2 ms", "2.3 s", "12 s", "3 m 04 s"];
        assert_eq!(ns.map(span), shown);
        assert_eq!(span(7_800_000_000_000), "2 h 10 m");
        assert_eq!(span(u64::MAX), "213503 d 23 h");
    }

    #[test]
    fn marks_tell_how_far_a_time_is_known() {
        let at = |known| known_span((1_200_000, known));
        assert_eq!([Known::Exact, Known::AtLeast, Known::About].map(at), ["1.2 ms", ">1.2 ms", "~1.2 ms"]);
        assert_eq!(or_dash(None), "-");
    }
}
