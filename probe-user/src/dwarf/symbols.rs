//! Names out of the symbol table, for builds whose debug information has no types.

use super::demangle::{demangled, split_path};
use crate::target::Svma;
use object::{Object, ObjectSymbol};

/// A function that polls one kind of task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PollSymbol {
    pub address: Svma,
    /// The future's type as the mangled name has it; v0 names only.
    pub future: Option<String>,
}

/// `tokio::runtime::task::raw::poll` in all its instances. Empty where the symbol table was stripped.
pub fn poll_symbols(object: &[u8]) -> Vec<PollSymbol> {
    let Ok(file) = object::File::parse(object) else { return Vec::new() };
    let mut found: Vec<PollSymbol> = Vec::new();
    for symbol in file.symbols() {
        let Some(name) = symbol.name().ok().filter(|name| name.contains("task3raw4poll")) else { continue };
        let name = demangled(name);
        let Some(arguments) = name.strip_prefix("tokio::runtime::task::raw::poll") else { continue };
        let future = arguments.strip_prefix("::<").and_then(|a| a.strip_suffix('>')).and_then(first_argument);
        if arguments.is_empty() || future.is_some() {
            let future = future.map(|f| future_name(&f));
            found.push(PollSymbol { address: Svma(symbol.address()), future });
        }
    }
    found.sort_by_key(|s| s.address);
    found.dedup_by_key(|s| s.address);
    found
}

/// Where the program uses tokio at all, stripped or not: its panic messages name their source files.
pub fn mentions_tokio(object: &[u8]) -> bool {
    use object::ObjectSection;
    let Ok(file) = object::File::parse(object) else { return false };
    let Some(section) = file.section_by_name(".rodata") else { return false };
    let needle = b"/src/runtime/task/";
    section.data().is_ok_and(|data| data.windows(needle.len()).any(|window| window == needle))
}

/// `A, B<C, D>` → `A`.
pub(super) fn first_argument(arguments: &str) -> Option<String> {
    let mut depth = 0usize;
    let bytes = arguments.as_bytes();
    for (i, byte) in bytes.iter().enumerate() {
        match byte {
            b'<' | b'(' | b'[' | b'{' => depth += 1,
            b'>' if i > 0 && bytes[i - 1] == b'-' => {}
            b'>' | b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => return Some(arguments[..i].to_owned()),
            _ => {}
        }
    }
    (!arguments.is_empty()).then(|| arguments.to_owned())
}

/// A coroutine's printed type as the function it is the body of: `app::f::{async_fn_env#0}<T>` is `app::f<T>`,
/// a v0 symbol's `app::f::{closure#0}` is `app::f`.
pub(super) fn future_name(printed: &str) -> String {
    let mut segments = split_path(printed);
    let Some(last) = segments.pop() else { return printed.to_owned() };
    let (head, generics) = last.find('}').map_or((last, ""), |end| last.split_at(end + 1));
    let body = head.starts_with("{async_fn_env#") || head == "{closure#0}";
    segments.retain(|s| !s.starts_with("{async_fn#"));
    let mut name = segments.join("::");
    if !body {
        name = format!("{name}{}{}", if name.is_empty() { "" } else { "::" }, head.replacen("_env#", "#", 1));
    }
    name + generics
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn futures_are_named_by_their_function() {
        assert_eq!(future_name("app::f::{async_fn_env#0}<u8>"), "app::f<u8>");
        assert_eq!(future_name("app::f::{closure#0}"), "app::f");
        assert_eq!(future_name("app::f::{async_fn#0}::{async_block_env#1}"), "app::f::{async_block#1}");
        assert_eq!(future_name("core::pin::Pin<X>"), "core::pin::Pin<X>");
        assert_eq!(first_argument("app::f<A, B>, alloc::sync::Arc<H>").as_deref(), Some("app::f<A, B>"));
    }
}
