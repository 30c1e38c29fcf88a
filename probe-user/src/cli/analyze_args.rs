//! The arguments of `analyze`.

use clap::{Args, ValueEnum};
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  async-inspect analyze target/release/shop                       who awaits, spawns and calls whom
  async-inspect analyze target/release/shop --root checkout       from this function on
  async-inspect analyze target/release/shop -f json | jq '.functions[] | select(.color == \"green\")'
  async-inspect analyze target/release/shop --state-machine fetch_user    its states, and what each keeps
  async-inspect analyze target/release/shop --sizes               which futures are large, and why
  async-inspect analyze new/shop --sizes --against old/shop       what became larger
  async-inspect analyze target/release/shop --blocking            which async functions may block their thread
  async-inspect analyze target/release/shop --with shop.rec       and where the time went
  async-inspect analyze 4242                                      the program that process 4242 runs

Nothing is run: it takes a file with debug information (debug = 2), and no rights but to read it.")]
pub struct AnalyzeArgs {
    /// An executable file, or the PID of a process that runs one
    #[arg(value_name = "BINARY|PID")]
    pub target: String,
    /// Who awaits, spawns and calls whom; what is shown unless something else is asked for
    #[arg(long)]
    pub show_call_graph: bool,
    /// The states of one async function: its path, the end or a part of it, or FILE:LINE of one of its awaits
    #[arg(long, value_name = "FN", conflicts_with_all = ["show_call_graph", "sizes"])]
    pub state_machine: Option<String>,
    /// Futures by size, what makes them large, and what each spawned task takes
    #[arg(long, conflicts_with = "show_call_graph")]
    pub sizes: bool,
    /// With --sizes: what differs from this program, an earlier build of it
    #[arg(long, value_name = "BINARY|PID", requires = "sizes")]
    pub against: Option<String>,
    /// Async functions from which a blocking call is reached without spawn_blocking, and the way there
    #[arg(long, conflicts_with_all = ["show_call_graph", "sizes", "state_machine", "with"])]
    pub blocking: bool,
    /// What to write
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub format: Format,
    /// Show also what dependencies and std are made of
    #[arg(long)]
    pub deps: bool,
    /// Every row of --sizes, however many
    #[arg(long, requires = "sizes")]
    pub all: bool,
    /// Begin at this function: its path, the end or a part of it, or FILE:LINE of it or of one of its awaits
    #[arg(long, value_name = "FN")]
    pub root: Option<String>,
    /// How many steps from a root
    #[arg(long, value_name = "N")]
    pub depth: Option<u32>,
    /// A recording of the program: what took most of the time in it becomes yellow
    #[arg(long, value_name = "RECORDING", conflicts_with_all = ["sizes", "state_machine"])]
    pub with: Option<PathBuf>,
    /// Write to this file instead of stdout
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    #[default]
    /// Trees in a box, for people
    Text,
    /// The whole, for programs (docs/JSON.md)
    Json,
    /// For Graphviz
    Dot,
    /// A flowchart, for Markdown
    Mermaid,
    /// One page with search, which opens offline
    Html,
}
