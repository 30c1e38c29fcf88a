//! Debian's kernels for clouds, by the ordinary apt client: they have NVMe and ext4 built in, so that they boot without an
//! initramfs and without modules.

use anyhow::{Context as _, Result, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Kernels that are tested, and what is to be expected of each.
#[derive(Debug)]
pub struct Series {
    pub name: &'static str,
    /// Debian's suites that carry it.
    suites: &'static [&'static str],
    /// How `attach` must probe there; `refused` where it must say that it cannot.
    pub mode: &'static str,
}

pub const SERIES: [Series; 5] = [
    Series { name: "5.10", suites: &["bullseye"], mode: "refused" },
    Series { name: "6.1", suites: &["bookworm"], mode: "perf" },
    Series { name: "6.12", suites: &["trixie"], mode: "multi" },
    Series { name: "6.18", suites: &["trixie-backports"], mode: "session" },
    Series { name: "newest", suites: &["trixie-backports", "forky", "sid"], mode: "session" },
];

impl Series {
    /// Tests as the guest takes them: a binary, or a binary and part of a test's name.
    pub fn tests(&self, few: bool) -> Vec<&'static str> {
        match (self.mode, few) {
            ("refused", _) => vec!["kernels", "harmless=dump_leaves_no_trace"],
            (_, false) => vec!["kernels", "counts", "blockers", "computes", "harmless", "outcomes=latest"],
            (_, true) => vec![
                "kernels",
                "counts=even_rate_latest",
                "counts=spawns_latest",
                "outcomes=latest",
                "blockers=latest_fully_optimized",
                "harmless=inspector_killed",
                "harmless=panics_that_abort",
                "harmless=seccomp",
            ],
        }
    }

    fn version<'a>(&self, package: &'a str) -> Option<Vec<u32>> {
        let version: &'a str = version_of(package)?;
        let fits = self.name == "newest" || version.strip_prefix(self.name)?.starts_with('.');
        fits.then(|| numbers(version))
    }
}

/// A kernel on this disk.
#[derive(Debug)]
pub struct Kernel {
    pub series: &'static Series,
    pub package: String,
    /// What qemu boots.
    pub image: PathBuf,
}

/// Comes with Debian, and in the package debian-archive-keyring elsewhere.
pub const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

impl Kernel {
    /// The youngest of the series. One that was fetched before is kept, unless `fetch`.
    pub fn fetch(series: &'static Series, place: &Path, fetch: bool) -> Result<Kernel> {
        let directory = place.join("kernels").join(series.name);
        let (image, named) = (directory.join("vmlinuz"), directory.join("package"));
        if !fetch && image.exists() {
            let package = fs::read_to_string(&named).context("no name beside a kernel: remove target/vm")?;
            return Ok(Kernel { series, package, image });
        }
        eprintln!("fetching Linux {} from Debian {} …", series.name, series.suites.join(", "));
        fs::create_dir_all(&directory)?;
        let apt = Apt::new(&directory.join("apt"), series.suites)?;
        let package = apt.youngest(series)?;
        let archive = apt.download(&package)?;
        unpack(&archive, &directory.join("unpacked"), &image)?;
        fs::write(&named, &package)?;
        fs::remove_dir_all(directory.join("apt"))?;
        Ok(Kernel { series, package, image })
    }
}

/// `6.12.107+deb13` of `linux-image-6.12.107+deb13-cloud-amd64`. From 6.19 on the image is in `linux-binary-…`, and
/// `linux-image-…` is an empty package that depends on it.
fn version_of(package: &str) -> Option<&str> {
    let (package, split) = match package.strip_prefix("linux-binary-") {
        Some(rest) => (rest, true),
        None => (package.strip_prefix("linux-image-")?, false),
    };
    let version = package.strip_suffix("-cloud-amd64")?;
    let numbers = numbers(version);
    (version.starts_with(|first: char| first.is_ascii_digit()) && (numbers >= vec![6, 19]) == split)
        .then_some(version)
}

/// `[6, 1, 0, 50]` of `6.1.0-50`, `[6, 12, 117, 13]` of `6.12.117+deb13`.
fn numbers(version: &str) -> Vec<u32> {
    version.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
}

/// apt with lists and a state of its own: it changes nothing of the machine's.
struct Apt {
    root: PathBuf,
}

impl Apt {
    fn new(root: &Path, suites: &[&str]) -> Result<Apt> {
        for directory in ["lists/partial", "cache/archives/partial", "state"] {
            fs::create_dir_all(root.join(directory))?;
        }
        fs::write(root.join("status"), "")?;
        let mirror = mirror()?;
        let line = |suite| format!("deb [target=Packages signed-by={KEYS}] {mirror} {suite} main\n");
        fs::write(root.join("sources.list"), suites.iter().map(line).collect::<String>())?;
        let apt = Apt { root: root.to_path_buf() };
        apt.output("apt-get", &["update", "--quiet", "--error-on=any"])?;
        Ok(apt)
    }

