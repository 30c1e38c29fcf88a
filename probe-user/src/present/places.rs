//! Source paths for people: the user's own relative to the project, libraries as crate-version/….

use super::escape::escape;
use crate::decode::{Frames, SourceLine};
use std::sync::Arc;

/// Knows which directory the user's own code lives in. JSON never passes here.
#[derive(Clone, Debug, Default)]
pub struct Places {
    own_root: Option<String>,
}

impl Places {
    /// Learns the project's directory from the frames seen so far.
    pub fn of(frames: &Frames) -> Places {
        let frames = (0..frames.len()).map(|id| frames.get(crate::decode::FrameId(id as u32)));
        let own = frames.filter(|frame| frame.own_code);
        Places::of_own(own.filter_map(|frame| frame.line.as_ref().map(|line| line.file.clone())))
    }

    /// From files of the user's own code.
    pub fn of_own(files: impl IntoIterator<Item = Arc<str>>) -> Places {
        let mut root: Option<String> = None;
        for file in files.into_iter().filter(|file| file.starts_with('/')) {
            let here = crate_root(&file);
            root = Some(match root {
                None => here.to_owned(),
                Some(root) => common_directory(&root, here).to_owned(),
            });
        }
        Places { own_root: root.filter(|root| root.len() > 1) }
    }

    /// `src/api.rs:156`, escaped.
    pub fn show(&self, line: &SourceLine) -> String {
        format!("{}:{}", escape(&self.file(&line.file)), line.line)
    }

    fn file(&self, file: &str) -> String {
        if let Some(root) = &self.own_root
            && let Some(rest) = file.strip_prefix(root.as_str())
            && let Some(rest) = rest.strip_prefix('/')
        {
            return rest.into();
        }
        library(file).unwrap_or(file).into()
    }
}

/// The end of a place, which tells most, in at most `width` characters.
pub fn ending(place: &str, width: usize) -> String {
    let long = place.chars().count();
    if long <= width {
        return place.to_owned();
    }
    std::iter::once('…').chain(place.chars().skip(long + 1 - width.max(1))).collect()
}

/// The part of a library's path that names crate and file.
fn library(file: &str) -> Option<&str> {
    let after = |marker: &str| file.find(marker).map(|at| &file[at + marker.len()..]);
    // …/registry/src/<index>/tokio-1.54.0/src/x.rs and …/git/checkouts/<name-hash>/<rev>/src/x.rs
    if let Some((_index, rest)) = after("/registry/src/").and_then(|rest| rest.split_once('/')) {
        return Some(rest);
    }
    after("/git/checkouts/")
        .or_else(|| file.strip_prefix("/rustc/").and_then(|rest| rest.split_once('/')).map(|(_, rest)| rest))
        .or_else(|| after("/rustlib/src/rust/"))
}

/// The directory above `src`, `tests`, `examples` or `benches`; else the file's own.
fn crate_root(file: &str) -> &str {
    ["/src/", "/tests/", "/examples/", "/benches/"]
        .iter()
        .filter_map(|part| file.rfind(part))
        .max()
        .or_else(|| file.rfind('/'))
        .map_or("", |at| &file[..at])
}

fn common_directory<'a>(a: &'a str, b: &str) -> &'a str {
    let mut end = 0;
    for (part_a, part_b) in a.split_inclusive('/').zip(b.split_inclusive('/')) {
        if part_a.trim_end_matches('/') != part_b.trim_end_matches('/') {
            break;
        }
        end += part_a.len();
    }
    a[..end].trim_end_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_show_crate_and_version() {
        let places = Places { own_root: Some("/srv/shop".into()) };
        let show = |file: &str| places.show(&SourceLine { file: file.into(), line: 7 });
        assert_eq!(show("/h/.cargo/registry/src/index.x-1/tokio-1.54.0/src/a.rs"), "tokio-1.54.0/src/a.rs:7");
        assert_eq!(show("/h/.cargo/git/checkouts/foo-12/ab/src/a.rs"), "foo-12/ab/src/a.rs:7");
        assert_eq!(show("/rustc/0123/library/core/src/x.rs"), "library/core/src/x.rs:7");
        assert_eq!(show("/srv/shop/src/api.rs"), "src/api.rs:7");
        assert_eq!(show("/srv/shopping/src/api.rs"), "/srv/shopping/src/api.rs:7");
        assert_eq!(show("src/a\x1b.rs"), "src/a\\u{1b}.rs:7");
    }

    #[test]
    fn of_a_long_place_the_end_is_kept() {
        assert_eq!(ending("src/api.rs:156", 14), "src/api.rs:156");
        assert_eq!(ending("tokio-1.54.1/src/macros/select.rs:746", 20), "…acros/select.rs:746");
        assert_eq!(ending("src/api.rs:156", 1), "…");
    }

    #[test]
    fn own_roots_meet_in_the_workspace() {
        assert_eq!(crate_root("/w/crates/a/src/x/y.rs"), "/w/crates/a");
        assert_eq!(common_directory("/w/crates/a", "/w/crates/b"), "/w/crates");
        assert_eq!(common_directory("/w/a", "/w/a"), "/w/a");
        assert_eq!(common_directory("/w", "/v"), "");
    }
}
