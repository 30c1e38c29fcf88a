//! `cargo xtask bench`: measures in release what the design promises, and writes docs/BENCHMARKS.md.

use anyhow::{Context as _, Result, ensure};
use std::process::Command;

#[derive(clap::Args)]
pub struct Args {
    /// The tables to measure anew; the rest of the document is kept (without a name: all)
    names: Vec<String>,
    /// Few and short rounds, to see that it works; the document is left alone
    #[arg(long)]
    quick: bool,
    /// How often each thing is measured, instead of what each table says
    #[arg(long, conflicts_with = "quick", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
    /// Say which tables there are
    #[arg(long)]
    list: bool,
}

/// The measuring itself is a release binary of the end-to-end package, which knows how to build and run the targets.
pub fn run(args: &Args) -> Result<()> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(crate::workspace());
    cargo.args(["run", "--release", "--locked", "--quiet", "--package", "e2e", "--bin", "bench", "--"]);
    let effort = match args.rounds {
        Some(rounds) => rounds.to_string(),
        None if args.quick => "quick".to_string(),
        None => "full".to_string(),
    };
    if args.list {
        cargo.arg("list");
    } else {
        cargo.args(["measure", &effort]).args(&args.names);
    }
    let status = cargo.status().context("cargo did not start")?;
    ensure!(status.success(), "the benches ended with {status}");
    Ok(())
}
