//! `cargo xtask real`: looks at servers of crates.io, and writes docs/REAL-PROGRAMS.md.

use anyhow::{Context as _, Result, ensure};
use std::process::Command;

#[derive(clap::Args)]
pub struct Args {
    /// These programs only, and the table on stdout only
    names: Vec<String>,
}

/// The end-to-end package knows how to build, run and look at them.
pub fn run(args: &Args) -> Result<()> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(crate::workspace());
    cargo.args(["run", "--locked", "--quiet", "--package", "e2e", "--bin", "real", "--"]).args(&args.names);
    let status = cargo.status().context("cargo did not start")?;
    ensure!(status.success(), "not all programs could be looked at ({status})");
    Ok(())
}
