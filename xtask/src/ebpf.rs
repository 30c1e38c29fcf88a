//! `cargo xtask ebpf`: the committed BPF object, made and checked.
//!
//! A user never needs this: the object is in the repository. Building it takes a compiler for the BPF target with
//! the sources of `core` that match it; Debian's security archive has one, and it lives beside rustup's.

mod object_file;
mod record;
mod toolchain;

use anyhow::{Context, Result, bail};
use record::Record;
use std::path::{Path, PathBuf};
use std::process::Command as Process;
use toolchain::Toolchain;

#[derive(clap::Subcommand)]
pub enum Command {
    /// Build the BPF object and put it under probe-ebpf/prebuilt/
    Build,
    /// Rebuild the BPF object and compare it with the committed one
    Check,
}

pub fn run(command: &Command) -> Result<()> {
    let root = workspace_root();
    match command {
        Command::Build => build(&root),
        Command::Check => check(&root),
    }
}

fn build(root: &Path) -> Result<()> {
    let toolchain = Toolchain::find_or_install()?;
    let object = compile(root, &root.join("target/ebpf"), &toolchain)?;
    let record = Record::new(root, &toolchain, &object)?;
    std::fs::write(root.join(record::OBJECT), &object).context("writing the BPF object")?;
    std::fs::write(root.join(record::RECORD), record.to_string())
        .context("writing what it was built with")?;
    println!("{}: {} bytes\n{record}", record::OBJECT, object.len());
    Ok(())
}

fn check(root: &Path) -> Result<()> {
    let committed = std::fs::read(root.join(record::OBJECT)).context("the committed BPF object")?;
    let recorded = Record::read(root)?;
    recorded.check_sources(root, &committed)?;
    let toolchain = Toolchain::find_or_install()?;
    if toolchain.to_string() != recorded.toolchain {
        println!(
            "\n=== NOT COMPARED: the bytes of {} ===\n\
             It was built with   {}\n\
             this machine has    {toolchain}\n\
             Its sources and its recorded hash agree; whether they make these bytes was not tested.\n",
            record::OBJECT,
            recorded.toolchain,
        );
        return Ok(());
    }
    let scratch = std::env::temp_dir().join(format!("async-inspect-ebpf-{}", std::process::id()));
    let rebuilt = compile(root, &scratch, &toolchain);
    // Best effort: what is left is in the temporary directory.
    let _ = std::fs::remove_dir_all(&scratch);
    let differing = object_file::differing_sections(&committed, &rebuilt?)?;
    if !differing.is_empty() {
        bail!(
            "{} is not what its sources make: {} differ\n  try: cargo xtask ebpf build",
            record::OBJECT,
            differing.join(", ")
        );
    }
    println!("{} is what its sources make, byte for byte ({toolchain})", record::OBJECT);
    Ok(())
}

/// Builds the programs; the answer is the object as it is committed.
fn compile(root: &Path, target_dir: &Path, toolchain: &Toolchain) -> Result<Vec<u8>> {
    let status = Process::new(toolchain::CARGO)
        .args([
            "build",
            "--release",
            "--package",
            "async-inspect-ebpf",
            "--bin",
            PROGRAM,
            "--features",
            "bpf",
        ])
        .args(["--target", TARGET, "-Z", "build-std=core", "--target-dir"])
        .arg(target_dir)
        .current_dir(root)
        // A cargo that runs this one must not choose the compiler.
        .env_remove("RUSTUP_TOOLCHAIN")
        .envs(toolchain.environment(root)?)
        .status()
        .with_context(|| format!("running {}", toolchain::CARGO))?;
    if !status.success() {
        bail!("the BPF programs do not build: {status}");
    }
    let built = target_dir.join(TARGET).join("release").join(PROGRAM);
    let built = std::fs::read(&built).with_context(|| format!("reading {}", built.display()))?;
    let object = object_file::without_debug_sections(&built)?;
    for path in [root, &toolchain::cargo_home()?] {
        let path = path.to_str().context("a path that is not UTF-8")?;
        if object.windows(path.len()).any(|window| window == path.as_bytes()) {
            bail!("the BPF object holds a path of this machine: {path}");
        }
    }
    Ok(object)
}

const TARGET: &str = "bpfel-unknown-none";
const PROGRAM: &str = "async-inspect-bpf";

fn workspace_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace").to_owned()
}
