//! Names as people write them, out of linkage names and DWARF paths.

/// A linkage name without its hash; other names unchanged.
pub fn demangled(linkage: &str) -> String {
    // LTO appends `.llvm.123…` to functions it promotes.
    let linkage = linkage.split(".llvm.").next().unwrap_or(linkage);
    format!("{:#}", rustc_demangle::demangle(linkage))
}

/// Without the generic arguments that follow a name: legacy mangling has only `T` there, v0 the concrete type, and the
/// coroutine's own arguments tell it in either.
fn without_arguments(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    let mut depth = 0usize;
    let mut previous = ' ';
    for c in path.chars() {
        match c {
            '<' if depth > 0 || previous.is_alphanumeric() || previous == '_' => depth += 1,
            '>' if depth > 0 && previous != '-' => depth -= 1,
            c if depth == 0 => out.push(c),
            _ => {}
        }
        previous = c;
    }
    out
}

/// The self type of an impl, from the demangled name of a function that stands `below` segments deep in it:
/// `app::Client::fetch::{{closure}}` (2 below) is `app::Client`, `<app::C as app::Svc>::call` (1) is `<app::C as app::Svc>`.
pub(super) fn impl_self(demangled: &str, below: usize) -> Option<String> {
    let bare = without_arguments(demangled);
    let segments = split_path(&bare);
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
        assert_eq!(impl_self(svc, 2).as_deref(), Some("<app::C as app::Svc>"));
        assert_eq!(impl_self("<m::Mutex<fn(u8) -> u8>>::lock::{closure#0}", 2).as_deref(), Some("m::Mutex"));
        assert_eq!(impl_self("m::Mutex<T>::lock", 1).as_deref(), Some("m::Mutex"));
        assert_eq!(impl_self("app::<impl app::Svc for u32>::call", 1).as_deref(), Some("<u32 as app::Svc>"));
        assert_eq!(impl_self("call", 1), None);
    }
}
