//! Builds what a virtual machine of `cargo xtask vm` takes along, as there is no cargo: the tool, end-to-end tests and the
//! programs that they look at. Prints each executable's path here and there, with a tab between.

use anyhow::{Context as _, Result, ensure};
use e2e::{Built, Tokio, Variant, build_package, inspector, workspace};
use std::process::{Command, Stdio};

const TESTS: [&str; 6] = ["blockers", "computes", "counts", "harmless", "kernels", "outcomes"];
/// The first process there.
const INIT: &str = "guest";

fn main() -> Result<()> {
    println!("{}\t/vm/async-inspect", inspector::executable().display());
    tests()?;
    // Tests know these by their path, so it is the same there.
    for (built, programs) in programs()? {
        for path in programs.iter().map(|name| built.program(name)) {
            println!("{0}\t{0}", path.display());
        }
    }
    Ok(())
}

fn tests() -> Result<()> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // Of the whole workspace, as `cargo xtask test` builds them: with other features much would be built again.
    cargo.current_dir(workspace()).args(["test", "--no-run", "--locked", "--quiet", "--workspace"]);
    cargo
        .args(TESTS.iter().flat_map(|name| ["--test", name]))
        .arg("--message-format=json-render-diagnostics");
    let done = cargo.stdin(Stdio::null()).stderr(Stdio::inherit()).output().context("cargo did not start")?;
    ensure!(done.status.success(), "the tests could not be built ({})", done.status);
    let mut left = [TESTS.as_slice(), &[INIT]].concat();
    for message in serde_json::Deserializer::from_slice(&done.stdout).into_iter::<serde_json::Value>() {
        let message = message?;
        let (name, file) = (message["target"]["name"].as_str(), message["executable"].as_str());
        if let (Some(name), Some(file)) = (name, file)
            && let Some(at) = left.iter().position(|wanted| *wanted == name)
        {
            left.swap_remove(at);
            println!("{file}\t/vm/{name}");
        }
    }
    ensure!(left.is_empty(), "cargo built no {}", left.join(", "));
    Ok(())
}

/// What the tests build where there is cargo. One that wants another says there that it was not built.
fn programs() -> Result<Vec<(Built, &'static [&'static str])>> {
    let (release, smallest) = (Variant::release, Variant::smallest);
    let wanted: [(Variant, &[&str]); 6] = [
        (
            release(Tokio::Latest),
            &["blockers", "busy", "computes", "counts", "outcomes", "panics", "exits_early", "tree"],
        ),
        (release(Tokio::V1_43), &["counts", "panics"]),
        (release(Tokio::V1_38), &["blockers", "counts", "outcomes", "panics"]),
        (smallest(Tokio::Latest), &["blockers", "computes", "counts"]),
        (smallest(Tokio::V1_38), &["counts"]),
        (Variant::thin(Tokio::Latest), &["panics"]),
    ];
    let mut built = vec![(build_package("seccomp", &["seccomp"])?, ["seccomp"].as_slice())];
    for (variant, programs) in wanted {
        built.push((variant.build(programs)?, programs));
    }
    Ok(built)
}
