//! Running processes: the commands' view of `target`, `decode` and `trace`.

use super::clock::monotonic_ns;
use super::long_polls::LongPolls;
use super::probes::{Prices, Probes};
use super::source::{
    EventStream, LookStream, OpenOptions, ProbeMode, ProcessInfo, Progress, Source, TraceOptions,
};
use super::{Exit, Failure};
use crate::decode::{Blockers, Frames, Inspector, OpenError, RuntimeKind, Sleepers, Snapshot};
use crate::present::units::counted;
use crate::sample::{Round, Sampler, Scout, Tables};
use crate::target::{self, Avma, Process, TargetError};
use crate::trace::{self, CausePlan, Preparation, TraceError, TraceTarget, Tracer, Wish};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Opens TARGET: a PID, or a process's name.
///
/// # Errors
/// `NoTarget`, `NotPermitted`, `NothingUsable`; `Usage` for a name that several processes have.
pub fn open(
    target: &str,
    options: &OpenOptions,
    progress: &dyn Progress,
) -> Result<Box<dyn Source>, Failure> {
    let process = process(target)?;
    opened(process, options, progress, None)
}

/// The same, to be traced: what does not depend on what the target is gets prepared meanwhile.
///
/// # Errors
/// As of [`open`].
pub fn open_to_trace(
    target: &str,
    options: &OpenOptions,
    trace: TraceOptions,
    progress: &dyn Progress,
) -> Result<Box<dyn Source>, Failure> {
    let process = process(target)?;
    // What is wrong with the image is said by who opens it.
    let preparation = process.main_image().ok().and_then(|image| {
        let code_bytes = image.text_segments().map(|segment| segment.file_size).sum();
        Preparation::begin(process.pid(), wish(trace), code_bytes)
    });
    opened(process, options, progress, preparation)
}

fn opened(
    process: Process,
    options: &OpenOptions,
    progress: &dyn Progress,
    preparation: Option<Preparation>,
) -> Result<Box<dyn Source>, Failure> {
    let inspector = indexed(process, options, progress)?;
    if !inspector.model.has_runtime() {
        return Err(no_runtime(&inspector));
    }
    Ok(Box::new(Live { inspector, preparation, scout: None, unseen: Unseen::default(), stopped: false }))
}

fn process(target: &str) -> Result<Process, Failure> {
    let pid = target::resolve(target).map_err(failure)?;
    Process::open(pid).map_err(failure)
}

/// The target with its debug information indexed.
pub(super) fn inspect(
    target: &str,
    options: &OpenOptions,
    progress: &dyn Progress,
) -> Result<Inspector, Failure> {
    indexed(process(target)?, options, progress)
}

fn indexed(process: Process, options: &OpenOptions, progress: &dyn Progress) -> Result<Inspector, Failure> {
    let step = |done: usize, total: usize| progress.step("indexing debug info", done as u64, total as u64);
    Inspector::open(process, &options.debuginfo, options.user_crates.clone(), &step).map_err(open_failure)
}

struct Live {
    inspector: Inspector,
    /// Of a trace, until it is started.
    preparation: Option<Preparation>,
    /// Tells the sampler which threads there are.
    scout: Option<Scout>,
    unseen: Unseen,
    /// As told last.
    stopped: bool,
}

const STOPPED: &str =
    "the target is stopped (by SIGSTOP, its terminal or a debugger): nothing moves until it goes on";

/// Threads that looks have no room for.
#[derive(Default)]
struct Unseen {
    threads: usize,
    told: bool,
}

impl Source for Live {
    fn process(&self) -> ProcessInfo {
        let exe = self.inspector.image.path.display().to_string();
        let built = self.inspector.image.open().and_then(|file| {
            file.metadata().map_err(|source| TargetError::Unreadable {
                path: self.inspector.image.open_path.clone(),
                source,
            })
        });
        let built: Option<SystemTime> = built.ok().and_then(|meta| meta.modified().ok());
        ProcessInfo { pid: self.inspector.process.pid(), exe, built }
    }

    fn frames(&self) -> Arc<Frames> {
        self.inspector.model.recipes.frames.clone()
    }

