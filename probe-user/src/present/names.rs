//! Function paths for people: shorter, escaped. JSON never passes here.

use super::escape::escape;
pub use crate::dwarf::without_parameters;
use crate::trace::Doer;

/// Longest function name a line of text shows in full.
const LONG: usize = 72;

/// Who does something to a task.
pub fn doer(doer: Doer) -> String {
    match doer {
        Doer::Task(task) => format!("task #{}", task.id),
        Doer::Thread(tid) => format!("thread {tid}"),
    }
}

/// `<T as Trait>::f` → `T` and `f`, of a path without parameters.
fn of_trait(bare: &str) -> Option<(&str, &str)> {
    let (own, rest) = bare.strip_prefix('<')?.split_once(" as ")?;
    let (_, function) = rest.split_once(">::")?;
    Some((own, function))
}

/// The whole path where it fits, else without type parameters, else cut.
pub fn function(function: &str) -> String {
    let full = escape(function);
    if full.chars().count() <= LONG {
        return full.into_owned();
    }
    let bare = without_parameters(&full);
    if bare.chars().count() <= LONG {
        return bare;
    }
    let bare = of_trait(&bare).map_or(bare.clone(), |(own, function)| format!("{own}::{function}"));
    if bare.chars().count() <= LONG {
        return bare;
    }
    let kept: String = bare.chars().take(LONG - 1).collect();
    kept + "…"
}

/// The name in at most `width` characters: in full, shortened, or cut.
pub fn fit(function: &str, width: usize) -> String {
    let full = self::function(function);
    if full.chars().count() <= width {
        return full;
    }
    let short = short(function);
    if short.chars().count() <= width {
        return short;
    }
    short.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// The same for a column, where one compares names: `…` stands for modules that are left out.
pub fn column(function: &str, width: usize) -> String {
    let fits = |name: &String| name.chars().count() <= width;
    let bare = without_parameters(&escape(function));
    let longer = [self::function(function), bare].into_iter().chain(without_modules(function));
    longer.into_iter().find(fits).unwrap_or_else(|| fit(function, width))
}

/// `a::b::c::D::f` → `a::…::D::f` and `a::…::f`.
fn without_modules(function: &str) -> Vec<String> {
    let bare = without_parameters(&escape(function));
    let parts = parts(&bare);
    let (named, blocks) = named_and_blocks(&parts);
    let [first, .., last] = named else { return Vec::new() };
    let name = |tail: &[&str]| [&[*first, "…"], tail, blocks].concat().join("::");
    let before = named.len().checked_sub(2).filter(|at| *at > 1 && !is_type(last)).map(|at| named[at]);
    let longer = before.map(|before| name(&[before, last]));
    longer.into_iter().chain((named.len() > 2).then(|| name(&[last]))).collect()
}

fn parts(bare: &str) -> Vec<&str> {
    if bare.starts_with('<') {
        return Vec::new();
    }
    bare.split("::").filter(|part| !part.starts_with("{impl")).collect()
}

/// The function, and which block or closure of it.
fn named_and_blocks<'p, 's>(parts: &'p [&'s str]) -> (&'p [&'s str], &'p [&'s str]) {
    parts.split_at(parts.iter().rposition(|part| !part.starts_with('{')).map_or(0, |last| last + 1))
}

/// `reqwest::async_impl::client::Client::execute` → `reqwest::Client::execute`; `tokio::time::sleep::Sleep` →
/// `tokio::Sleep`.
pub fn short(function: &str) -> String {
    if function.starts_with("dyn ") {
        return type_name(function, LONG);
    }
    let bare = without_parameters(&escape(function));
    if let Some((own, function)) = of_trait(&bare) {
        return format!("{}::{function}", short(own));
    }
    let parts: Vec<&str> = bare.split("::").filter(|part| !part.starts_with("{impl")).collect();
    let (named, blocks) = named_and_blocks(&parts);
    let named = match named {
        [first, .., last] if is_type(last) && !first.starts_with('<') => vec![*first, *last],
        [first, _, .., last] if !blocks.is_empty() => vec![*first, *last],
        [first, .., before, last] if named.len() > 3 => vec![*first, *before, *last],
        _ => named.to_vec(),
    };
    [&named, blocks].concat().join("::")
}

/// A type without the paths of what is in it: `Option<Letter>`, `&[MutexGuard<Pool>]`; at most `width` characters.
pub fn type_name(ty: &str, width: usize) -> String {
    let ty = without_bodies(&escape(ty));
    let (mut out, mut rest) = (String::new(), &*ty);
    while let Some(at) = rest.find(|c: char| c.is_alphanumeric() || c == '_') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let is_path = |c: char| c.is_alphanumeric() || matches!(c, '_' | ':' | '#');
        let end = rest.find(|c| !is_path(c)).unwrap_or(rest.len());
        let (path, after) = rest.split_at(end);
        out.push_str(path.rsplit("::").next().unwrap_or(path));
        rest = after;
    }
    out.push_str(rest);
    // Nobody chose the allocator.
    let out = out.replace(", Global>", ">");
    if out.chars().count() <= width {
        return out;
    }
    out.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// `shop::fetch::{async_fn_env#0}<T>` → `shop::fetch<T>`: people call the future of a function as the function.
fn without_bodies(ty: &str) -> String {
    let mut parts = ty.split("::{async_fn_env#");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str(part.split_once('}').map_or("", |(_, rest)| rest));
    }
    out
}

