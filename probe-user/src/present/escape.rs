//! Strings read from a target are data: no byte of them may command a terminal.

use std::borrow::Cow;
use std::fmt::Write;

/// `text` with control characters, and those that reorder or hide text, as `\u{…}`.
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_unsafe(c) {
            let _ = write!(safe, "{}", c.escape_unicode());
        } else {
            safe.push(c);
        }
    }
    Cow::Owned(safe)
}

/// C0, DEL and C1; line separators; bidirectional controls (Unicode TR 36, "Trojan Source"); invisible marks.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{061c}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::escape;
    use proptest::prelude::*;

    #[test]
    fn terminal_commands_and_reordering_become_visible() {
        assert_eq!(escape("evil\x1b[2J"), "evil\\u{1b}[2J");
        assert_eq!(escape("a\u{202e}b\u{9b}c\n"), "a\\u{202e}b\\u{9b}c\\u{a}");
    }

    #[test]
    fn ordinary_names_are_not_copied() {
        assert!(matches!(escape("größe::{async_block#0}<T>"), std::borrow::Cow::Borrowed(_)));
    }

    proptest! {
        #[test]
        fn nothing_unsafe_survives(text in any::<String>()) {
            prop_assert!(!escape(&text).chars().any(super::is_unsafe));
        }
    }
}