    fn snapshot(&mut self) -> Result<Snapshot, Failure> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let snapshot = self.inspector.snapshot(now.as_nanos() as u64, Some(monotonic_ns())).map_err(failure);
        if let (Some(scout), Ok(snapshot)) = (&self.scout, &snapshot) {
            self.unseen.threads = scout.tell(&self.inspector.polling, headers(snapshot));
        }
        snapshot
    }

    fn notes(&mut self) -> Vec<String> {
        let mut notes = Vec::new();
        let stopped = self.inspector.process.is_stopped();
        if stopped != std::mem::replace(&mut self.stopped, stopped) {
            notes.push(if stopped { STOPPED } else { "the target goes on" }.to_owned());
        }
        let Unseen { threads, told } = &mut self.unseen;
        if *threads > 0 && !std::mem::replace(told, true) {
            let many = counted(*threads as u64, "thread");
            notes.push(format!("{many} too many to look at: what they poll is not seen"));
        }
        notes
    }

    fn start_trace(&mut self, options: TraceOptions) -> Result<Box<dyn EventStream>, Failure> {
        if self.inspector.model.sites.typed() == 0 && self.inspector.ids.is_empty() {
            // Without types only the tasks' own vtables tell where an id stands.
            self.snapshot()?;
        }
        let Inspector { process, image, model, ids, .. } = &self.inspector;
        let separate = model.files.dwarf().map(|bytes| &**bytes);
        let find = || CausePlan::find(options.wanted, &model.files.main, separate, image, &model.sites);
        let compile = || trace::compile(&model.recipes, &model.sites, image, ids);
        let (causes, mut plan) = rayon::join(find, compile);
        plan.causes = causes;
        plan.long_after = options.blocked_after;
        if plan.sites.is_empty() {
            let other = !model.executors.is_empty();
            return Err(Failure {
                exit: Exit::NothingUsable,
                tried: format!("probing process {}", process.pid()),
                why: match other {
                    true => {
                        "only tokio's tasks are traced, and it has none; there are snapshots of the others"
                    }
                    false => "no poll function is known: the binary is stripped",
                }
                .into(),
                next: match other {
                    true => String::new(),
                    false => "the program before it was stripped, with --debuginfo FILE".into(),
                },
            });
        }
        let target = TraceTarget { pid: process.pid(), exe: image.open_path.clone() };
        let (tracer, price) = Tracer::attach_priced(&target, &plan, wish(options), self.preparation.take())
            .map_err(|error| trace_failure(&error, process.pid()))?;
        match &price {
            Ok(price) => tracing::debug!(?price, "tried"),
            Err(error) => tracing::info!("what a poll costs could not be tried: {error}"),
        }
        let after = options.blocked_after.filter(|_| !tracer.entry_only());
        let long_polls = after.map(|after| self.long_polls(&tracer, &plan, after)).transpose()?;
        let prices = price.ok().map(Prices::new);
        let probes = Probes::new(process.pid(), tracer, prices, options.max_overhead);
        Ok(Box::new(probes.with(long_polls)))
    }

    fn start_sampling(&mut self, hz: u32, first: &Snapshot) -> Result<Box<dyn LookStream>, Failure> {
        let pid = self.inspector.process.pid();
        if self.inspector.polling.threads.is_empty() {
            return Err(Failure {
                exit: Exit::NothingUsable,
                tried: format!("looking at what each thread of process {pid} polls"),
                why: "no thread tells: its tokio is too old for that, or its types are not known (debug = 2)"
                    .into(),
                next: format!("async-inspect check {pid}"),
            });
        }
        let Inspector { image, model, ids, polling, .. } = &self.inspector;
        let plan = trace::compile(&model.recipes, &model.sites, image, ids);
        let (sampler, scout) = Sampler::new(pid, Tables::new(plan, model.sites.vtable.poll), hz);
        self.unseen.threads = scout.tell(polling, headers(first));
        self.scout = Some(scout);
        Ok(Box::new(Looks(sampler)))
    }

    fn has_execed(&mut self) -> bool {
        self.inspector.process.has_execed()
    }

    fn has_exited(&mut self) -> bool {
        !self.inspector.process.is_alive()
    }
}

impl Live {
    fn long_polls(
        &self,
        tracer: &Tracer,
        plan: &trace::TracePlan,
        after: Duration,
    ) -> Result<LongPolls, Failure> {
        let running = tracer
            .running_polls(plan)
            .map_err(|error| trace_failure(&error, self.inspector.process.pid()))?;
        let sleepers = Sleepers::beside(&self.inspector).map_err(failure)?;
        let blockers = Blockers::beside(&self.inspector).map_err(failure)?;
        LongPolls::start(running, sleepers, blockers, after)
            .map_err(|error| super::output::plain("starting a thread", &error))
    }
}

/// Where tokio's tasks are, by their ids.
fn headers(snapshot: &Snapshot) -> HashMap<u64, Avma> {
    let tasks = snapshot.tasks.iter().filter(|task| task.id.runtime == RuntimeKind::Tokio);
    tasks.map(|task| (task.id.id, task.address)).collect()
}

struct Looks(Sampler);

impl LookStream for Looks {
    fn begin(&mut self) {
        self.0.begin();
    }

    fn round(&mut self, more: &dyn Fn() -> bool) -> Option<Round> {
        self.0.round(more).ok()
    }
}

fn wish(options: TraceOptions) -> Wish {
    Wish {
        mode: probe_mode(options.probe_mode),
        entry_only: options.entry_only,
        wanted: options.wanted,
        long_after: options.blocked_after,
    }
}

