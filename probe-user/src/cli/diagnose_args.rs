//! The arguments of `diagnose`.

use super::args::{moment, seconds, task_id};
use super::probe_args::ProbeArgs;
use crate::analysis::{LINTS, named};
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use std::time::Duration;

#[derive(Debug, Args)]
#[command(after_help = after_help())]
pub struct DiagnoseArgs {
    /// A PID, the name of a process, or a file that record wrote
    #[arg(value_name = "TARGET|RECORDING")]
    pub target: String,
    /// Watch for so many seconds; 0: read memory twice, and put nothing into the target
    #[arg(short, long, value_name = "SECONDS", default_value = "3", value_parser = moment)]
    pub duration: Duration,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
    /// Tell also what this task waited for, what that waited for in turn, and how long
    #[arg(long, value_name = "ID", value_parser = task_id)]
    pub task: Option<u64>,
    /// End with exit code 1 if one of these was found and is proven; all: any of them
    #[arg(long, value_name = "LINT", value_delimiter = ',', value_parser = fail_on(), hide_possible_values = true)]
    pub fail_on: Vec<FailOn>,
    /// With --fail-on: also if it is only possible
    #[arg(long, requires = "fail_on")]
    pub fail_on_possible: bool,
    /// no-timeout: an answer over a connection that takes longer than this is late. The watch, -d, must be as long
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub no_timeout_after: Duration,
    #[command(flatten)]
    pub probes: ProbeArgs,
}

const EXAMPLES: &str = "Examples:
  sudo async-inspect diagnose 4242               watch for three seconds, and tell
  sudo async-inspect diagnose shop -d 0          from memory alone: nothing is put into it
  sudo async-inspect diagnose shop --json | jq .findings
  async-inspect diagnose shop.rec                what a recording shows

A health check, with exit code 1 if there is one:
  sudo async-inspect diagnose shop -d 0 --fail-on deadlock,futurelock

A finding is proven where nothing else fits what was read, twice; else it is possible.";

/// Examples, and every lint with what it looks for.
fn after_help() -> String {
    let lints: String = LINTS.iter().map(|lint| format!("\n  {:<20} {}", lint.name(), lint.what())).collect();
    format!("{EXAMPLES}\n\nLints:{lints}")
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailOn {
    All,
    Lint(&'static str),
}

impl FailOn {
    pub fn takes(self, lint: &str) -> bool {
        match self {
            FailOn::All => true,
            FailOn::Lint(name) => name == lint,
        }
    }
}

/// Values that shells can complete.
fn fail_on() -> impl TypedValueParser<Value = FailOn> {
    let names = std::iter::once("all").chain(LINTS.iter().map(|lint| lint.name()));
    PossibleValuesParser::new(names)
        .map(|name| named(&name).map_or(FailOn::All, |lint| FailOn::Lint(lint.name())))
}
