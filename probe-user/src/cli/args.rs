//! The command line. A wrong one is a usage error: exit code 2.

use super::analyze_args::AnalyzeArgs;
use super::diagnose_args::DiagnoseArgs;
use super::probe_args::ProbeArgs;
use super::recording_args::{RecordArgs, ReplayArgs};
use super::source::OpenOptions;
use clap::{ArgAction, ArgGroup, Args, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Parser)]
#[command(
    name = "async-inspect",
    version,
    about = "See every task of a running, uninstrumented async Rust program: where it awaits, for what, since when",
    after_help = "Examples:
  async-inspect ps                    which processes are async Rust programs?
  sudo async-inspect dump 4242        every task of process 4242, once
  sudo async-inspect attach shop      watch the process named shop, live
  sudo async-inspect diagnose shop    which bug is it?
  sudo async-inspect record shop      the same into a file, for async-inspect replay
  async-inspect check 4242            what can be seen, and why not more?

Exit codes: 0 fine, 1 found what --fail-on names, 2 usage, 3 not permitted, 4 no such target, 5 nothing usable in the target,
6 kernel too old, 70 a bug of async-inspect, 74 an I/O or other error",
    propagate_version = true,
    max_term_width = 100
)]
pub struct Cli {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Common options")]
pub struct Common {
    /// Say more on stderr; twice for even more
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// Say nothing on stderr but errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Colour the output for people; auto: on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub color: Color,
    /// Debug information of the target: a file, or a directory to search
    #[arg(long, global = true, value_name = "FILE|DIR")]
    pub debuginfo: Vec<PathBuf>,
    /// Where the target's sources are, to quote the line a task awaits at
    #[arg(long, global = true, value_name = "DIR")]
    pub src_path: Option<PathBuf>,
    /// Count this crate as your own code, wherever its sources lie
    #[arg(long, global = true, value_name = "NAME")]
    pub user_crate: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    #[default]
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Watch a target live: a screen on a terminal, else lines of text
    Attach(AttachArgs),
    /// Show every task once, with the place it awaits at
    Dump(DumpArgs),
    /// Tell which bugs it has: deadlocks, blocked threads, leaks, …
    Diagnose(DiagnoseArgs),
    /// Write what attach would show into a file
    Record(RecordArgs),
    /// Show a recording as attach would have, or the dump at one moment of it
    Replay(ReplayArgs),
    /// Tell what became slower between two recordings
    Compare(CompareArgs),
    /// Write the graph of who waits for what, and who holds it
    Export(ExportArgs),
    /// Tell from a program's file alone who awaits, spawns and calls whom
    Analyze(AnalyzeArgs),
    /// Tell what can be seen of a target, and why not more
    Check(CheckArgs),
    /// List the processes that look like async Rust programs
    Ps(PsArgs),
    /// Write the manual pages into a directory
    Man { directory: PathBuf },
    /// Print the completions of a shell
    Completions { shell: clap_complete::Shell },
}

#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("what").required(true).args(["target", "command"]),
    override_usage = "async-inspect attach [OPTIONS] <TARGET>\n       async-inspect attach [OPTIONS] -- <CMD>...",
    after_help = "Examples:
  sudo async-inspect attach 4242                    the screen; press ? there for help
  sudo async-inspect attach shop --plain -d 10      ten seconds of lines of text
  sudo async-inspect attach 4242 --json > events    one JSON object per line
  sudo async-inspect attach -- ./target/release/shop --port 8080

The command's own output goes to stderr, because what attach tells is on stdout; with the screen
it goes into a file that is named first. The command goes on running when attach ends before it.

With --sample nothing is put into the target: its memory is read so many times a second. Polls
are not counted, and times are estimates.

Without the right to trace, or on a kernel without uprobes, attach takes snapshots several times
a second instead and says so: states are then seen, and places where its types are known; single
polls are not."
)]
pub struct AttachArgs {
    /// A PID, the name of a process, or the path of the program that it runs
    pub target: Option<String>,
    /// Run this command and watch it
    #[arg(last = true, value_name = "CMD")]
    pub command: Vec<OsString>,
    /// Lines of text instead of the screen
    #[arg(long, conflicts_with = "json")]
    pub plain: bool,
    /// One JSON object per line
    #[arg(long)]
    pub json: bool,
    /// Stop after this many seconds
    #[arg(short, long, value_name = "SECONDS", value_parser = seconds)]
    pub duration: Option<Duration>,
    /// Seconds between two snapshots (1, or 0.25 without probes, unless given)
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub interval: Option<Duration>,
    #[command(flatten)]
    pub probes: ProbeArgs,
}

#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("subject").required(true).args(["target", "core"]),
    override_usage = "async-inspect dump [OPTIONS] <TARGET>\n       async-inspect dump [OPTIONS] --core <FILE> [--exe <FILE>]",
    after_help = "Examples:
  sudo async-inspect dump 4242                     tasks at one place are shown once, with a count
  sudo async-inspect dump shop --filter checkout   only tasks that have to do with this
  sudo async-inspect dump shop --task 42           one task, with all that is known of it
  sudo async-inspect dump 4242 --json | jq '.tasks[] | select(.state == \"idle\") | .name'
  async-inspect dump --core core.4242              what it was doing when it died, or when gcore ran

