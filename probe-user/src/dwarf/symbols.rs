//! Names out of the symbol table, for builds whose debug information has no types.

use super::demangle::{demangled, split_arguments, split_path};
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
    found.sort_by(|a, b| (a.address, &a.future).cmp(&(b.address, &b.future)));
    // Of equal functions that were folded each may have left its name: then none of them is the future's.
    found.dedup_by(|next, kept| {
        let same = next.address == kept.address;
        if same && next.future != kept.future {
            kept.future = None;
        }
        same
    });
    found
}

/// `async_task::raw::RawTask::run` in all its instances. Empty where the symbol table was stripped.
pub fn run_symbols(object: &[u8]) -> Vec<PollSymbol> {
    let Ok(file) = object::File::parse(object) else { return Vec::new() };
    let mut found: Vec<PollSymbol> = Vec::new();
    for symbol in file.symbols().filter(|symbol| symbol.address() != 0) {
        let Some(name) = symbol.name().ok().filter(|name| name.contains("async_task3raw")) else { continue };
        let name = demangled(name);
        let raw_task = name.strip_suffix("::run").map(|task| task.trim_start_matches('<'));
        let Some(raw_task) = raw_task.and_then(|task| task.strip_prefix("async_task::raw::RawTask<")) else {
            continue;
        };
        // Legacy mangling has the parameters' names only.
        let future = raw_task.strip_suffix(">>").and_then(first_argument).filter(|future| future != "F");
        let future = future.map(|future| future_name(unwrapped(&future)));
        found.push(PollSymbol { address: Svma(symbol.address()), future });
    }
    found.sort_by_key(|s| s.address);
    found.dedup_by_key(|s| s.address);
    found
}

/// The future that an executor's wrapper holds.
fn unwrapped(mut future: &str) -> &str {
    const WRAPPERS: [&str; 2] =
        ["async_executor::AsyncCallOnDrop", "async_std::task::builder::SupportTaskLocals"];
    for wrapper in WRAPPERS {
        let arguments = future.strip_prefix(wrapper).map(|rest| rest.trim_start_matches(':'));
        let first = arguments.map(split_arguments).and_then(|arguments| arguments.first().copied());
        future = first.unwrap_or(future);
    }
    future
}

/// Runtimes whose source files a program's panic messages name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mentioned {
    pub tokio: bool,
    pub async_task: bool,
    pub futures_executor: bool,
}

/// Which runtimes the program has code of, stripped or not. A program may mention one and not use it.
pub fn mentioned_runtimes(object: &[u8]) -> Mentioned {
    use object::ObjectSection;
    let data = object::File::parse(object)
        .ok()
        .and_then(|file| file.section_by_name(".rodata").and_then(|section| section.data().ok()));
    let Some(data) = data else { return Mentioned::default() };
    let has = |needle: &[u8]| memchr::memmem::find(data, needle).is_some();
    Mentioned {
        tokio: has(b"/src/runtime/task/"),
        async_task: has(b"/async-task-") || has(b"/async-executor-"),
        futures_executor: has(b"/futures-executor-"),
    }
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
pub fn future_name(printed: &str) -> String {
    let printed = unboxed(printed);
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

/// `Pin<Box<F>>` → `F`, if that is a type by itself.
pub(super) fn unboxed(printed: &str) -> &str {
    let boxed = printed.strip_prefix("core::pin::Pin<alloc::boxed::Box<").and_then(|p| p.strip_suffix(">>"));
    let Some(boxed) = boxed.filter(|b| !b.trim_start_matches('(').starts_with("dyn ")) else {
        return printed;
    };
    first_argument(boxed).map_or(printed, |future| &boxed[..future.len()])
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
        let boxed = "core::pin::Pin<alloc::boxed::Box<app::f::{async_fn_env#0}<u8>, alloc::alloc::Global>>";
        assert_eq!(future_name(boxed), "app::f<u8>");
        let object = "core::pin::Pin<alloc::boxed::Box<(dyn core::future::future::Future<Output=()>), alloc::alloc::Global>>";
        assert_eq!(unboxed(object), object);
        let wrapped = "async_executor::AsyncCallOnDrop<app::f::{closure#0}, app::C<u8>>";
        assert_eq!(future_name(unwrapped(wrapped)), "app::f");
        assert_eq!(unwrapped("app::F<u8>"), "app::F<u8>");
        assert_eq!(first_argument("app::f<A, B>, alloc::sync::Arc<H>").as_deref(), Some("app::f<A, B>"));
    }
}
