//! What the commands need of a target. `live` gives it for a running process; tests give it from made-up data.

use super::{Exit, Failure};
use crate::decode::{Frames, Snapshot};
use crate::model::{Cost, Mode};
use crate::sample::Round;
use crate::trace::{TraceEvent, Wanted};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// What people said on the command line about how to read a target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenOptions {
    /// `--debuginfo`: files, or directories to search.
    pub debuginfo: Vec<PathBuf>,
    /// `--user-crate`: crates that count as the user's own code, beside those that are recognised by path.
    pub user_crates: Vec<String>,
}

/// Tells how far indexing has come. May be called from several threads, as often as one likes.
pub trait Progress: Sync {
    /// `what` in words (`indexing debug info`); `done` of `total` in any unit.
    fn step(&self, what: &str, done: u64, total: u64);
}

/// Which kind of kernel link to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ProbeMode {
    /// The best one the kernel has.
    #[default]
    Auto,
    Session,
    Multi,
    Perf,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceOptions {
    /// No return probes: durations stay unknown, the target's backtraces stay whole.
    pub entry_only: bool,
    pub probe_mode: ProbeMode,
    /// `--max-overhead`: percent of the target's CPU time; 100: whatever it costs.
    pub max_overhead: u8,
    /// `--events`: what is watched beside polls.
    pub wanted: Wanted,
    /// `--blocked-after`: polls under way for longer are told, with what holds them up. None: time off CPU is not watched.
    pub blocked_after: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessInfo {
    pub pid: u32,
    pub exe: String,
    /// When the executable was written: source files newer than this are not quoted.
    pub built: Option<SystemTime>,
}

/// An opened target. Not `Send`: it lives and dies on the thread that opened it.
pub trait Source {
    fn process(&self) -> ProcessInfo;

    /// The table all of this target's snapshots and events refer to.
    fn frames(&self) -> Arc<Frames>;

    /// Reads every task now.
    ///
    /// # Errors
    /// `NoTarget` when the target has ended, `NothingUsable` when it has no async runtime (yet).
    fn snapshot(&mut self) -> Result<Snapshot, Failure>;

    /// Puts the probes in; they are live when this returns.
    ///
    /// # Errors
    /// `NotPermitted`, `Kernel` or `NothingUsable` make `attach` fall back to snapshots.
    fn start_trace(&mut self, options: TraceOptions) -> Result<Box<dyn EventStream>, Failure>;

    /// Begins to look from outside at which task each thread polls, `hz` times a second. `first`: the latest snapshot,
    /// which told what threads and tasks there are, as each later one will.
    ///
    /// # Errors
    /// `NothingUsable` where threads do not tell.
    fn start_sampling(&mut self, _hz: u32, _first: &Snapshot) -> Result<Box<dyn LookStream>, Failure> {
        let ProcessInfo { pid, exe, .. } = self.process();
        Err(Failure {
            exit: Exit::NothingUsable,
            tried: format!("sampling process {pid} ({exe})"),
            why: "only a process that runs can be looked at".into(),
            next: String::new(),
        })
    }

    /// What people should know about the latest snapshot and looks; each is told once.
    fn notes(&mut self) -> Vec<String> {
        Vec::new()
    }

    /// Whether the target runs another program now than the one that was opened. Asked ten times a second.
    fn has_execed(&mut self) -> bool {
        false
    }

    /// Whether the target has ended. Cheap: asked many times a second.
    fn has_exited(&mut self) -> bool;
}

/// Probes that are in; dropping it takes them out. Drained on a thread of its own.
pub trait EventStream: Send {
    /// Never [`Mode::Snapshots`] or [`Mode::Sample`].
    fn mode(&self) -> Mode;

    /// What is not as one would expect of this mode, and why; for people.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    /// Appends what happened since the last call, in the order of time. Does not wait.
    fn drain(&mut self, out: &mut Vec<TraceEvent>) -> Result<(), Failure>;

    /// The last call: as [`EventStream::drain`], and what that held back.
    fn finish(&mut self, out: &mut Vec<TraceEvent>) -> Result<(), Failure> {
        self.drain(out)
    }

    /// Whether nothing is to be expected for a while, so that draining may wait.
    fn is_quiet(&self) -> bool {
        false
    }

    /// From now on `turn` is called with true when the probes have gone out for a while, and with false before they go in.
    fn when_turning(&mut self, _turn: Box<dyn FnMut(bool) + Send>) {}

    /// What watching has cost so far, if it is measured.
    fn cost(&mut self) -> Option<Cost> {
        None
    }
}

/// Looks at a target. On a thread of its own.
pub trait LookStream: Send {
    /// Looks begin, or begin again: the time until now is none that was to be looked at.
    fn begin(&mut self) {}

    /// Looks for about a tenth of a second, or until no `more` are wanted. None when the target has gone.
    fn round(&mut self, more: &dyn Fn() -> bool) -> Option<Round>;
}
