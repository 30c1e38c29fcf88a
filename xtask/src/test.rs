//! `cargo xtask test`: everything that must hold, one step after the other, with a summary at the end.

use anyhow::{Result, bail, ensure};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

#[derive(clap::Args)]
pub struct Args {
    /// Run these steps only
    #[arg(value_name = "STEP", value_parser = STEPS.map(|step| step.name))]
    steps: Vec<String>,
}

struct Step {
    name: &'static str,
    what: &'static str,
    run: fn() -> Result<Outcome>,
}

enum Outcome {
    Passed,
    /// Why it could not run. Said in the summary: what did not run was not tested.
    Skipped(String),
}

const STEPS: [Step; 9] = [
    Step { name: "format", what: "rustfmt", run: format },
    Step { name: "tidy", what: "the style rules that a compiler does not check", run: tidy },
    Step { name: "clippy", what: "lints, warnings denied", run: clippy },
    Step { name: "unit", what: "every test but the end-to-end ones", run: unit },
    Step { name: "deny", what: "licences, sources and duplicates of dependencies", run: deny },
    Step { name: "ebpf", what: "the committed BPF object is what its sources give", run: ebpf },
    Step { name: "e2e", what: "real programs in real builds", run: e2e },
    Step { name: "vm", what: "the trace on older kernels, in virtual machines", run: vm },
    Step { name: "demo", what: "the demo's two commands work, two seconds of attach", run: demo },
];

pub fn run(args: &Args) -> Result<()> {
    let chosen =
        STEPS.iter().filter(|step| args.steps.is_empty() || args.steps.iter().any(|name| name == step.name));
    let mut report = Vec::new();
    let mut failed = 0;
    for step in chosen {
        eprintln!("\n=== {}: {} ===", step.name, step.what);
        let begin = Instant::now();
        let outcome = (step.run)();
        let took = begin.elapsed();
        failed += u32::from(outcome.is_err());
        report.push(line(step, &outcome, took));
    }
    eprintln!("\n=== summary ===");
    for line in report {
        eprintln!("{line}");
    }
    if failed > 0 {
        bail!("{failed} steps failed");
    }
    Ok(())
}

fn line(step: &Step, outcome: &Result<Outcome>, took: Duration) -> String {
    let result = match outcome {
        Ok(Outcome::Passed) => "ok".to_string(),
        Ok(Outcome::Skipped(why)) => format!("SKIPPED: {why}"),
        Err(error) => format!("FAILED: {error:#}"),
    };
    format!("{:8} {:>6.1} s  {result}", step.name, took.as_secs_f64())
}

fn cargo(arguments: &[&str]) -> Result<Outcome> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(crate::workspace()).args(arguments).stdin(Stdio::null());
    let status = cargo.status()?;
    ensure!(status.success(), "cargo {} ended with {status}", arguments.join(" "));
    Ok(Outcome::Passed)
}

fn format() -> Result<Outcome> {
    if !has("fmt") {
        return Ok(Outcome::Skipped("rustfmt is not installed: rustup component add rustfmt".into()));
    }
    cargo(&["fmt", "--all", "--check"])
}

fn tidy() -> Result<Outcome> {
    crate::tidy::run(&crate::tidy::Args {})?;
    Ok(Outcome::Passed)
}

fn clippy() -> Result<Outcome> {
    if !has("clippy") {
        return Ok(Outcome::Skipped("clippy is not installed: rustup component add clippy".into()));
    }
    cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"])
}

fn unit() -> Result<Outcome> {
    cargo(&["test", "--workspace", "--exclude", "e2e", "--locked"])
}

/// Advisories need a database from the network, and change without a change here: not part of a test.
fn deny() -> Result<Outcome> {
    if !has("deny") {
        return Ok(Outcome::Skipped("cargo-deny is not installed: cargo install --locked cargo-deny".into()));
    }
    cargo(&["deny", "--locked", "check", "bans", "licenses", "sources"])
}

/// Whether cargo has a subcommand of that name.
fn has(subcommand: &str) -> bool {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args([subcommand, "--version"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    cargo.status().is_ok_and(|status| status.success())
}

fn ebpf() -> Result<Outcome> {
    crate::ebpf::run(&crate::ebpf::Command::Check)?;
    Ok(Outcome::Passed)
}

fn e2e() -> Result<Outcome> {
    // First: the programs end by themselves after a while, which a build of the tool may take longer than.
    cargo(&["build", "--release", "--package", "async-inspect-live", "--locked"])?;
    cargo(&["test", "--package", "e2e", "--locked", "--no-fail-fast"])
}

/// After the end-to-end tests, which have built the same programs.
fn vm() -> Result<Outcome> {
    if let Some(why) = crate::vm::unavailable() {
        return Ok(Outcome::Skipped(why));
    }
    let kernels = ["6.1", "6.12"].map(str::to_owned).into();
    crate::vm::run(&crate::vm::Args { kernels, kvm: false, few: true, fetch: false })?;
    Ok(Outcome::Passed)
}

fn demo() -> Result<Outcome> {
    crate::demo::run(&crate::demo::Args { watch: 2, customers: 24 })?;
    Ok(Outcome::Passed)
}