    fn youngest(&self, series: &Series) -> Result<String> {
        let names = self.output("apt-cache", &["pkgnames", "linux-"])?;
        let fitting = names.lines().filter_map(|name| Some((series.version(name)?, name)));
        let (_, name) = fitting.max().with_context(|| {
            format!("Debian {} has no cloud kernel {}", series.suites.join(", "), series.name)
        })?;
        Ok(name.to_owned())
    }

    fn download(&self, package: &str) -> Result<PathBuf> {
        self.output("apt-get", &["download", "--quiet", package])?;
        let files = fs::read_dir(&self.root)?.filter_map(|file| Some(file.ok()?.path()));
        files
            .into_iter()
            .find(|file| file.extension().is_some_and(|extension| extension == "deb"))
            .with_context(|| format!("apt-get download {package} left no package"))
    }

    fn output(&self, command: &str, arguments: &[&str]) -> Result<String> {
        let mut apt = Command::new(command);
        for (option, path) in [
            ("Dir::Etc::sourcelist", "sources.list"),
            ("Dir::Etc::sourceparts", "no-parts"),
            ("Dir::State", "state"),
            ("Dir::State::lists", "lists"),
            ("Dir::State::status", "status"),
            ("Dir::Cache", "cache"),
        ] {
            apt.arg("-o").arg(format!("{option}={}", self.root.join(path).display()));
        }
        // Its unprivileged user could not write here.
        apt.args(["-o", "APT::Sandbox::User=root", "-o", "Acquire::Languages=none"]);
        output(apt.args(arguments).current_dir(&self.root))
    }
}

/// The mirror that this machine has Debian from.
fn mirror() -> Result<String> {
    let ask = || {
        let format = "$(ORIGIN) $(LABEL) $(REPO_URI)";
        output(Command::new("apt-get").args(["indextargets", "--format", format, "Created-By: Packages"]))
    };
    let find = |targets: String| {
        targets.lines().find_map(|line| line.strip_prefix("Debian Debian ").map(str::to_owned))
    };
    if let Some(mirror) = find(ask()?) {
        return Ok(mirror);
    }
    // Whose a source is stands in the lists, which a fresh machine may not have.
    output(Command::new("apt-get").args(["update", "--quiet"]))?;
    find(ask()?).context("this machine's apt has no Debian source to take kernels from")
}

fn unpack(archive: &Path, scratch: &Path, image: &Path) -> Result<()> {
    let _ = fs::remove_dir_all(scratch);
    output(Command::new("dpkg-deb").arg("--extract").arg(archive).arg(scratch))?;
    // Since 6.17 it lies where systemd looks, before in /boot.
    let boot = fs::read_dir(scratch.join("boot")).into_iter().flatten().flatten();
    let in_boot = boot.map(|file| file.path()).find(|path| path.to_string_lossy().contains("/vmlinuz-"));
    let modules = scratch.join("usr/lib/modules");
    let modules = fs::read_dir(modules).into_iter().flatten().flatten();
    let in_modules = modules.map(|release| release.path().join("vmlinuz")).find(|path| path.exists());
    let Some(found) = in_boot.or(in_modules) else { bail!("{} has no vmlinuz", archive.display()) };
    fs::rename(found, image)?;
    fs::remove_dir_all(scratch)?;
    Ok(())
}

/// Runs a command, with its words in the error.
pub fn output(command: &mut Command) -> Result<String> {
    let done = command.stdin(Stdio::null()).output().with_context(|| format!("{command:?} did not start"))?;
    let stderr = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "{command:?} ended with {}: {}", done.status, stderr.trim());
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_youngest_package_of_a_series() {
        let series = |name: &str| SERIES.iter().find(|series| series.name == name).expect("it is there");
        let fits = |name, package| series(name).version(package);
        assert_eq!(fits("6.1", "linux-image-6.1.0-50-cloud-amd64"), Some(vec![6, 1, 0, 50]));
        assert_eq!(fits("6.1", "linux-image-6.12.117+deb13-cloud-amd64"), None);
        assert!(
            fits("6.12", "linux-image-6.12.117+deb13-cloud-amd64")
                > fits("6.12", "linux-image-6.12.9+deb13-cloud-amd64")
        );
        assert_eq!(fits("6.12", "linux-image-6.12.117+deb13-cloud-amd64-unsigned"), None);
        assert_eq!(fits("newest", "linux-image-cloud-amd64"), None);
        assert_eq!(fits("newest", "linux-image-7.3.4+deb13-cloud-amd64"), None, "it is empty");
        assert_eq!(fits("newest", "linux-binary-7.3.4+deb13-cloud-amd64"), Some(vec![7, 3, 4, 13]));
        assert_eq!(fits("newest", "linux-binary-unsigned-7.3.4+deb13-cloud-amd64"), None);
    }
}
