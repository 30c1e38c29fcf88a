//! `bench all ROUNDS` measures and writes docs/BENCHMARKS.md. The other two subcommands are what it measures with, each in
//! a process of its own: `bench time COMMAND…` tells wall time and peak memory of a command, `bench gimli-pass FILE` reads
//! debug info and does nothing else, as a reference.

mod gimli_pass;
mod measure;
mod report;

use anyhow::{Result, bail};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["time", command @ ..] => measure::time(command),
        ["gimli-pass", file] => gimli_pass::run(file),
        ["all", rounds] => report::write(rounds.parse()?),
        _ => bail!("bench all ROUNDS"),
    }
}
