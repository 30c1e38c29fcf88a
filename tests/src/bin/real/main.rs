//! `real [NAME…]` looks at programs of crates.io (all without names) and prints the table of docs/REAL-PROGRAMS.md, which it
//! writes when all were asked for.

use anyhow::{Result, ensure};
use e2e::real::{PROGRAMS, Real, table};

fn main() -> Result<()> {
    let names: Vec<String> = std::env::args().skip(1).collect();
    let chosen: Vec<&Real> = PROGRAMS
        .iter()
        .filter(|real| names.is_empty() || names.iter().any(|name| name == real.name))
        .collect();
    ensure!(
        !chosen.is_empty(),
        "known: {}",
        PROGRAMS.iter().map(|real| real.name).collect::<Vec<_>>().join(", ")
    );
    let mut rows = Vec::new();
    for real in chosen {
        eprintln!("{} {}", real.name, real.version);
        rows.push((real, real.measure()?));
    }
    let table = table(&rows);
    print!("{table}");
    if names.is_empty() {
        std::fs::write(e2e::workspace().join("docs/REAL-PROGRAMS.md"), format!("{}\n{table}", PREFACE))?;
    }
    Ok(())
}

const PREFACE: &str = "# Programs that nobody here wrote

Written by `cargo xtask real`, which installs each from crates.io with its own lockfile, in release as its authors set it
up, and with debug info; starts it, lets clients do something to it (wait idle, not read, stop half way), and looks at
it once. A *frame* is a suspended coroutine or hand-written future of a task that does not run. A coroutine is *told* when
its state and the line of its await are; a hand-written future when what is in it, or what it waits for, is. *Whole* are
tasks of which every frame is told. A task that is not found counts as a frame that is not told.
";
