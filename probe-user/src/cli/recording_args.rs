//! The arguments of `record` and `replay`.

use super::args::{moment, seconds, task_id};
use super::probe_args::ProbeArgs;
use clap::{ArgGroup, Args};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("what").required(true).args(["target", "command"]),
    override_usage = "async-inspect record [OPTIONS] <TARGET>\n       async-inspect record [OPTIONS] -- <CMD>...",
    after_help = "Examples:
  sudo async-inspect record 4242 -o shop.rec -d 60      one minute of process 4242
  sudo async-inspect record shop                        until Ctrl-C, into async-inspect-PID.rec
  async-inspect replay shop.rec                         what attach would have shown

The file needs neither the program nor its debug information to be replayed. It holds names,
places and addresses of the target; only you may read it. It grows while it is written: whatever
ends the recording, what was written up to the last second can be replayed."
)]
pub struct RecordArgs {
    /// A PID, the name of a process, or the path of the program that it runs
    pub target: Option<String>,
    /// Run this command and record it
    #[arg(last = true, value_name = "CMD")]
    pub command: Vec<OsString>,
    /// Write to this file; one that is there is replaced; - is stdout (async-inspect-PID.rec unless given, which must not be there)
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Stop after this many seconds
    #[arg(short, long, value_name = "SECONDS", value_parser = seconds)]
    pub duration: Option<Duration>,
    /// Print what attach --json prints, too
    #[arg(long)]
    pub json: bool,
    /// Seconds between two snapshots (1, or 0.25 without probes, unless given)
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub interval: Option<Duration>,
    #[command(flatten)]
    pub probes: ProbeArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  async-inspect replay shop.rec                       the screen, at the speed of then; q quits
  async-inspect replay shop.rec --plain               lines of text, at once
  async-inspect replay shop.rec --json | jq .event    the lines that attach --json would have given
  async-inspect replay shop.rec --at 12.5             the dump 12.5 s after the recording began
  async-inspect replay shop.rec --at 12.5 --task 42   one task then")]
pub struct ReplayArgs {
    /// What record wrote
    pub file: PathBuf,
    /// Lines of text instead of the screen
    #[arg(long, conflicts_with = "json")]
    pub plain: bool,
    /// One JSON object per line; with --at one JSON object
    #[arg(long)]
    pub json: bool,
    /// The tasks as they were at this moment, in seconds since the recording began
    #[arg(long, value_name = "SECONDS", value_parser = moment, conflicts_with = "plain")]
    pub at: Option<Duration>,
    /// With --at: only this task; may be given several times
    #[arg(long, value_name = "ID", value_parser = task_id, requires = "at")]
    pub task: Vec<u64>,
    /// With --at: only tasks whose name, function or file:line matches
    #[arg(long, value_name = "REGEX", value_parser = regex::Regex::new, requires = "at")]
    pub filter: Option<regex::Regex>,
    /// With --at: each task for itself, not grouped by place
    #[arg(long, conflicts_with = "json", requires = "at")]
    pub all: bool,
}
