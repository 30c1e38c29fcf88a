//! Rules about Rust source, checked on its tokens: what stands in comments and strings does not count.

use super::Violation;
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::str::FromStr;

/// Modules of probe-user, by who may use whom: a module uses those of lower rank and no others (DESIGN §2, ARCHITECTURE.md).
/// Equal ranks do not know each other.
const RANKS: [(&str, u32); 17] = [
    ("sys", 0),
    ("target", 1),
    ("dwarf", 2),
    ("runtime", 3),
    ("decode", 4),
    ("trace", 5),
    ("outline", 5),
    ("sample", 6),
    ("model", 7),
    ("analysis", 8),
    ("record", 8),
    ("present", 9),
    ("export", 10),
    ("tui", 10),
    ("agent", 10),
    ("cli", 11),
    // The binary's only line.
    ("main", 12),
];

const LIBRARY: &str = "probe-user/src/";
/// Here unsafe code may stand: system calls, and the BPF side of the ABI.
const UNSAFE: [&str; 3] = ["probe-user/src/sys/", "probe-ebpf/src/main.rs", "probe-ebpf/src/bpf/"];
/// Programs to look at, not ours to hold to these rules.
const TARGETS: &str = "tests/targets/";
const LINES: usize = 500;
/// Names that say nothing of what is inside.
const NAMELESS: [&str; 8] = ["util", "utils", "helper", "helpers", "manager", "managers", "common", "misc"];

pub fn check(file: &str, text: &str) -> Vec<Violation> {
    let at = |line: usize, message: String| Violation { file: file.to_owned(), line, message };
    let mut found = Vec::new();
    let lines = text.lines().count();
    if lines > LINES {
        found
            .push(at(LINES + 1, format!("{lines} lines, more than {LINES}: two rooms want to become of it")));
    }
    if let Some(name) = file.trim_end_matches(".rs").split('/').rfind(|part| NAMELESS.contains(part)) {
        found.push(at(1, format!("`{name}` says nothing: name it for what it does")));
    }
    match TokenStream::from_str(text) {
        Ok(tokens) => {
            let tokens = flatten(tokens);
            let rules = [loose_unsafe, ignored_tests, nameless_modules, arrows];
            found.extend(
                rules.iter().flat_map(|rule| rule(file, &tokens)).map(|(line, message)| at(line, message)),
            );
        }
        Err(e) => found.push(at(e.span().start().line, format!("not Rust: {e}"))),
    }
    found
}

/// A token's text, or a bracket, and its line.
type Token = (String, usize);
type Found = Vec<(usize, String)>;

fn flatten(tokens: TokenStream) -> Vec<Token> {
    let mut flat = Vec::new();
    for token in tokens {
        let line = token.span().start().line;
        match token {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                flat.push((open.to_owned(), line));
                flat.extend(flatten(group.stream()));
                flat.push((close.to_owned(), group.span_close().start().line));
            }
            other => flat.push((other.to_string(), line)),
        }
    }
    flat
}

/// Do the tokens from `at` on read so?
fn reads(tokens: &[Token], at: usize, expected: &[&str]) -> bool {
    let here = tokens.get(at..at + expected.len());
    here.is_some_and(|here| here.iter().zip(expected).all(|((text, _), expected)| text == expected))
}

fn loose_unsafe(file: &str, tokens: &[Token]) -> Found {
    if file.starts_with(TARGETS) || UNSAFE.iter().any(|place| file.starts_with(place)) {
        return Vec::new();
    }
    let loose = tokens.iter().filter(|(text, _)| text == "unsafe" || text == "unsafe_code");
    loose.map(|(text, line)| (*line, format!("`{text}` outside of {}", UNSAFE.join(", ")))).collect()
}

fn ignored_tests(_file: &str, tokens: &[Token]) -> Found {
    let ignored = (0..tokens.len()).filter(|at| reads(tokens, *at, &["#", "[", "ignore"]));
    ignored
        .map(|at| (tokens[at].1, "an ignored test tests nothing: run it, or delete it".to_owned()))
        .collect()
}

fn nameless_modules(_file: &str, tokens: &[Token]) -> Found {
    let modules = tokens.windows(2).filter(|pair| pair[0].0 == "mod" && NAMELESS.contains(&&*pair[1].0));
    modules
        .map(|pair| (pair[1].1, format!("module `{}` says nothing: name it for what it does", pair[1].0)))
        .collect()
}

fn arrows(file: &str, tokens: &[Token]) -> Found {
    let Some(inside) = file.strip_prefix(LIBRARY) else { return Vec::new() };
    let parts: Vec<&str> = inside.trim_end_matches(".rs").split('/').filter(|part| *part != "mod").collect();
    let ours = parts[0];
    if ours == "lib" {
        return Vec::new();
    }
    let Some(our_rank) = rank(ours) else {
        return vec![(1, format!("module `{ours}` has no rank: give it one in xtask/src/tidy/source.rs"))];
    };
    let mut found = Vec::new();
    for (name, line) in top_level_names(tokens, parts.len()) {
        match rank(name) {
            Some(theirs) if name != ours && theirs >= our_rank => {
                found
                    .push((line, format!("`{ours}` must not use `{name}`: arrows point from it, not to it")));
            }
            // Itself, one below, or an item that is no module.
            _ => {}
        }
    }
    found
}

