//! `cargo xtask bench`: measures in release what the design promises, and writes docs/BENCHMARKS.md.

use anyhow::{Context as _, Result, ensure};
use std::process::Command;

#[derive(clap::Args)]
pub struct Args {
    /// How often each command is run
    #[arg(long, default_value_t = 15)]
    rounds: u32,
}

/// The measuring itself is a release binary of the end-to-end package, which knows how to build and run the targets.
pub fn run(args: &Args) -> Result<()> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(crate::workspace());
    cargo.args(["run", "--release", "--locked", "--quiet", "--package", "e2e", "--bin", "bench", "--"]);
    cargo.arg("all").arg(args.rounds.to_string());
    let status = cargo.status().context("cargo did not start")?;
    ensure!(status.success(), "the benches ended with {status}");
    Ok(())
}
