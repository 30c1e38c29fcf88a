//! `cargo xtask vm`: the tests of the trace in virtual machines with Debian's kernels.
//!
//! One image, an ext4 file system without an operating system: the tool, the programs it looks at, the end-to-end tests and
//! the libraries they need. Its first process is `tests/src/bin/guest.rs`, which runs the tests.

mod boot;
mod console;
mod image;
mod kernel;

use anyhow::{Result, bail, ensure};
use kernel::{Kernel, SERIES};
use std::path::{Path, PathBuf};
use std::time::Instant;

#[derive(clap::Args)]
pub struct Args {
    /// Series such as 6.1, or `newest`; `all` for every one that is tested
    #[arg(value_name = "KERNEL", required = true)]
    pub kernels: Vec<String>,
    /// Use KVM. Without this it is emulated, which is slow and works everywhere
    #[arg(long)]
    pub kvm: bool,
    /// Few of the tests, as CI does
    #[arg(long)]
    pub few: bool,
    /// Look for kernels that are newer than those fetched before
    #[arg(long)]
    pub fetch: bool,
}

/// What the host must have.
const NEEDS: [(&str, &str); 4] = [
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("mke2fs", "e2fsprogs"),
    ("apt-get", "apt"),
    ("dpkg-deb", "dpkg"),
];

/// Why it cannot be done on this machine, if it cannot.
pub fn unavailable() -> Option<String> {
    let missing: Vec<&str> =
        NEEDS.iter().filter(|(command, _)| !on_path(command)).map(|(_, package)| *package).collect();
    if !missing.is_empty() {
        return Some(format!("virtual machines need {}: apt-get install them", missing.join(", ")));
    }
    let keys = Path::new(kernel::KEYS);
    (!keys.exists()).then(|| format!("no {}: Debian's kernels cannot be verified", keys.display()))
}

pub fn run(args: &Args) -> Result<()> {
    if let Some(why) = unavailable() {
        bail!("{why}");
    }
    let wanted = series(&args.kernels)?;
    let place = place();
    std::fs::create_dir_all(&place)?;
    let mut kernels = Vec::new();
    for series in wanted {
        kernels.push(Kernel::fetch(series, &place, args.fetch)?);
    }
    let image = image::build(&place)?;
    if args.kvm {
        boot::prove_kvm(&kernels[0], &image)?;
    }
    let mut summary = Vec::new();
    let mut failed = 0;
    for kernel in &kernels {
        eprintln!("\n--- Linux {} ({}) ---", kernel.series.name, kernel.package);
        let begin = Instant::now();
        let outcome = boot::run(kernel, &image, &kernel.series.tests(args.few), args.kvm);
        let seconds = begin.elapsed().as_secs_f64();
        failed += u32::from(outcome.is_err());
        let (result, lines) = match outcome {
            Ok(lines) => ("ok".to_owned(), lines),
            Err(error) => (format!("FAILED: {error:#}"), Vec::new()),
        };
        summary.push(format!("{:8} {seconds:>6.1} s  {result}", kernel.series.name));
        summary.extend(lines.into_iter().map(|line| format!("{:20}{line}", "")));
    }
    eprintln!("\n=== kernels ===\n{}", summary.join("\n"));
    ensure!(failed == 0, "{failed} of {} kernels failed", kernels.len());
    Ok(())
}

fn series(names: &[String]) -> Result<Vec<&'static kernel::Series>> {
    if names.iter().any(|name| name == "all") {
        return Ok(SERIES.iter().collect());
    }
    let mut found = Vec::new();
    for name in names {
        let Some(series) = SERIES.iter().find(|series| series.name == *name) else {
            let known: Vec<&str> = SERIES.iter().map(|series| series.name).collect();
            bail!("no kernel {name}: there are {}, and all", known.join(", "));
        };
        found.push(series);
    }
    Ok(found)
}

/// Where kernels and the image are kept.
fn place() -> PathBuf {
    crate::workspace().join("target/vm")
}

fn on_path(command: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian keeps mke2fs where only root looks.
    std::env::split_paths(&path).chain(["/usr/sbin".into()]).any(|directory| directory.join(command).exists())
}
