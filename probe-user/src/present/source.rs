//! Lines of the user's source, for the card.

use crate::decode::SourceLine;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;
use std::time::SystemTime;

/// Gives the text of a source line, or nothing.
pub trait SourceText {
    fn text(&self, line: &SourceLine) -> Option<String>;
}

/// For outputs without source text.
pub struct NoSource;

impl SourceText for NoSource {
    fn text(&self, _: &SourceLine) -> Option<String> {
        None
    }
}

/// Bytes of the largest source file that is read.
const LARGEST: u64 = 4 << 20;
/// Files remembered.
const CACHED: usize = 256;
/// Characters of a line that are shown.
const WIDEST: usize = 160;

/// Reads `.rs` files under `--src-path`, or at the path that the compiler wrote.
///
/// File names come from the target's debug info, so only regular files that end in `.rs` are opened, and `..`
/// never leaves `--src-path`.
pub struct SourceFiles {
    src_path: Option<PathBuf>,
    /// A source newer than the program may not be what was compiled: its text is then not shown.
    built: Option<SystemTime>,
    files: RefCell<HashMap<String, Option<Rc<str>>>>,
}

impl SourceFiles {
    pub fn new(src_path: Option<PathBuf>, built: Option<SystemTime>) -> SourceFiles {
        SourceFiles { src_path, built, files: RefCell::default() }
    }

    fn file(&self, name: &str) -> Option<Rc<str>> {
        if let Some(known) = self.files.borrow().get(name) {
            return known.clone();
        }
        let text = self.candidates(name).iter().find_map(|path| self.read(path)).map(Rc::from);
        let mut files = self.files.borrow_mut();
        if files.len() >= CACHED {
            files.clear();
        }
        files.insert(name.to_owned(), text.clone());
        text
    }

    /// Under `--src-path`, the longest suffix of the compiler's path that exists; else that path itself.
    fn candidates(&self, name: &str) -> Vec<PathBuf> {
        let name = Path::new(name);
        let mut paths = Vec::new();
        let parts: Vec<&std::ffi::OsStr> = name
            .components()
            .filter_map(|part| if let Component::Normal(part) = part { Some(part) } else { None })
            .collect();
        let climbs = name.components().any(|part| part == Component::ParentDir);
        if let Some(root) = self.src_path.as_ref().filter(|_| !climbs) {
            paths.extend((0..parts.len()).map(|skip| root.join(parts[skip..].iter().collect::<PathBuf>())));
        }
        if name.is_absolute() && !climbs {
            paths.push(name.to_owned());
        }
        paths
    }

    fn read(&self, path: &Path) -> Option<String> {
        if path.extension()? != "rs" {
            return None;
        }
        let meta = fs::metadata(path).ok()?;
        let changed = self.built.zip(meta.modified().ok()).is_some_and(|(built, source)| source > built);
        if !meta.is_file() || meta.len() > LARGEST || changed {
            return None;
        }
        fs::read_to_string(path).ok()
    }
}

impl SourceText for SourceFiles {
    fn text(&self, line: &SourceLine) -> Option<String> {
        let file = self.file(&line.file)?;
        let text = file.lines().nth((line.line as usize).checked_sub(1)?)?.trim();
        (!text.is_empty()).then(|| text.chars().take(WIDEST).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(file: &str, line: u32) -> SourceLine {
        SourceLine { file: file.into(), line }
    }

    #[test]
    fn finds_a_moved_source_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("src")).unwrap();
        fs::write(dir.path().join("src/api.rs"), "fn a() {}\n  posts.await;\n\n").unwrap();
        fs::write(dir.path().join("secret.txt"), "secret\n").unwrap();
        let sources = SourceFiles::new(Some(dir.path().join("src")), None);
        assert_eq!(sources.text(&line("/build/shop/src/api.rs", 2)).as_deref(), Some("posts.await;"));
        assert_eq!(sources.text(&line("/build/shop/src/api.rs", 3)), None, "an empty line");
        assert_eq!(sources.text(&line("/build/shop/src/api.rs", 0)), None);
        assert_eq!(sources.text(&line("/build/shop/src/api.rs", 99)), None);
        assert_eq!(sources.text(&line("../secret.txt", 1)), None);
        let at_itself = SourceFiles::new(None, None);
        let real = dir.path().join("src/api.rs").display().to_string();
        assert_eq!(at_itself.text(&line(&real, 1)).as_deref(), Some("fn a() {}"));
        assert_eq!(at_itself.text(&line(&dir.path().join("secret.txt").display().to_string(), 1)), None);
    }

    #[test]
    fn a_source_newer_than_the_program_is_not_quoted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.rs");
        fs::write(&path, "fn a() {}\n").unwrap();
        let sources = SourceFiles::new(None, Some(SystemTime::UNIX_EPOCH));
        assert_eq!(sources.text(&line(&path.display().to_string(), 1)), None);
    }
}
