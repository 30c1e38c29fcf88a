//! `cargo xtask test`: everything that must hold, one step after the other, with a summary and what failed at the end.

mod idle;
mod said;

use anyhow::{Result, bail};
use idle::{Ahead, TOOL, idly};
use said::Said;
use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
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
    let is_chosen = |name: &str| args.steps.is_empty() || args.steps.iter().any(|chosen| chosen == name);
    let chosen: Vec<&Step> = STEPS.iter().filter(|step| is_chosen(step.name)).collect();
    // With nothing before them, the end-to-end tests build it themselves.
    let _tool = chosen.iter().skip(1).any(|step| step.name == "e2e").then(Ahead::start);
    let (mut report, mut failures) = (Vec::new(), Vec::new());
    for step in chosen {
        eprintln!("\n=== {}: {} ===", step.name, step.what);
        let begin = Instant::now();
        let outcome = (step.run)();
        let took = begin.elapsed();
        report.push(line(step, &outcome, took));
        if let Err(error) = outcome {
            failures.push(format!("=== {} failed ===\n{error:#}", step.name));
        }
    }
    eprintln!("\n=== summary ===\n{}", report.join("\n"));
    if failures.is_empty() {
        return Ok(());
    }
    eprintln!("\n{}\n", failures.join("\n\n"));
    bail!("{} steps failed", failures.len())
}

fn line(step: &Step, outcome: &Result<Outcome>, took: Duration) -> String {
    let result = match outcome {
        Ok(Outcome::Passed) => "ok".to_string(),
        Ok(Outcome::Skipped(why)) => format!("SKIPPED: {why}"),
        // The rest comes under the summary.
        Err(error) => format!("FAILED: {}", format!("{error:#}").lines().next().unwrap_or_default()),
    };
    format!("{:8} {:>6.1} s  {result}", step.name, took.as_secs_f64())
}

/// The one that runs us.
fn cargo_itself() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

fn cargo(arguments: &[&str]) -> Result<Outcome> {
    let mut cargo = Command::new(cargo_itself());
    cargo.args(arguments);
    // The tests' names are many.
    let words = arguments.iter().take_while(|word| **word != "--test").copied().collect::<Vec<_>>();
    run_and_listen(cargo, &format!("cargo {}", words.join(" ")))
}

/// Runs it with its words for all to see, and in the error what is of interest of them.
fn run_and_listen(mut command: Command, name: &str) -> Result<Outcome> {
    command.current_dir(crate::workspace()).stdin(Stdio::null());
    // Both through one pipe, which keeps their order.
    let (output, pipe) = std::io::pipe()?;
    let mut child = command.stdout(pipe.try_clone()?).stderr(pipe).spawn()?;
    // Its own ends of the pipe would keep that open.
    drop(command);
    let lines = lines(output);
    let mut said = Said::default();
    loop {
        match lines.recv_timeout(Duration::from_secs(1)) {
            Ok(line) => {
                eprintln!("{line}");
                said.line(&line);
            }
            Err(RecvTimeoutError::Disconnected) => break,
            // What a test left running has the pipe too.
            Err(RecvTimeoutError::Timeout) if child.try_wait()?.is_some() => break,
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("{name} ended with {status}\n{}", said.of_interest());
    }
    Ok(Outcome::Passed)
}

fn lines(output: std::io::PipeReader) -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            if sender.send(String::from_utf8_lossy(&line).trim_end().to_owned()).is_err() {
                break;
            }
        }
    });
    lines
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

/// Of the whole workspace, here as in the other steps: features of dependencies are those that the chosen packages want together,
/// and with other features half of all crates are compiled again.
fn unit() -> Result<Outcome> {
    let names = [tests_of("probe-ebpf")?, tests_of("probe-user")?].concat();
    test(&["--lib", "--bins"], &names)?;
    cargo(&["test", "--workspace", "--locked", "--doc"])
}

fn test(more: &[&str], names: &[String]) -> Result<Outcome> {
    let names = names.iter().flat_map(|name| ["--test", name]);
    cargo(
        &["test", "--workspace", "--locked"]
            .into_iter()
            .chain(more.iter().copied())
            .chain(names)
            .collect::<Vec<_>>(),
    )
}

/// The integration tests of a package: a file each, or a directory with a `main.rs`.
fn tests_of(package: &str) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(crate::workspace().join(package).join("tests"))? {
        let path = entry?.path();
        let is_test =
            path.extension().is_some_and(|extension| extension == "rs") || path.join("main.rs").exists();
        names.extend(path.file_stem().filter(|_| is_test).map(|name| name.to_string_lossy().into_owned()));
    }
    names.sort();
    Ok(names)
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
    let mut cargo = Command::new(cargo_itself());
    cargo.args([subcommand, "--version"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    cargo.status().is_ok_and(|status| status.success())
}

fn ebpf() -> Result<Outcome> {
    crate::ebpf::run(&crate::ebpf::Command::Check)?;
    Ok(Outcome::Passed)
}

fn e2e() -> Result<Outcome> {
    // At the priority of the tool that is built `Ahead`, which else would come last.
    let prepare = idly(crate::program_of_tests("prepare")?);
    let names = tests_of("tests")?;
    // All that is built, and then the tests. The tool too: the programs end by themselves after a while, which building it may
    // take longer than.
    let prepared = std::thread::scope(|scope| {
        let programs = scope.spawn(|| run_and_listen(prepare, "building the programs that tests look at"));
        test(&["--no-run"], &names)?;
        cargo(&TOOL)?;
        programs.join().expect("it does not panic")
    });
    // A program that could not be built is missed by the tests that want it; the others tell what they can.
    test(&["--no-fail-fast"], &names)?;
    prepared
}

/// After the end-to-end tests, which have built the same programs.
fn vm() -> Result<Outcome> {
    if let Some(why) = crate::vm::unavailable() {
        return Ok(Outcome::Skipped(why));
    }
    let kernels = ["6.1", "6.12"].map(str::to_owned).into();
    crate::vm::run(&crate::vm::Args { kernels, kvm: false, few: true, only: Vec::new(), fetch: false })?;
    Ok(Outcome::Passed)
}

fn demo() -> Result<Outcome> {
    crate::demo::run(&crate::demo::Args { watch: 2, customers: 24 })?;
    Ok(Outcome::Passed)
}
