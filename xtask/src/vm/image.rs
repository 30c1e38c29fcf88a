//! The file system of the virtual machines.

use super::kernel::output;
use anyhow::{Context as _, Result, bail, ensure};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What is left for the indexes that the tool keeps and for files of tests.
const ROOM: u64 = 512 << 20;

/// Builds all that goes into it, and the image. Returns its path.
pub fn build(place: &Path) -> Result<PathBuf> {
    let root = place.join("root");
    let _ = fs::remove_dir_all(&root);
    for directory in ["dev", "proc", "root", "sys", "tmp"] {
        fs::create_dir_all(root.join(directory))?;
    }
    let mut libraries = BTreeSet::new();
    for line in baggage()?.lines() {
        let (file, goes_to) = line.split_once('\t').with_context(|| format!("no place for {line}"))?;
        libraries.extend(libraries_of(Path::new(file))?);
        copy(Path::new(file), &root, Path::new(goes_to))?;
    }
    for library in &libraries {
        copy(library, &root, library)?;
    }
    let image = place.join("root.ext4");
    make(&root, &image)?;
    fs::remove_dir_all(&root)?;
    Ok(image)
}

/// Builds the executables, and lists each with its place there. The end-to-end package knows which they are.
fn baggage() -> Result<String> {
    eprintln!("building the tool, its tests and the programs to look at …");
    let mut baggage = Command::new(crate::program_of_tests("baggage")?);
    baggage.current_dir(crate::workspace()).stdin(Stdio::null()).stderr(Stdio::inherit());
    let done = baggage.output().context("baggage did not start")?;
    ensure!(
        done.status.success(),
        "not all that goes into a virtual machine could be built ({})",
        done.status
    );
    String::from_utf8(done.stdout).context("paths are UTF-8")
}

/// What the dynamic loader maps beside it, and the loader.
fn libraries_of(executable: &Path) -> Result<Vec<PathBuf>> {
    let listed = output(Command::new("ldd").arg(executable))?;
    let mut found = Vec::new();
    for line in listed.lines() {
        if line.contains("not found") {
            bail!("{}: {}", executable.display(), line.trim());
        }
        // `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)`, `/lib64/ld-linux-x86-64.so.2 (0x…)`; the vdso has no path.
        found.extend(line.split_whitespace().find(|word| word.starts_with('/')).map(PathBuf::from));
    }
    Ok(found)
}

fn copy(file: &Path, root: &Path, goes_to: &Path) -> Result<()> {
    let goes_to = root.join(goes_to.strip_prefix("/").context("absolute paths only")?);
    fs::create_dir_all(goes_to.parent().context("a file is in a directory")?)?;
    fs::copy(file, &goes_to).with_context(|| format!("{} could not be copied", file.display()))?;
    Ok(())
}

fn make(root: &Path, image: &Path) -> Result<()> {
    let megabytes = (bytes_below(root)? * 5 / 4 + ROOM) >> 20;
    let _ = fs::remove_file(image);
    let mut mke2fs = Command::new("mke2fs");
    let path = std::env::var("PATH").unwrap_or_default();
    mke2fs.env("PATH", format!("{path}:/usr/sbin"));
    // No journal: nobody mounts it twice.
    mke2fs
        .args(["-q", "-t", "ext4", "-O", "^has_journal", "-E", "root_owner=0:0", "-d"])
        .arg(root)
        .arg(image);
    output(mke2fs.arg(format!("{megabytes}M")))?;
    Ok(())
}

fn bytes_below(directory: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        bytes += if meta.is_dir() { bytes_below(&entry.path())? } else { meta.len() };
    }
    Ok(bytes)
}
