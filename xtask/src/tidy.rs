//! `cargo xtask tidy`: the rules of the house that a compiler does not check.

mod source;
mod text;

use anyhow::{Context, bail, ensure};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

#[derive(clap::Args)]
pub struct Args {}

/// A rule broken at a place.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Violation {
    /// From the root of the workspace, with `/`.
    file: String,
    line: usize,
    message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.message)
    }
}

pub fn run(_args: &Args) -> anyhow::Result<()> {
    let root = root()?;
    let files = tracked(&root)?;
    let strangers = text::Strangers::of(&root);
    let mut found = Vec::new();
    for file in &files {
        let Ok(bytes) = std::fs::read(root.join(file)) else { continue };
        found.extend(text::check(file, &bytes, &strangers));
        if file.ends_with(".rs") {
            found.extend(source::check(file, &String::from_utf8_lossy(&bytes)));
        }
    }
    found.sort();
    for violation in &found {
        println!("{violation}");
    }
    match found.len() {
        0 => println!("tidy: {} files, nothing found", files.len()),
        1 => bail!("one rule is broken"),
        n => bail!("rules are broken in {n} places"),
    }
    Ok(())
}

fn root() -> anyhow::Result<PathBuf> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(manifest.parent().context("xtask lies in the workspace")?.to_owned())
}

/// Files that are committed, or would be by `git add -A`.
fn tracked(root: &Path) -> anyhow::Result<Vec<String>> {
    let arguments = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let listed =
        Command::new("git").args(arguments).current_dir(root).output().context("running git ls-files")?;
    ensure!(listed.status.success(), "git ls-files: {}", String::from_utf8_lossy(&listed.stderr).trim());
    let names = String::from_utf8(listed.stdout).context("a file name that is not UTF-8")?;
    let mut files: Vec<String> = names.split_terminator('\0').map(str::to_owned).collect();
    files.sort();
    files.dedup();
    ensure!(!files.is_empty(), "git lists no files under {}", root.display());
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_violation_reads_as_editors_expect() {
        let violation = Violation { file: "a/b.rs".into(), line: 7, message: "no".into() };
        assert_eq!(violation.to_string(), "a/b.rs:7: no");
    }

    #[test]
    fn this_very_file_is_among_those_checked() {
        let files = tracked(&root().expect("a workspace")).expect("a checkout");
        assert!(files.iter().any(|f| f == "xtask/src/tidy.rs"), "{files:?}");
    }
}
