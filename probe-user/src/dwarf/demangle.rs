//! Names as people write them, out of linkage names and DWARF paths.

/// A linkage name without its hash; other names unchanged.
pub fn demangled(linkage: &str) -> String {
    // LTO appends `.llvm.123…` to functions it promotes.
    let linkage = linkage.split(".llvm.").next().unwrap_or(linkage);
    format!("{:#}", rustc_demangle::demangle(linkage))
}

/// `<A, B<C, D>>` → `A`, `B<C, D>`.
pub fn split_arguments(generics: &str) -> Vec<&str> {
    let Some(inner) = generics.strip_prefix('<').and_then(|g| g.strip_suffix('>')) else { return Vec::new() };
    let bytes = inner.as_bytes();
    let (mut depth, mut start) = (0usize, 0);
    let mut arguments = Vec::new();
    for (i, byte) in bytes.iter().enumerate() {
        match byte {
            b'<' | b'(' | b'[' | b'{' => depth += 1,
            b'>' if i > 0 && bytes[i - 1] == b'-' => {}
            b'>' | b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                arguments.push(inner[start..i].trim());
                start = i + 1;
            }
            _ => {}
        }
    }
    arguments.push(inner[start..].trim());
    arguments
}

/// The path without its type parameters, but with the self type of `<T as Trait>::f` kept.
pub fn without_parameters(function: &str) -> String {
    let mut out = String::with_capacity(function.len());
    let mut depth = 0u32;
    let mut previous = ' ';
    for c in function.chars() {
        match c {
            '<' if !out.is_empty() => depth += 1,
            '>' if depth > 0 && previous != '-' => depth -= 1,
            _ if depth == 0 => out.push(c),
            _ => {}
        }
        previous = c;
    }
    out
}

/// An impl's self type with its generic arguments as they are in this instance; those it tells leave `arguments`.
///
/// v0 mangling has the types themselves there. Legacy has the parameters' names (`Keyed<K>`): one of them must be the
/// first argument, several might be declared in another order, and are left as they are.
pub(super) fn substitute(own: &str, arguments: &mut Vec<&str>) -> String {
    if let [parameter] = parameters(own)[..]
        && let Some(first) = arguments.first()
        && let Some(out) = replace_word(own, parameter, first)
    {
        arguments.remove(0);
        return out;
    }
    arguments.retain(|argument| find_word(own, argument).is_none());
    own.to_owned()
}

/// Words of a type that can only be generic parameters: a single name, in upper case as rustc demands of them.
fn parameters(own: &str) -> Vec<&str> {
    let inside = own.find('<').map_or("", |at| &own[at..]);
    let part = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let mut found: Vec<&str> = inside
        .split(|c| !part(c))
        .filter(|word| word.starts_with(|c: char| c.is_ascii_uppercase()) && !word.contains(':'))
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// Where `word` stands in `text` with no part of a name or path on either side.
fn find_word(text: &str, word: &str) -> Option<usize> {
    let part = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    text.match_indices(word).map(|(at, _)| at).find(|at| {
        let before = text[..*at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        !before.is_some_and(part) && !after.is_some_and(part)
    })
}

fn replace_word(text: &str, word: &str, by: &str) -> Option<String> {
    let at = find_word(text, word)?;
    Some(format!("{}{by}{}", &text[..at], &text[at + word.len()..]))
}

/// The self type of an impl, from the demangled name of a function that stands `below` segments deep in it:
/// `app::Client::fetch::{{closure}}` (2 below) is `app::Client`, `<app::C as app::Svc>::call` (1) is `<app::C as app::Svc>`.
pub(super) fn impl_self(demangled: &str, below: usize) -> Option<String> {
    let segments = split_path(demangled);
    let keep = segments.len().checked_sub(below).filter(|n| *n > 0)?;
    let (last, parents) = segments[..keep].split_last()?;
    // v0 writes `<app::Client>::fetch`, legacy `app::<impl app::Svc for u32>::call`.
    let Some(inner) = last.strip_prefix('<').and_then(|s| s.strip_suffix('>')) else {
        return Some(segments[..keep].join("::"));
    };
    if let Some(of) = inner.strip_prefix("impl ") {
        return Some(match of.split_once(" for ") {
            Some((interface, own)) => format!("<{own} as {interface}>"),
            None => of.to_owned(),
        });
    }
    if !parents.is_empty() {
        return Some(segments[..keep].join("::"));
    }
    Some(if inner.contains(" as ") { format!("<{inner}>") } else { inner.to_owned() })
}

/// Splits at `::` outside brackets.
pub(super) fn split_path(path: &str) -> Vec<&str> {
    let bytes = path.as_bytes();
    let (mut depth, mut start, mut i) = (0usize, 0, 0);
    let mut segments = Vec::new();
    while i < bytes.len() {
        match bytes[i] {
            b'<' | b'(' | b'[' | b'{' => depth += 1,
            b'>' if i > 0 && bytes[i - 1] == b'-' => {}
            b'>' | b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b':' if depth == 0 && bytes.get(i + 1) == Some(&b':') => {
                segments.push(&path[start..i]);
                i += 1;
                start = i + 1;
            }
            _ => {}
        }
        i += 1;
    }
    segments.push(&path[start..]);
    segments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impls_are_named_by_their_self_type() {
        assert_eq!(impl_self("app::api::Client::fetch::{{closure}}", 2).as_deref(), Some("app::api::Client"));
        assert_eq!(
            impl_self("<app::api::Client>::fetch::{closure#0}", 2).as_deref(),
            Some("app::api::Client")
        );
        let svc = "<app::C<T> as app::Svc>::call::{{closure}}";
        assert_eq!(impl_self(svc, 2).as_deref(), Some("<app::C<T> as app::Svc>"));
        assert_eq!(impl_self("m::Mutex<T>::lock", 1).as_deref(), Some("m::Mutex<T>"));
        assert_eq!(impl_self("app::<impl app::Svc for u32>::call", 1).as_deref(), Some("<u32 as app::Svc>"));
        assert_eq!(impl_self("call", 1), None);
    }

    #[test]
    fn arguments_of_an_impl_are_those_of_the_instance() {
        let mut rest = vec!["u64", "app::G<u8>"];
        assert_eq!(substitute("m::Keyed<T>", &mut rest), "m::Keyed<u64>");
        assert_eq!(rest, ["app::G<u8>"]);
        let mut rest = vec!["u64", "app::G<u8>"];
        assert_eq!(substitute("<m::Keyed<u64> as m::Tr>", &mut rest), "<m::Keyed<u64> as m::Tr>");
        assert_eq!(rest, ["app::G<u8>"]);
        let mut rest = vec!["u64", "u8"];
        assert_eq!(substitute("m::Pair<K, V>", &mut rest), "m::Pair<K, V>");
        assert_eq!(rest, ["u64", "u8"]);
        assert_eq!(split_arguments("<u8, fn(u8) -> u8, A<B, C>>"), ["u8", "fn(u8) -> u8", "A<B, C>"]);
    }
}