fn is_type(part: &str) -> bool {
    part.starts_with(|c: char| c.is_uppercase())
}

/// The crate a function's path begins with.
pub fn crate_of(function: &str) -> &str {
    let path = function.trim_start_matches(['<', '&']);
    path.split("::").next().unwrap_or(path)
}

/// How many functions a shortened chain names.
const CHAIN: usize = 6;

/// The functions of an await chain, outermost first, as `a → b::c → hyper… → d`: of each run of one crate the
/// first is named, of the last run also the last.
pub fn chain<'a>(functions: impl IntoIterator<Item = &'a str>) -> String {
    let functions: Vec<&str> = functions.into_iter().collect();
    let mut shown: Vec<String> = Vec::new();
    let mut previous = "";
    for (i, function) in functions.iter().enumerate() {
        let last = i + 1 == functions.len();
        let this = crate_of(function);
        if this != previous || last {
            shown.push(short(function));
        } else if let Some(run) = shown.last_mut()
            && !run.ends_with('…')
        {
            run.push('…');
        }
        previous = this;
    }
    if shown.len() > CHAIN {
        let tail = shown.split_off(shown.len() - 2);
        shown.truncate(CHAIN - 3);
        shown.push("…".into());
        shown.extend(tail);
    }
    shown.join(" → ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_go_and_self_types_stay() {
        assert_eq!(without_parameters("a::f<u32, b::C<d>>"), "a::f");
        assert_eq!(without_parameters("a::f<fn(u8) -> u8>::{async_block#0}"), "a::f::{async_block#0}");
        assert_eq!(without_parameters("<T as Trait>::f"), "<T as Trait>::f");
    }

    #[test]
    fn short_names_keep_the_crate_the_type_and_the_function() {
        assert_eq!(short("reqwest::async_impl::client::Client::execute"), "reqwest::Client::execute");
        assert_eq!(short("shop::api::{impl#3}::fetch"), "shop::api::fetch");
        assert_eq!(short("tokio::time::sleep::Sleep"), "tokio::Sleep");
        let block = "orders::main::{async_block#0}::{async_block#1}";
        assert_eq!(short(block), block, "whose block it is tells more than anything");
        assert_eq!(short("a::b::c::D::f::{async_block#0}"), "a::f::{async_block#0}");
        let call = "<server::service::Streams<S,I> as service::Service<(A,B)>>::call::{async_block#0}";
        assert_eq!(short(call), "server::Streams::call::{async_block#0}");
        assert_eq!(short("<&mut T as Trait>::f"), "&mut T::f");
    }

    #[test]
    fn types_lose_their_paths() {
        let name = |ty| type_name(ty, 60);
        assert_eq!(name("core::option::Option<shop::mail::Letter>"), "Option<Letter>");
        assert_eq!(name("alloc::vec::Vec<shop::db::Connection, alloc::alloc::Global>"), "Vec<Connection>");
        assert_eq!(name("&[(u8, &mut a::B)]"), "&[(u8, &mut B)]");
        assert_eq!(name("[u8; 4096]"), "[u8; 4096]");
        assert_eq!(name("shop::f::{async_block_env#0}<a::T>"), "{async_block_env#0}<T>");
        assert_eq!(
            name("(m::MaybeDone<shop::f::{async_fn_env#0}>, shop::g::{async_fn_env#1}<u8>)"),
            "(MaybeDone<f>, g<u8>)"
        );
        assert_eq!(name("dyn core::fmt::Debug + Send"), "dyn Debug + Send");
        assert_eq!(type_name("a::Long<b::Name>", 8), "Long<Na…");
    }

    #[test]
    fn chains_name_each_crate_once_and_the_leaf() {
        let all =
            ["shop::f", "reqwest::a::C::x", "reqwest::b", "hyper::c", "hyper::d", "tokio::net::T::read"];
        assert_eq!(chain(all), "shop::f → reqwest::C::x… → hyper::c… → tokio::T::read");
        let many = ["a::f", "b::f", "c::f", "d::f", "e::f", "f::f", "g::f"];
        assert_eq!(chain(many), "a::f → b::f → c::f → … → f::f → g::f");
    }

    #[test]
    fn long_names_are_cut() {
        let long = format!("a::{}", "x".repeat(200));
        assert_eq!(function(&long).chars().count(), LONG);
        let call =
            "<actix_server::service::StreamService<S,I> as actix_service::Service<A>>::call::{async_block#0}";
        assert_eq!(function(call), "actix_server::service::StreamService::call::{async_block#0}");
        assert_eq!(function("a\x1b::f"), "a\\u{1b}::f");
        let connection = "axum::serve::handle_connection::{async_block#3}<tokio::net::TcpListener>";
        assert_eq!(column(connection, 47), "axum::serve::handle_connection::{async_block#3}");
        assert_eq!(column(connection, 44), "axum::…::handle_connection::{async_block#3}");
        assert_eq!(column("reqwest::async_impl::client::Client::execute", 30), "reqwest::…::Client::execute");
        assert_eq!(column("reqwest::async_impl::client::Client::execute", 20), "reqwest::…::execute");
        assert_eq!(
            (fit(connection, 44), fit(connection, 12)),
            (column(connection, 40), "axum::handl…".into())
        );
    }
}
