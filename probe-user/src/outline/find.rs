//! Which function a person means.

use crate::decode::SourceLine;
use crate::dwarf::without_parameters;

/// Indices of the functions that `wanted` can mean, in the order of the list; none or several where it is not clear.
///
/// The whole path is meant before a path without its parameters, that before the end of a path, that before any part of one.
/// `src/api.rs:155` means what is declared or awaits there.
pub fn find<'n>(functions: impl IntoIterator<Item = (&'n str, Vec<SourceLine>)>, wanted: &str) -> Vec<usize> {
    let functions: Vec<(&str, Vec<SourceLine>)> = functions.into_iter().collect();
    if let Some((file, line)) = file_and_line(wanted) {
        let is_there = |place: &SourceLine| place.line == line && ends_in(&place.file, file, "/");
        return which(&functions, |(_, places)| places.iter().any(is_there));
    }
    let exact = which(&functions, |(name, _)| *name == wanted);
    if !exact.is_empty() {
        return exact;
    }
    let bare = |name: &str| without_parameters(name);
    let same = which(&functions, |(name, _)| bare(name) == wanted);
    if !same.is_empty() {
        return same;
    }
    let ends =
        which(&functions, |(name, _)| ends_in(name, wanted, "::") || ends_in(&bare(name), wanted, "::"));
    if !ends.is_empty() {
        return ends;
    }
    which(&functions, |(name, _)| !wanted.is_empty() && name.contains(wanted))
}

fn which<T>(list: &[T], is_meant: impl Fn(&T) -> bool) -> Vec<usize> {
    list.iter().enumerate().filter(|(_, one)| is_meant(one)).map(|(i, _)| i).collect()
}

fn file_and_line(wanted: &str) -> Option<(&str, u32)> {
    let (file, line) = wanted.rsplit_once(':')?;
    let line = line.parse().ok()?;
    file.ends_with(".rs").then_some((file, line))
}

fn ends_in(whole: &str, end: &str, separator: &str) -> bool {
    whole.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with(separator))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 7] = [
        "shop::api::fetch<u8>",
        "shop::api::fetch<u16>",
        "shop::api::fetch_all",
        "shop::db::fetch_all",
        "shop::main::{async_block#0}",
        "<shop::Api as shop::Service>::call",
        "shop::call",
    ];

    fn found(wanted: &str) -> Vec<&'static str> {
        let at = |line| vec![SourceLine { file: "/w/shop/src/api.rs".into(), line }];
        let functions = NAMES.iter().enumerate().map(|(i, name)| (*name, at(10 * i as u32)));
        find(functions, wanted).into_iter().map(|i| NAMES[i]).collect()
    }

    #[test]
    fn what_says_more_is_meant_first() {
        assert_eq!(found("shop::api::fetch<u8>"), ["shop::api::fetch<u8>"]);
        assert_eq!(found("shop::api::fetch"), ["shop::api::fetch<u8>", "shop::api::fetch<u16>"]);
        assert_eq!(found("fetch<u16>"), ["shop::api::fetch<u16>"]);
        assert_eq!(found("api::fetch_all"), ["shop::api::fetch_all"]);
        assert_eq!(found("fetch_all"), ["shop::api::fetch_all", "shop::db::fetch_all"]);
        assert_eq!(found("main"), ["shop::main::{async_block#0}"]);
        assert_eq!(found("call"), ["<shop::Api as shop::Service>::call", "shop::call"]);
        assert_eq!(found("shop::call"), ["shop::call"]);
        assert_eq!(found("nothing"), [""; 0]);
        assert_eq!(found(""), [""; 0]);
    }

    #[test]
    fn a_place_means_the_function_there() {
        assert_eq!(found("src/api.rs:20"), ["shop::api::fetch_all"]);
        assert_eq!(found("/w/shop/src/api.rs:40"), ["shop::main::{async_block#0}"]);
        assert_eq!(found("pi.rs:20"), [""; 0]);
        assert_eq!(found("src/api.rs:21"), [""; 0]);
    }
}
