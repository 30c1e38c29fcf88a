//! `cargo xtask demo`: a release server under load, and what async-inspect says of it.

use anyhow::{Context as _, Result, ensure};
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

#[derive(clap::Args)]
pub struct Args {
    /// How long `attach` watches
    #[arg(long, default_value_t = 10, value_name = "SECONDS")]
    pub watch: u32,
    /// How many customers the shop has
    #[arg(long, default_value_t = 24)]
    pub customers: u32,
}

pub fn run(args: &Args) -> Result<()> {
    let workspace = crate::workspace();
    eprintln!("building async-inspect and the shop, both in release …");
    let tool = workspace.join("target/release/async-inspect");
    build(
        &workspace,
        &["--package", "async-inspect-live", "--bin", "async-inspect"],
        &workspace.join("target"),
        &[],
    )?;
    let programs = programs()?;

    let (_database, database) = Server::start(&programs.join("database"), &["127.0.0.1:0"])?;
    let (shop, address) = Server::start(&programs.join("shop"), &["127.0.0.1:0", &database])?;
    let customers = args.customers.to_string();
    let _customers = Server::spawn(&programs.join("customers"), &[&address, &customers])?;
    std::thread::sleep(Duration::from_secs(2));

    let pid = shop.0.id().to_string();
    show(&tool, &["dump", &pid])?;
    show(&tool, &["attach", "--plain", "-d", &args.watch.to_string(), &pid])?;
    eprintln!("\ndone; the shop (PID {pid}), its database and its customers are stopped");
    Ok(())
}

/// The shop and what belongs to it, built as the end-to-end tests build theirs (`set_profile` in `tests/src/build.rs`) and in the
/// same place: tokio and the proc macros are compiled once for both. Cargo takes what is said for another profile than what is not
/// said, so all of it is said, though only `DEBUG` differs from a release build.
fn programs() -> Result<PathBuf> {
    const HOST: &str = "x86_64-unknown-linux-gnu";
    const PROFILE: [(&str, &str); 9] = [
        ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"),
        ("CARGO_PROFILE_RELEASE_DEBUG", "2"),
        ("CARGO_PROFILE_RELEASE_LTO", "false"),
        ("CARGO_PROFILE_RELEASE_PANIC", "unwind"),
        ("CARGO_PROFILE_RELEASE_SPLIT_DEBUGINFO", "off"),
        ("CARGO_PROFILE_RELEASE_STRIP", "none"),
        ("CARGO_PROFILE_RELEASE_BUILD_OVERRIDE_DEBUG", "0"),
        ("CARGO_PROFILE_RELEASE_BUILD_OVERRIDE_SPLIT_DEBUGINFO", "off"),
        ("RUSTFLAGS", ""),
    ];
    let (workspace, target_dir) = (crate::workspace(), crate::workspace().join("target/programs"));
    build(&workspace.join("tests/targets/demo"), &["--target", HOST], &target_dir, &PROFILE)?;
    Ok(target_dir.join(HOST).join("release"))
}

fn build(directory: &Path, what: &[&str], target_dir: &Path, variables: &[(&str, &str)]) -> Result<()> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(directory).args(["build", "--release", "--locked"]).args(what);
    cargo.arg("--target-dir").arg(target_dir).envs(variables.iter().copied());
    let status = cargo.status().context("cargo did not start")?;
    ensure!(status.success(), "cargo build in {} ended with {status}", directory.display());
    Ok(())
}

/// Prints a command as one would type it, and runs it. As root: by itself, or through sudo.
fn show(tool: &Path, arguments: &[&str]) -> Result<()> {
    println!("\n$ sudo async-inspect {}", arguments.join(" "));
    let root = std::fs::metadata("/proc/self").map(|us| std::os::unix::fs::MetadataExt::uid(&us) == 0)?;
    let mut command = if root { Command::new(tool) } else { Command::new("sudo") };
    if !root {
        command.arg(tool);
    }
    let status = command.args(arguments).status().with_context(|| format!("{command:?} did not start"))?;
    ensure!(status.success(), "async-inspect {} ended with {status}", arguments.join(" "));
    Ok(())
}

/// A process of ours, stopped when this value goes away.
struct Server(Child);

impl Server {
    fn spawn(program: &Path, arguments: &[impl AsRef<OsStr>]) -> Result<Server> {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        Ok(Server(command.spawn().with_context(|| format!("{} did not start", program.display()))?))
    }

    /// Starts a server, which prints the address it listens on.
    fn start(program: &Path, arguments: &[&str]) -> Result<(Server, String)> {
        let mut server = Server::spawn(program, arguments)?;
        let stdout = server.0.stdout.take().context("stdout is a pipe")?;
        let mut address = String::new();
        BufReader::new(stdout).read_line(&mut address)?;
        ensure!(!address.is_empty(), "{} did not say where it listens", program.display());
        Ok((server, address.trim().to_string()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