fn probe_mode(mode: ProbeMode) -> trace::ProbeMode {
    match mode {
        ProbeMode::Auto => trace::ProbeMode::Auto,
        ProbeMode::Session => trace::ProbeMode::Session,
        ProbeMode::Multi => trace::ProbeMode::Multi,
        ProbeMode::Perf => trace::ProbeMode::Perf,
    }
}

/// What a target error is to a person, and to the exit status.
#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` hands over")]
pub(super) fn failure(error: TargetError) -> Failure {
    let exit = match &error {
        TargetError::NoSuchProcess { .. }
        | TargetError::NoSuchName { .. }
        | TargetError::NotRun { .. }
        | TargetError::Gone { .. }
        | TargetError::Zombie { .. } => Exit::NoTarget,
        TargetError::IsThread { .. } | TargetError::Ambiguous { .. } => Exit::Usage,
        TargetError::NotPermitted { .. } => Exit::NotPermitted,
        TargetError::KernelThread { .. }
        | TargetError::NotElf { .. }
        | TargetError::OtherMachine { .. }
        | TargetError::NotMapped { .. }
        | TargetError::DebugMismatch { .. }
        | TargetError::NoDebugInfo { .. }
        | TargetError::NothingFor { .. }
        | TargetError::Truncated { .. }
        | TargetError::NotCore { .. }
        | TargetError::UnknownProgram { .. }
        | TargetError::NoProgram { .. }
        | TargetError::OtherProgram { .. }
        | TargetError::Malformed { .. } => Exit::NothingUsable,
        TargetError::ForeignProc | TargetError::Unreadable { .. } => Exit::Plain,
    };
    let mut why = error.to_string();
    if let TargetError::Ambiguous { candidates, .. } = &error {
        for one in candidates {
            why.push_str(&format!("\n  {:>8}  {}  {}", one.pid, one.name, one.command_line));
        }
    }
    if let TargetError::NoSuchName { name } = &error {
        // Many commands take files as well.
        why += &match Path::new(name).exists() {
            true => format!("; the file of that name is ./{name}"),
            false => ", and no file".to_owned(),
        };
    }
    let mut next = error.next();
    if next.starts_with("sudo async-inspect ") {
        next = with_sudo();
    }
    Failure { exit, tried: error.tried(), why, next }
}

/// The command that was typed, as root.
fn with_sudo() -> String {
    let words = std::env::args_os().skip(1);
    words.fold("sudo async-inspect".to_owned(), |command, word| {
        command + " " + &for_shell(&word.to_string_lossy())
    })
}

fn for_shell(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:,=+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

pub(super) fn open_failure(error: OpenError) -> Failure {
    match error {
        OpenError::Target(error) => failure(error),
        OpenError::Dwarf(error) => Failure {
            exit: Exit::NothingUsable,
            tried: "reading debug information".into(),
            why: error.to_string(),
            next: "CARGO_PROFILE_RELEASE_DEBUG=2 cargo build --release, and restart the program".into(),
        },
    }
}

pub(super) fn no_runtime(inspector: &Inspector) -> Failure {
    let pid = inspector.process.pid();
    Failure {
        exit: Exit::NothingUsable,
        tried: format!("looking for an async runtime in process {pid} ({})", inspector.image.path.display()),
        why: "there is none that is known here: no task type of tokio, async-task or futures in its debug information, \
              symbols or messages"
            .into(),
        next: "async-inspect ps".into(),
    }
}

pub(super) fn trace_failure(error: &TraceError, pid: u32) -> Failure {
    let (exit, next) = match error {
        TraceError::NotPermitted { .. } => (Exit::NotPermitted, with_sudo()),
        TraceError::KernelTooOld { .. } => (Exit::Kernel, format!("async-inspect dump {pid}")),
        TraceError::TargetGone => (Exit::NoTarget, "async-inspect ps".to_owned()),
        TraceError::Verifier { .. } => (Exit::Kernel, format!("async-inspect check {pid}")),
        TraceError::Plan(_) | TraceError::Object(_) => (Exit::Bug, format!("async-inspect dump {pid}")),
        TraceError::Io { .. } => (Exit::Plain, format!("async-inspect dump {pid}")),
    };
    Failure { exit, tried: format!("probing process {pid}"), why: error.to_string(), next }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_quoted_where_a_shell_would_read_it_otherwise() {
        assert_eq!(
            ["dump", "--task=4", "./a b", "it's", ""].map(for_shell).join(" "),
            r"dump --task=4 './a b' 'it'\''s' ''"
        );
        assert!(with_sudo().starts_with("sudo async-inspect"));
    }

    #[test]
    fn a_name_that_is_no_process_may_be_meant_as_a_file() {
        let why = |name: &str| failure(TargetError::NoSuchName { name: name.into() }).why;
        assert_eq!(why("a"), "no process is named \"a\", and no file");
        assert_eq!(
            why("Cargo.toml"),
            "no process is named \"Cargo.toml\"; the file of that name is ./Cargo.toml"
        );
    }
}
