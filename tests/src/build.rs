//! Building the programs of `tests/targets`, each in the build it is to be tested in.
//!
//! Variants share target directories, so that build scripts and proc macros are compiled once: cargo keeps the artifacts of
//! different profiles apart by hash, and `--target` keeps RUSTFLAGS away from host code. There are two, a [`Lane`] each, since cargo
//! locks the one it builds into. What is built is then linked into a directory per variant.

use anyhow::{Context as _, Result, ensure};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tokio {
    V1_21,
    V1_28,
    V1_38,
    V1_43,
    Latest,
}

impl Tokio {
    /// Those that every kind of build is tested with.
    pub const ALL: [Tokio; 3] = [Tokio::V1_38, Tokio::V1_43, Tokio::Latest];

    fn package(self) -> &'static str {
        match self {
            Tokio::V1_21 => "tokio-1.21",
            Tokio::V1_28 => "tokio-1.28",
            Tokio::V1_38 => "tokio-1.38",
            Tokio::V1_43 => "tokio-1.43",
            Tokio::Latest => "tokio-latest",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lto {
    /// Cargo's default: within a crate.
    Local,
    Thin,
    Fat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Panic {
    Unwind,
    Abort,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mangling {
    Legacy,
    V0,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Strip {
    Nothing,
    Symbols,
}

/// One way to build a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Variant {
    pub tokio: Tokio,
    pub codegen_units: u32,
    pub lto: Lto,
    pub panic: Panic,
    pub mangling: Mangling,
    /// `split-debuginfo=packed`: types live in a `.dwp` beside the program.
    pub split: bool,
    pub debug: u32,
    /// `debug = "line-tables-only"`, instead of what `debug` says.
    pub line_tables: bool,
    /// The same program built again with types, over the same dependencies.
    pub twin: bool,
    /// The program without `strip` is its twin: the same code.
    pub strip: Strip,
    /// A position-independent executable, which is the default.
    pub pie: bool,
    /// `--cfg tokio_unstable`.
    pub unstable: bool,
}

/// A directory of programs, all built the same way.
#[derive(Clone, Debug)]
pub struct Built {
    pub directory: PathBuf,
}

impl Built {
    pub fn program(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

/// Where a program is built. A build's lane follows from what it is, so that it is built once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// What takes a bit of both processors. Programs of one tokio, and those that share it: cargo builds it once where its features and
    /// the profile are the same.
    Wide,
    /// What is optimized as a whole, on one processor; and programs of other runtimes. Takes as long as the other.
    Narrow,
}

impl Lane {
    fn of(package: &str, lto: Lto) -> Lane {
        if package != "others" && lto == Lto::Local { Lane::Wide } else { Lane::Narrow }
    }

    fn directory(self) -> PathBuf {
        match self {
            Lane::Wide => target_dir(),
            Lane::Narrow => target_dir().join("narrow"),
        }
    }
}

/// The root of the workspace.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this package lies in the workspace")
}

/// The only architecture of today.
const HOST: &str = "x86_64-unknown-linux-gnu";

impl Variant {
    /// A release build with full debug info and nothing else said.
    pub fn release(tokio: Tokio) -> Variant {
        Variant {
            tokio,
            codegen_units: 16,
            lto: Lto::Local,
            panic: Panic::Unwind,
            mangling: Mangling::Legacy,
            split: false,
            debug: 2,
            line_tables: false,
            twin: false,
            strip: Strip::Nothing,
            pie: true,
            unstable: false,
        }
    }

    /// Where everything is inlined into everything: the build that differs most from [`Variant::release`].
    pub fn smallest(tokio: Tokio) -> Variant {
        Variant {
            lto: Lto::Fat,
            codegen_units: 1,
            panic: Panic::Abort,
            mangling: Mangling::V0,
            ..Variant::release(tokio)
        }
    }

    /// What has nothing to do with each other, in one build: into how many units a crate is cut, which decides what is inlined;
    /// where types lie, which changes no code; and how symbols are written, which only a demangler reads. In [`Variant::matrix`] each is
    /// alone.
    pub fn in_one_unit(tokio: Tokio) -> Variant {
        Variant { codegen_units: 1, mangling: Mangling::V0, split: true, ..Variant::release(tokio) }
    }

    /// The same of four others: what is inlined across crates; whether there are landing pads; at which addresses the program lies; and
    /// which members tokio's structures have. [`Variant::smallest`] asks more of a build that aborts:
    /// no root may be lost there.
    pub fn thin(tokio: Tokio) -> Variant {
        Variant { lto: Lto::Thin, panic: Panic::Abort, pie: false, unstable: true, ..Variant::release(tokio) }
    }

    /// Every build that decoded trees must be right in.
    pub fn matrix() -> Vec<Variant> {
        let of_tokio = |tokio| {
            let base = Variant::release(tokio);
            [
                base,
                Variant { codegen_units: 1, ..base },
                Variant { lto: Lto::Thin, ..base },
                Variant { lto: Lto::Fat, ..base },
                Variant::smallest(tokio),
                Variant { panic: Panic::Abort, ..base },
                Variant { mangling: Mangling::V0, ..base },
                Variant { split: true, ..base },
            ]
        };
        // Older layouts: the oldest in the builds that differ most.
        let oldest = Variant::release(Tokio::V1_21);
        let older =
            [oldest, Variant { lto: Lto::Fat, codegen_units: 1, ..oldest }, Variant::release(Tokio::V1_28)];
        Tokio::ALL.into_iter().flat_map(of_tokio).chain(older).collect()
    }

    /// What CI has time for: every property of the matrix in some build with the latest tokio, and the older ones in the plain build
    /// and in that which differs most. `MATRIX=all` builds the matrix instead, where each property is alone.
    pub fn covering() -> Vec<Variant> {
        let of_latest = {
            let latest = Tokio::Latest;
            let fat = Variant { lto: Lto::Fat, ..Variant::release(latest) };
            [
                Variant::release(latest),
                Variant::in_one_unit(latest),
                Variant::thin(latest),
                fat,
                Variant::smallest(latest),
            ]
        };
        let is_older = |variant: &Variant| {
            let ends = [Variant::release(variant.tokio), Variant::smallest(variant.tokio)].contains(variant);
            variant.tokio != Tokio::Latest && (ends || variant.tokio == Tokio::V1_21)
        };
        of_latest.into_iter().chain(Variant::matrix().into_iter().filter(is_older)).collect()
    }

    /// Every tokio, and the builds that move things about most: what resources are checked in.
    pub fn few() -> Vec<Variant> {
        let moved = [Variant::in_one_unit(Tokio::Latest), Variant::smallest(Tokio::Latest)];
        Tokio::ALL.into_iter().map(Variant::release).chain(moved).collect()
    }

    /// `tokio-1.38-cgu16-fat-abort`: only what differs from [`Variant::release`], and the codegen units.
    pub fn name(&self) -> String {
        self.name_of(self.tokio.package())
    }

    fn name_of(&self, package: &str) -> String {
        let mut name = format!("{package}-cgu{}", self.codegen_units);
        let mut add = |differs: bool, what: &str| {
            if differs {
                name.push('-');
                name.push_str(what);
            }
        };
        add(self.lto == Lto::Thin, "thin");
        add(self.lto == Lto::Fat, "fat");
        add(self.panic == Panic::Abort, "abort");
        add(self.mangling == Mangling::V0, "v0");
        add(self.split, "packed");
        add(self.debug != 2, &format!("debug{}", self.debug));
        add(self.line_tables, "line-tables");
        add(self.twin, "twin");
        add(self.strip == Strip::Symbols, "stripped");
        add(!self.pie, "no-pie");
        add(self.unstable, "unstable");
        name
    }

    /// Builds these programs; quick where nothing changed.
    pub fn build(&self, programs: &[&str]) -> Result<Built> {
        self.build_of(self.tokio.package(), programs)
    }

    /// Builds programs of another workspace under `tests/targets` in this way; it chooses its own tokio.
    pub fn build_of(&self, package: &str, programs: &[&str]) -> Result<Built> {
        self.build_as(package, programs, &self.name_of(package))
    }

    /// The same of a workspace of its own, whatever tokio that has.
    pub fn build_package(&self, package: &str, programs: &[&str]) -> Result<Built> {
        self.build_as(package, programs, &format!("{package}-{}", self.name()))
    }

    fn build_as(&self, package: &str, programs: &[&str], name: &str) -> Result<Built> {
        let lane = Lane::of(package, self.lto);
        let alone = self.of_the_program_alone();
        if alone.is_empty() {
            let mut cargo = cargo("build", package, programs, lane);
            self.set_profile(&mut cargo);
            return run(&mut cargo, programs, name, lane);
        }
        for program in programs {
            let mut cargo = cargo("rustc", package, &[program], lane);
            self.set_profile(&mut cargo);
            run(cargo.arg("--").args(&alone), &[program], name, lane)?;
        }
        Ok(built_as(name))
    }

    /// Flags that `cargo rustc` gives to rustc for the program and not for its dependencies, which so are the same as without.
    /// Cargo leaves them out of what it hashes into symbols (`-C metadata`); another profile would change the order of functions.
    fn of_the_program_alone(&self) -> Vec<&'static str> {
        let flags = [(self.twin, "-Cdebuginfo=2"), (self.strip == Strip::Symbols, "-Cstrip=symbols")];
        flags.into_iter().filter(|(wanted, _)| *wanted).map(|(_, flag)| flag).collect()
    }

    fn set_profile(&self, cargo: &mut Command) {
        let set = |cargo: &mut Command, key: &str, value: &str| {
            cargo.env(format!("CARGO_PROFILE_RELEASE_{key}"), value);
        };
        set(cargo, "CODEGEN_UNITS", &self.codegen_units.to_string());
        let debug = self.debug.to_string();
        set(cargo, "DEBUG", if self.line_tables { "line-tables-only" } else { &debug });
        let lto = match self.lto {
            Lto::Local => "false",
            Lto::Thin => "thin",
            Lto::Fat => "fat",
        };
        set(cargo, "LTO", lto);
        set(cargo, "PANIC", if self.panic == Panic::Abort { "abort" } else { "unwind" });
        set(cargo, "SPLIT_DEBUGINFO", if self.split { "packed" } else { "off" });
        set(cargo, "STRIP", "none");
        // Of build scripts and proc macros, which then are the same whatever the program has: built once, and faster.
        set(cargo, "BUILD_OVERRIDE_DEBUG", "0");
        set(cargo, "BUILD_OVERRIDE_SPLIT_DEBUGINFO", "off");
        // rustc 1.97 makes v0 the default and puts legacy behind -Zunstable-options; before, legacy needs no flag.
        let mangling = if self.mangling == Mangling::V0 { "-Csymbol-mangling-version=v0" } else { "" };
        let model = if self.pie { "" } else { "-Crelocation-model=static" };
        let unstable = if self.unstable { "--cfg tokio_unstable" } else { "" };
        let flags =
            [mangling, model, unstable].into_iter().filter(|flag| !flag.is_empty()).collect::<Vec<_>>();
        cargo.env("RUSTFLAGS", flags.join(" "));
    }
}

/// Builds programs of a workspace of their own under `tests/targets`, in release with full debug info.
pub fn build_package(package: &str, programs: &[&str]) -> Result<Built> {
    let release = Variant::release(Tokio::Latest);
    release.build_as(package, programs, package)
}

/// The same with one of its features, and flags for the compiler.
pub fn build_feature(package: &str, programs: &[&str], feature: &str, flags: &str) -> Result<Built> {
    let lane = Lane::of(package, Lto::Local);
    let mut cargo = cargo("build", package, programs, lane);
    cargo.args(["--features", feature]).env("RUSTFLAGS", flags);
    run(&mut cargo, programs, &format!("{package}-{feature}"), lane)
}

fn target_dir() -> PathBuf {
    workspace().join("target/programs")
}

fn cargo(subcommand: &str, package: &str, programs: &[&str], lane: Lane) -> Command {
    let mut cargo = outer_cargo();
    // Where cargo runs decides what DW_AT_comp_dir says, so it is the same wherever the test is started.
    cargo.current_dir(workspace().join("tests/targets").join(package));
    cargo.args([subcommand, "--release", "--locked", "--quiet", "--target", HOST]);
    cargo.arg("--target-dir").arg(lane.directory()).arg("--message-format=json-render-diagnostics");
    cargo.args(programs.iter().flat_map(|name| ["--bin", name]));
    cargo.env("RUSTFLAGS", "").env_remove("CARGO_ENCODED_RUSTFLAGS");
    cargo.stdin(Stdio::null()).stderr(Stdio::inherit());
    cargo
}

/// The cargo that runs us, without what it says of the package that it runs: build scripts look at that (`ring`'s, whose dependents
/// are most of a web server), and were run again for each package that asks.
pub(crate) fn outer_cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let of_a_package = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(of_a_package)) {
        cargo.env_remove(name);
    }
    cargo
}

/// Set where there is no cargo, as in a virtual machine: every program was built before, into the place where it is.
const PREBUILT: &str = "E2E_PREBUILT";

fn built_as(name: &str) -> Built {
    Built { directory: target_dir().join("built").join(name) }
}

/// Runs cargo and links what it built into the directory of that name.
fn run(cargo: &mut Command, programs: &[&str], name: &str, lane: Lane) -> Result<Built> {
    let Built { directory } = built_as(name);
    if std::env::var_os(PREBUILT).is_some() {
        let missing = programs.iter().find(|program| !directory.join(program).exists());
        ensure!(
            missing.is_none(),
            "{name}/{} was not built before: see bin/baggage.rs",
            missing.unwrap_or(&"")
        );
        return Ok(Built { directory });
    }
    fs::create_dir_all(&directory)?;
    // Cargo's own lock ends with cargo, while its output must stay until it is linked to its place.
    fs::create_dir_all(lane.directory())?;
    let lock = File::create(lane.directory().join("build.lock"))?;
    lock.lock()?;
    let output = cargo.output().context("cargo did not start")?;
    ensure!(output.status.success(), "cargo could not build {name} ({})", output.status);
    let files = output_files(&output.stdout)?;
    ensure!(files.len() >= programs.len(), "asked cargo for {programs:?}, it named {files:?}");
    for file in &files {
        publish(file, &directory)?;
    }
    Ok(Built { directory })
}

/// The executables named in cargo's JSON messages, and the debug info beside them.
fn output_files(messages: &[u8]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for message in serde_json::Deserializer::from_slice(messages).into_iter::<serde_json::Value>() {
        let message = message?;
        if message["executable"].is_string() {
            let names = message["filenames"].as_array().map(Vec::as_slice).unwrap_or_default();
            found.extend(names.iter().filter_map(|name| name.as_str()).map(PathBuf::from));
        }
    }
    Ok(found)
}

/// Links a file into `directory`. Never writes over what is there: it may be running.
fn publish(file: &Path, directory: &Path) -> Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let place = directory.join(file.file_name().context("cargo names files")?);
    let same = |a: fs::Metadata, b: fs::Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
    if let (Ok(old), Ok(new)) = (fs::metadata(&place), fs::metadata(file)) {
        if same(old, new) {
            return Ok(());
        }
        fs::remove_file(&place)?;
    }
    fs::hard_link(file, &place).with_context(|| format!("{} could not be linked", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each property of the matrix, with any tokio.
    #[test]
    fn no_property_is_left_out() {
        fn properties(variants: &[Variant]) -> std::collections::BTreeSet<String> {
            let of = |v: &Variant| {
                [
                    format!("{:?}", v.tokio),
                    format!("{:?} {}", v.lto, v.codegen_units == 1),
                    format!("{:?}", v.panic),
                    format!("{:?}", v.mangling),
                    format!("split {}", v.split),
                ]
            };
            variants.iter().flat_map(of).collect()
        }
        let latest = |v: &Variant| v.tokio == Tokio::Latest;
        let (all, few) = (Variant::matrix(), Variant::covering());
        assert_eq!(properties(&few), properties(&all));
        let of_latest = |variants: Vec<Variant>| variants.into_iter().filter(latest).collect::<Vec<_>>();
        let lacking: Vec<_> =
            properties(&of_latest(all)).difference(&properties(&of_latest(few))).cloned().collect();
        assert!(lacking.is_empty(), "{lacking:?}");
    }
}
