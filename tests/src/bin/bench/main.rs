//! `bench measure full|quick|ROUNDS [TABLE…]` measures and writes docs/BENCHMARKS.md, `bench list` names the tables. The other
//! subcommands are what some of them measure with, each in a process of its own: `bench time COMMAND…` tells wall time and
//! peak memory of a command, `bench gimli-pass FILE` reads debug info and does nothing else, as a reference.

mod document;
mod empty_session;
mod gimli_pass;
mod growth;
mod lifecycle;
mod measure;
mod observer;
mod ping_pong;
mod server;
mod snapshots;
mod statistics;
mod subject;
mod tables;

use anyhow::{Result, bail};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["time", command @ ..] => measure::time(command),
        ["gimli-pass", file] => gimli_pass::run(file),
        ["list"] => tables::list(),
        ["measure", effort, names @ ..] => tables::measure(tables::Effort::parse(effort)?, names),
        _ => bail!("bench measure full|quick|ROUNDS [TABLE…], or bench list"),
    }
}
