//! `cargo install` into a directory per program.

use super::Real;
use crate::build::outer_cargo;
use crate::workspace;
use anyhow::{Context as _, Result, ensure};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The executable; built only where it is not there in that version yet.
pub(super) fn install(real: &Real) -> Result<PathBuf> {
    let all = workspace().join("target/programs/real");
    let root = all.join(real.name);
    let executable = root.join("bin").join(real.executable);
    fs::create_dir_all(&root)?;
    let lock = File::create(all.join("install.lock"))?;
    lock.lock()?;
    if !is_there(&root, real) || !executable.exists() {
        let status = command(real, &root, &all.join("build")).status().context("cargo did not start")?;
        ensure!(status.success(), "cargo could not install {} {} ({status})", real.name, real.version);
    }
    Ok(executable)
}

/// As its authors build it, but for debug info.
fn command(real: &Real, root: &Path, target_dir: &Path) -> Command {
    let mut cargo = outer_cargo();
    cargo.args(["install", "--quiet", "--locked", "--force", real.name, "--version", real.version]);
    cargo.args(real.build).arg("--root").arg(root).arg("--target-dir").arg(target_dir);
    cargo.env("CARGO_PROFILE_RELEASE_DEBUG", "2").env("CARGO_PROFILE_RELEASE_STRIP", "none");
    // Nobody looks into proc macros.
    cargo.env("CARGO_PROFILE_RELEASE_BUILD_OVERRIDE_DEBUG", "0");
    cargo.env("RUSTFLAGS", "").env_remove("CARGO_ENCODED_RUSTFLAGS");
    cargo.stdin(Stdio::null());
    cargo
}

/// Cargo notes what it installed where.
fn is_there(root: &Path, real: &Real) -> bool {
    let noted = fs::read_to_string(root.join(".crates.toml")).unwrap_or_default();
    noted.contains(&format!("\"{} {} ", real.name, real.version))
}
