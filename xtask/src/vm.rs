//! `cargo xtask vm`: the tests of the trace in virtual machines with Debian's kernels.
//!
//! One image, an ext4 file system without an operating system: the tool, the programs it looks at, the end-to-end tests and
//! the libraries they need. Its first process is `tests/src/bin/guest.rs`, which runs the tests.

mod boot;
mod console;
mod image;
mod kernel;

use anyhow::{Result, bail, ensure};
use boot::Processors;
use kernel::{Kernel, SERIES};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

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
    /// These only, as the guest takes them: `computes`, or `computes=latest` for the tests of one name; as often as they are named
    #[arg(long, value_name = "TEST", conflicts_with = "few")]
    pub only: Vec<String>,
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
    let processors = if args.kvm { Processors::Kvm } else { Processors::Emulated };
    let tests = |kernel: &Kernel| match &args.only[..] {
        [] => kernel.series.tests(args.few),
        only => only.iter().map(String::as_str).collect(),
    };
    let outcomes = boot_all(&kernels, |kernel| boot::run(kernel, &image, &tests(kernel), processors));
    let (mut summary, mut failures) = (Vec::new(), Vec::new());
    for (kernel, (took, outcome)) in kernels.iter().zip(outcomes) {
        let mut say = |result: &str| {
            summary.push(format!("{:8} {:>6.1} s  {result}", kernel.series.name, took.as_secs_f64()));
        };
        match outcome {
            Ok(lines) => {
                say("ok");
                summary.extend(lines.into_iter().map(|line| format!("{:20}{line}", "")));
            }
            Err(error) => {
                let all = format!("{error:#}");
                say(&format!("FAILED: {}", all.lines().next().unwrap_or_default()));
                failures.push(format!("Linux {} ({}): {all}", kernel.series.name, kernel.package));
            }
        }
    }
    eprintln!("\n=== kernels ===\n{}", summary.join("\n"));
    let failed = failures.len();
    ensure!(failed == 0, "{failed} of {} kernels failed\n{}", kernels.len(), failures.join("\n"));
    Ok(())
}

/// Two at a time: an emulated machine keeps one processor of this one busy. In the order of the kernels.
fn boot_all<T: Send>(kernels: &[Kernel], boot: impl Fn(&Kernel) -> T + Sync) -> Vec<(Duration, T)> {
    let mut outcomes = Vec::new();
    for pair in kernels.chunks(2) {
        let timed = |kernel| {
            let begin = Instant::now();
            let outcome = boot(kernel);
            (begin.elapsed(), outcome)
        };
        std::thread::scope(|scope| {
            let machines: Vec<_> = pair.iter().map(|kernel| scope.spawn(move || timed(kernel))).collect();
            outcomes.extend(machines.into_iter().map(|machine| machine.join().expect("it does not panic")));
        });
    }
    outcomes
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