Findings stand below the list. Where one reading does not tell whether something is wrong, memory is
read once or twice more, each time within a second; with -q, and for the cards of --task, which name
no findings, it is read once."
)]
pub struct DumpArgs {
    /// A PID, the name of a process, or the path of the program that it runs
    pub target: Option<String>,
    /// A core file instead, of the kernel or of gdb's gcore
    #[arg(long, value_name = "FILE")]
    pub core: Option<PathBuf>,
    /// The program the core file is of, if it is no longer where it ran
    #[arg(long, value_name = "FILE", requires = "core", conflicts_with = "target")]
    pub exe: Option<PathBuf>,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
    /// Only this task; may be given several times
    #[arg(long, value_name = "ID", value_parser = task_id)]
    pub task: Vec<u64>,
    /// Only tasks whose name, function or file:line matches
    #[arg(long, value_name = "REGEX", value_parser = regex::Regex::new)]
    pub filter: Option<regex::Regex>,
    /// Each task for itself, not grouped by place
    #[arg(long, conflicts_with = "json")]
    pub all: bool,
    /// Write to this file instead of stdout
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Set by `replay --at`: what it was given.
    #[arg(skip)]
    pub replayed: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  sudo async-inspect export 4242 -f dot | dot -Tsvg > tasks.svg
  sudo async-inspect export shop -f mermaid -o tasks.mmd
  sudo async-inspect export 4242 -f json | jq '.edges[] | select(.cycle)'

Tasks that stand at one place and wait for the same are drawn once, with a count; JSON has each.
What lies on a cycle of waits is red; with select! a task can be on one and still go on.")]
pub struct ExportArgs {
    /// A PID, the name of a process, or the path of the program that it runs
    pub target: String,
    /// What to write; dot is for Graphviz
    #[arg(short, long, value_enum)]
    pub format: ExportFormat,
    /// Write to this file, which is replaced once all is written; - is stdout
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Each task for itself (dot and mermaid)
    #[arg(long)]
    pub all: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    Dot,
    Mermaid,
    Json,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  async-inspect compare before.rec after.rec
  sudo async-inspect compare yesterday.rec shop -d 30     a recording, and what runs now
  async-inspect compare a.rec b.rec --json | jq '.changes[] | select(.verdict == \"slower\")'

Each await point of both is compared: how long tasks stay there, how long polls from there take, and
how long the woken wait for them. Every second is one observation, so that what varies within a run
is not called a change; watch for ten seconds or more.")]
pub struct CompareArgs {
    /// The first: a recording, or a target to watch now
    #[arg(value_name = "BEFORE")]
    pub before: String,
    /// The second
    #[arg(value_name = "AFTER")]
    pub after: String,
    /// Watch a target for so many seconds
    #[arg(short, long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub duration: Duration,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
    /// Every point, also where nothing changed
    #[arg(long, conflicts_with = "json")]
    pub all: bool,
    #[command(flatten)]
    pub probes: ProbeArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  async-inspect check 4242
  async-inspect check target/release/shop           before it is deployed")]
pub struct CheckArgs {
    /// A PID, the name of a process, or an executable file
    pub target: String,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct PsArgs {
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}

impl DumpArgs {
    /// What is dumped, as it was typed.
    pub fn subject(&self) -> String {
        if let Some(replayed) = &self.replayed {
            return replayed.clone();
        }
        match (&self.core, &self.exe) {
            (Some(core), Some(exe)) => format!("--core {} --exe {}", core.display(), exe.display()),
            (Some(core), None) => format!("--core {}", core.display()),
            (None, _) => self.target.clone().unwrap_or_default(),
        }
    }
}

impl DumpArgs {
    /// The command that shows it.
    pub fn command(&self) -> &'static str {
        if self.replayed.is_some() { "replay" } else { "dump" }
    }
}

impl Common {
    pub fn open_options(&self) -> OpenOptions {
        OpenOptions { debuginfo: self.debuginfo.clone(), user_crates: self.user_crate.clone() }
    }
}

/// The longest time that can be asked for: a year.
const LONGEST: f64 = 366.0 * 86_400.0;

pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    if seconds > 0.0 && seconds <= LONGEST {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err(format!("must be more than 0 and at most {LONGEST}"))
    }
}

/// As [`seconds`]; also none at all.
pub(super) fn moment(text: &str) -> Result<Duration, String> {
    if text.parse() == Ok(0.0) { Ok(Duration::ZERO) } else { seconds(text) }
}

/// `42` or `#42`.
pub(super) fn task_id(text: &str) -> Result<u64, String> {
    text.trim_start_matches('#').parse().map_err(|_| "not a task's id, which is a number".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn times_and_ids_are_checked() {
        assert_eq!(seconds("0.25"), Ok(Duration::from_millis(250)));
        for bad in ["", "x", "0", "-1", "NaN", "inf", "1e99"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
        assert_eq!((task_id("#42"), task_id("42")), (Ok(42), Ok(42)));
        assert!(task_id("-1").is_err());
    }

    #[test]
    fn attach_wants_a_target_or_a_command() {
        let parse = |args: &[&str]| Cli::try_parse_from([&["async-inspect", "attach"], args].concat());
        assert!(parse(&["42"]).is_ok());
        assert!(parse(&["--json", "--", "ls", "-l"]).is_ok());
        assert!(parse(&[]).is_err());
        assert!(parse(&["42", "--", "ls"]).is_err());
        assert!(parse(&["42", "--json", "--plain"]).is_err());
    }
}
