//! What builds BPF programs, from registries that every Debian and every cargo reach.

use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Debian's compiler; rustup's stands elsewhere. A contributor with rustup's nightly would name it here.
const RUSTC: &str = "/usr/bin/rustc";
pub const CARGO: &str = "/usr/bin/cargo";
const PACKAGES: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "libstd-rust-web-dev"];
/// Where rust-web-src puts the sources of `core`.
const CORE_SOURCES: &str = "/usr/lib/rustlib/src/rust/library/core/src/lib.rs";
const LINKER: &str = "bpf-linker";
const LINKER_VERSION: &str = "0.10.4";
/// bpf-linker loads the compiler's LLVM when it runs.
const LLVM_DIR: &str = "/usr/lib/x86_64-linux-gnu";

#[derive(Debug)]
pub struct Toolchain {
    rustc: String,
    llvm: String,
    linker: String,
}

impl Toolchain {
    pub fn find_or_install() -> Result<Self> {
        if !Path::new(RUSTC).exists() || !Path::new(CARGO).exists() || !Path::new(CORE_SOURCES).exists() {
            println!("No {RUSTC} with the sources of core: installing {} (Debian)", PACKAGES.join(" "));
            succeed(Command::new("apt-get").arg("update"))?;
            succeed(
                Command::new("apt-get").args(["install", "--yes", "--no-install-recommends"]).args(PACKAGES),
            )?;
        }
        let wanted = format!("{LINKER} {LINKER_VERSION}");
        if linker_version().as_deref() != Some(wanted.as_str()) {
            println!("No {wanted}: installing it with cargo");
            succeed(Command::new("cargo").args([
                "install",
                LINKER,
                "--version",
                LINKER_VERSION,
                "--locked",
                "--force",
                // LLVM does the work.
                "--debug",
            ]))?;
        }
        let linker = linker_version().context("bpf-linker was installed, but does not run")?;
        let version = output(Command::new(RUSTC).arg("-vV"))?;
        let field = |name: &str| {
            let line = version.lines().find_map(|line| line.strip_prefix(name));
            line.map(|value| value.trim().to_owned()).with_context(|| format!("{RUSTC} -vV says no {name}"))
        };
        let rustc = format!("{} ({})", field("release:")?, field("commit-hash:")?);
        Ok(Toolchain { rustc, llvm: field("LLVM version:")?, linker })
    }

    /// For a build whose bytes depend on nothing but the sources and these tools.
    pub fn environment(&self, root: &Path) -> Result<Vec<(&'static str, OsString)>> {
        let mut path = OsString::from(cargo_home()?.join("bin"));
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        // Separated by 0x1f, so that a path may have a space.
        let flags = rust_flags(root)?.join("\u{1f}");
        Ok(vec![
            ("RUSTC", RUSTC.into()),
            // -Z build-std, and the few unstable features that the programs use.
            ("RUSTC_BOOTSTRAP", "1".into()),
            ("LD_LIBRARY_PATH", LLVM_DIR.into()),
            ("PATH", path),
            ("CARGO_ENCODED_RUSTFLAGS", flags.into()),
            ("CARGO_PROFILE_RELEASE_DEBUG", "2".into()),
            ("CARGO_PROFILE_RELEASE_LTO", "false".into()),
            ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1".into()),
            ("CARGO_PROFILE_RELEASE_PANIC", "abort".into()),
            ("CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS", "false".into()),
        ])
    }
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rustc {}, LLVM {}, {}", self.rustc, self.llvm, self.linker)
    }
}

fn rust_flags(root: &Path) -> Result<Vec<String>> {
    let mut flags = vec![
        "--cfg=bpf_target_arch=\"x86_64\"".to_owned(),
        // BTF is made of debug information.
        "-Cdebuginfo=2".to_owned(),
        "-Clink-arg=--btf".to_owned(),
        format!("--remap-path-prefix={}=/async-inspect", text(root)?),
    ];
    let registries = cargo_home()?.join("registry/src");
    for registry in
        std::fs::read_dir(&registries).with_context(|| format!("reading {}", registries.display()))?
    {
        flags.push(format!("--remap-path-prefix={}=/crates", text(&registry?.path())?));
    }
    Ok(flags)
}

pub fn cargo_home() -> Result<PathBuf> {
    if let Some(home) = std::env::var_os("CARGO_HOME") {
        return Ok(home.into());
    }
    Ok(PathBuf::from(std::env::var_os("HOME").context("neither CARGO_HOME nor HOME is set")?).join(".cargo"))
}

fn linker_version() -> Option<String> {
    let program = cargo_home().ok()?.join("bin").join(LINKER);
    output(Command::new(program).arg("--version").env("LD_LIBRARY_PATH", LLVM_DIR))
        .ok()
        .map(|line| line.trim().to_owned())
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}

fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("running {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?}: {}", output.status);
    }
    Ok(String::from_utf8(output.stdout)?)
}

fn succeed(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("running {command:?}"))?;
    if !status.success() {
        bail!("{command:?}: {status}");
    }
    Ok(())
}