fn rank(module: &str) -> Option<u32> {
    RANKS.iter().find(|(name, _)| *name == module).map(|(_, rank)| *rank)
}

/// What follows `crate::`, or as many `super::` as lead out of a module at this depth.
fn top_level_names(tokens: &[Token], depth: usize) -> Vec<(&str, usize)> {
    let mut names = Vec::new();
    for at in 0..tokens.len() {
        if reads(tokens, at, &["crate", ":", ":"]) {
            names.extend(heads(tokens, at + 3));
        } else if reads(tokens, at, &["super", ":", ":"])
            && !(at >= 3 && reads(tokens, at - 3, &["super", ":", ":"]))
        {
            let mut after = at;
            while reads(tokens, after, &["super", ":", ":"]) {
                after += 3;
            }
            if (after - at) / 3 >= depth {
                names.extend(heads(tokens, after));
            }
        }
    }
    names
}

/// The first name of each path that begins here: one, or those of a `{…}`.
fn heads(tokens: &[Token], at: usize) -> Vec<(&str, usize)> {
    let Some((first, line)) = tokens.get(at) else { return Vec::new() };
    if first != "{" {
        return vec![(first, *line)];
    }
    let mut names = Vec::new();
    let mut level = 1;
    let mut expected = true;
    for (text, line) in &tokens[at + 1..] {
        match text.as_str() {
            "{" => level += 1,
            "}" => level -= 1,
            "," if level == 1 => expected = true,
            name if level == 1 && expected => {
                names.push((name, *line));
                expected = false;
            }
            _ => {}
        }
        if level == 0 {
            break;
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines where something was found.
    fn lines(file: &str, text: &str) -> Vec<usize> {
        check(file, text).into_iter().map(|v| v.line).collect()
    }

    #[test]
    fn arrows_point_down() {
        let text = "//! Of crate::cli.\nuse crate::target::Avma;\nuse crate::model::Tasks;\nfn f() { crate::cli::main() }\n";
        assert_eq!(lines("probe-user/src/decode/x.rs", text), [3, 4]);
        assert_eq!(lines("probe-user/src/cli/x.rs", text), []);
        assert_eq!(lines("probe-user/src/decode.rs", text), [3, 4]);
        assert_eq!(lines("probe-user/src/lib.rs", text), []);
        assert_eq!(lines("tests/src/x.rs", text), []);
    }

    #[test]
    fn arrows_in_groups_and_by_super() {
        let group = "use crate::{\n    decode::{Task, model},\n    model::M,\n    tui::{self, cli},\n};\n";
        assert_eq!(lines("probe-user/src/trace/x.rs", group), [3, 4]);
        assert_eq!(lines("probe-user/src/trace/x.rs", "use super::super::model::M;\n"), [1]);
        assert_eq!(lines("probe-user/src/trace/mod.rs", "use super::model::M;\n"), [1]);
        assert_eq!(
            lines("probe-user/src/trace/x.rs", "use super::model::M;\n"),
            [],
            "a child of the same parent"
        );
        assert_eq!(lines("probe-user/src/tui/x.rs", "use crate::export::E;\n"), [1], "siblings");
        assert_eq!(lines("probe-user/src/trace/x.rs", "use crate::trace::E;\npub(crate) mod y;\n"), []);
    }

    #[test]
    fn a_module_without_a_rank() {
        assert_eq!(lines("probe-user/src/plugins/x.rs", ""), [1]);
    }

    #[test]
    fn unsafe_code_has_its_places() {
        let text = "// unsafe\nconst S: &str = \"unsafe\";\nfn f() {\n    unsafe { g() }\n}\n";
        assert_eq!(lines("probe-user/src/target/x.rs", text), [4]);
        assert_eq!(lines("xtask/src/x.rs", "#![allow(unsafe_code)]\n"), [1]);
        assert_eq!(lines("probe-ebpf/src/lib.rs", text), [4]);
        for allowed in
            ["probe-user/src/sys/x.rs", "probe-ebpf/src/bpf/x.rs", "tests/targets/demo/src/main.rs"]
        {
            assert_eq!(lines(allowed, text), []);
        }
    }

    #[test]
    fn ignored_tests_and_empty_names() {
        assert_eq!(lines("tests/src/x.rs", "#[test]\n#[ignore]\nfn f() {}\n"), [2]);
        assert_eq!(lines("tests/src/x.rs", "#[ignore = \"slow\"]\nfn f() {}\n"), [1]);
        assert_eq!(lines("tests/src/x.rs", "/// #[ignore]\nfn ignore() {}\n"), []);
        assert_eq!(lines("probe-user/src/target/utils.rs", ""), [1]);
        assert_eq!(lines("xtask/src/helpers/x.rs", ""), [1]);
        assert_eq!(lines("xtask/src/x.rs", "mod manager;\nmod managed;\n"), [1]);
    }

    #[test]
    fn long_files_and_other_languages() {
        assert_eq!(lines("xtask/src/x.rs", &"\n".repeat(500)), []);
        assert_eq!(lines("xtask/src/x.rs", &"\n".repeat(501)), [501]);
        assert_eq!(lines("xtask/src/x.rs", "fn f() {\n"), [1]);
    }
}
