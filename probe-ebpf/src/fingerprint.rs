//! Whether the committed object is of these sources: for `xtask` and for build scripts.

extern crate std;

use crate::fnv1a;
use std::path::{Path, PathBuf};
use std::{fs, io, vec::Vec};

/// Of everything under `src` and the manifest, names included.
///
/// # Errors
/// Where one of them cannot be read.
pub fn sources(package: &Path) -> io::Result<u64> {
    let mut files = Vec::new();
    list(&package.join("src"), &mut files)?;
    files.push(package.join("Cargo.toml"));
    files.sort();
    let mut hash = fnv1a(&[]);
    for file in files {
        let name = file.strip_prefix(package).unwrap_or(&file);
        let content = fs::read(&file)?;
        for part in [name.as_os_str().as_encoded_bytes(), &content] {
            hash = (hash ^ fnv1a(part)).wrapping_mul(FNV_PRIME);
        }
    }
    Ok(hash)
}

const FNV_PRIME: u64 = 0x0100_0000_01b3;

#[must_use]
pub fn bytes(content: &[u8]) -> u64 {
    fnv1a(content)
}

/// The value of a line `name value` of the text beside the object.
#[must_use]
pub fn field<'a>(record: &'a str, name: &str) -> Option<&'a str> {
    record.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).map(str::trim)
}

fn list(dir: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() { list(&path, files)? } else { files.push(path) }
    }
    Ok(())
}
