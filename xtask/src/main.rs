//! What contributors type: `cargo xtask <command>`.

mod bench;
mod demo;
mod ebpf;
mod real;
mod test;
mod tidy;
mod vm;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Build, try, test and measure async-inspect")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build the tool and a realistic release server, run both, show a dump and ten seconds of attach
    Demo(demo::Args),
    /// Run every test
    Test(test::Args),
    /// Build or check the committed BPF object
    #[command(subcommand)]
    Ebpf(ebpf::Command),
    /// Measure, and write the tables of docs/BENCHMARKS.md
    Bench(bench::Args),
    /// Look at servers of crates.io, and write docs/REAL-PROGRAMS.md
    Real(real::Args),
    /// Check the style rules that a compiler does not
    Tidy(tidy::Args),
    /// Run the tests of the trace in virtual machines with other kernels
    Vm(vm::Args),
}

/// The error is the last that is said: a backtrace behind it would push what failed out of the end of a log.
fn main() -> std::process::ExitCode {
    match run() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    match Args::parse().command {
        Command::Demo(args) => demo::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Ebpf(command) => ebpf::run(&command),
        Command::Bench(args) => bench::run(&args),
        Command::Real(args) => real::run(&args),
        Command::Tidy(args) => tidy::run(&args),
        Command::Vm(args) => vm::run(&args),
    }
}

/// Builds one of the programs in `tests/src/bin`; by way of a test, which has them all built, and with the features of dependencies
/// that the workspace's tests want: they are compiled once.
fn program_of_tests(name: &str) -> anyhow::Result<std::path::PathBuf> {
    let mut cargo = std::process::Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(workspace()).args([
        "test",
        "--no-run",
        "--locked",
        "--quiet",
        "--workspace",
        "--test",
        "kernels",
    ]);
    let status = cargo.stdin(std::process::Stdio::null()).status()?;
    anyhow::ensure!(status.success(), "{name} could not be built ({status})");
    Ok(workspace().join("target/debug").join(name))
}

/// The root of the checkout that this binary was built from.
fn workspace() -> std::path::PathBuf {
    let own = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().expect("xtask lies in the workspace").to_path_buf()
}
