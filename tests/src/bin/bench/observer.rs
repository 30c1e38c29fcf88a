//! Who observes a program from outside: this tool in its modes, bpftrace, or probes that do nothing.

use crate::empty_session;
use crate::subject::{Subject, poll_functions};
use anyhow::{Context as _, Result, bail, ensure};
use e2e::inspector;
use nix::sys::signal::{Signal, kill};
use nix::time::ClockId;
use nix::unistd::Pid;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tempfile::TempDir;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observer {
    Nobody,
    EmptySession,
    /// `attach --json` with these options.
    Attach(&'static [&'static str]),
    /// `record` into a file.
    Record,
    Bpftrace(Question),
}

/// What bpftrace is asked of every poll function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    Entries,
    EntriesAndReturns,
    Durations,
}

/// The exact trace of polls: nothing is declined.
pub const EXACT: Observer = Observer::Attach(&["--no-events", "--max-overhead", "100"]);
/// All polls and transitions as well, but not how long the polls took.
pub const STARTS: Observer = Observer::Attach(&["--no-events", "--entry-only", "--max-overhead", "100"]);
/// Wakes and spawns as well.
pub const CAUSES: Observer = Observer::Attach(&["--max-overhead", "100"]);
/// As [`CAUSES`], but that nobody looks for polls that take long, nor for what they compute, nor for time off CPU.
pub const NO_LONG_POLLS: Observer = Observer::Attach(&["--max-overhead", "100", "--blocked-after", "0"]);
/// What one gets without asking for anything.
pub const DEFAULT: Observer = Observer::Attach(&[]);
pub const SAMPLED: Observer = Observer::Attach(&["--sample", "1000"]);

/// Longer than it takes to attach to anything here.
const PATIENCE: Duration = Duration::from_secs(120);

impl Observer {
    pub fn name(self) -> String {
        match self {
            Observer::Nobody => "untraced".to_owned(),
            Observer::EmptySession => "an empty session probe".to_owned(),
            Observer::Attach([]) => "**`attach`**, default budget".to_owned(),
            Observer::Attach(options) => format!("**`attach {}`**", options.join(" ")),
            Observer::Record => "**`record`**".to_owned(),
            Observer::Bpftrace(Question::Entries) => "bpftrace, counts entries".to_owned(),
            Observer::Bpftrace(Question::EntriesAndReturns) => {
                "bpftrace, counts entries and returns".to_owned()
            }
            Observer::Bpftrace(Question::Durations) => "bpftrace, histogram of durations".to_owned(),
        }
    }

    /// Attaches, and returns when it is live.
    ///
    /// # Errors
    /// With the observer's own words where it cannot.
    pub fn attach(self, subject: &Subject) -> Result<Watching> {
        let pid = subject.pid();
        match self {
            Observer::Nobody => Ok(Watching::Nobody),
            Observer::EmptySession => Ok(Watching::Probes(empty_session::attach(&subject.executable, pid)?)),
            Observer::Attach(options) => {
                let mut command = inspector::command();
                command.args(["attach", "--json"]).args(options).arg(pid.to_string());
                Watching::start(command, "\"event\":\"ready\"")
            }
            Observer::Record => {
                let mut command = inspector::command();
                let directory = tempfile::tempdir()?;
                let file = directory.path().join("recording");
                command.args(["record", "-d", "600", "-o"]).arg(&file).arg(pid.to_string());
                Watching::recorder(command, directory, &file)
            }
            Observer::Bpftrace(question) => {
                let mut command = Command::new("unshare");
                // Some machines have no tracefs mounted, which bpftrace wants; a mount namespace of its own leaves them so.
                let script = "mount -t tracefs none /sys/kernel/tracing && exec bpftrace \"$@\"";
                command.args(["--mount", "sh", "-c", script, "sh", "-p", &pid.to_string(), "-e"]);
                command.arg(program(question, subject)?);
                // It refuses more than 512 unless told.
                command.env("BPFTRACE_MAX_PROBES", "20000");
                Watching::start(command, "live")
            }
        }
    }
}

fn program(question: Question, subject: &Subject) -> Result<String> {
    let functions = poll_functions(&subject.executable)?;
    ensure!(!functions.is_empty(), "no poll function among the symbols");
    let sites = |probe: &str| {
        let path = subject.executable.display();
        let site = |function: &crate::subject::PollFunction| format!("{probe}:{path}:{}", function.symbol);
        functions.iter().map(site).collect::<Vec<_>>().join(",")
    };
    let probes = match question {
        Question::Entries => format!("{} {{ @e = count(); }}", sites("uprobe")),
        Question::EntriesAndReturns => {
            format!("{} {{ @e = count(); }} {} {{ @r = count(); }}", sites("uprobe"), sites("uretprobe"))
        }
        Question::Durations => format!(
            "{} {{ @start[tid] = nsecs; }} {} /@start[tid]/ {{ @ns = hist(nsecs - @start[tid]); delete(@start[tid]); }}",
            sites("uprobe"),
            sites("uretprobe"),
        ),
    };
    // Attached last, so it speaks when all are live.
    Ok(format!("{probes} interval:ms:100 {{ printf(\"live\\n\"); }}"))
}

/// An observer at work. Ends when dropped.
pub enum Watching {
    Nobody,
    Probes(OwnedFd),
    Process(Process),
}

/// When what was first said.
#[derive(Clone, Copy, Debug)]
enum Said {
    Live(Instant),
    FirstPoll(Instant),
}

pub struct Process {
    child: Child,
    started: Instant,
    live: Instant,
    said: Receiver<Said>,
    last_line: Option<JoinHandle<String>>,
    stderr: Option<JoinHandle<String>>,
    /// Goes away with it.
    _recording: Option<TempDir>,
}

/// How it ended.
pub struct Left {
    pub took: Duration,
    /// Of polls and other events, where it says.
    pub lost: Option<u64>,
}

impl Watching {
    fn start(command: Command, live: &'static str) -> Result<Watching> {
        let mut process = Process::spawn(command, live)?;
        match process.said.recv_timeout(PATIENCE) {
            Ok(Said::Live(when)) => process.live = when,
            _ => return Err(process.failure()),
        }
        Ok(Watching::Process(process))
    }

    /// It says nothing; it is live when there is something in its file.
    fn recorder(command: Command, directory: TempDir, file: &Path) -> Result<Watching> {
        let mut process = Process::spawn(command, "\0")?;
        while std::fs::metadata(file).map_or(0, |file| file.len()) == 0 {
            if process.child.try_wait()?.is_some() || process.started.elapsed() > PATIENCE {
                return Err(process.failure());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        process.live = Instant::now();
        process._recording = Some(directory);
        Ok(Watching::Process(process))
    }

    /// None where there is no process.
    pub fn pid(&self) -> Option<Pid> {
        match self {
            Watching::Nobody | Watching::Probes(_) => None,
            Watching::Process(process) => Some(process.pid()),
        }
    }

    /// Processor time of the observer itself so far. Probes take theirs from whom they observe.
    pub fn cpu_ns(&self) -> Result<u64> {
        let Watching::Process(process) = self else { return Ok(0) };
        let time = ClockId::pid_cpu_clock_id(process.pid())?.now()?;
        Ok(time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64)
    }

    /// The most memory it had in use.
    pub fn peak_mib(&self) -> Result<f64> {
        let Watching::Process(process) = self else { return Ok(0.0) };
        let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid()))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
        Ok(peak.context("VmHWM in /proc/PID/status")?.parse::<f64>()? / 1024.0)
    }

    /// From its start until its probes were live, and until it told of the first poll where there are any.
    pub fn took(&self, polls: bool) -> Result<(Duration, Option<Duration>)> {
        let Watching::Process(process) = self else { bail!("only a process takes time to start") };
        let attach = process.live - process.started;
        if !polls {
            return Ok((attach, None));
        }
        match process.said.recv_timeout(PATIENCE) {
            Ok(Said::FirstPoll(when)) => Ok((attach, Some(when - process.started))),
            _ => bail!("it told of no poll"),
        }
    }

    /// Ctrl-C, and waits for its end.
    pub fn detach(self) -> Result<Left> {
        let begin = Instant::now();
        match self {
            Watching::Nobody => {}
            Watching::Probes(link) => drop(link),
            Watching::Process(process) => return process.end(begin),
        }
        Ok(Left { took: begin.elapsed(), lost: None })
    }
}

impl Process {
    fn spawn(mut command: Command, live: &'static str) -> Result<Process> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let started = Instant::now();
        let mut child = command.spawn().with_context(|| format!("{command:?} did not start"))?;
        let stdout = child.stdout.take().context("stdout is a pipe")?;
        let stderr = child.stderr.take().context("stderr is a pipe")?;
        let (sender, said) = channel();
        // Who waited for it may have given up.
        let tell = move |said| sender.send(said).unwrap_or_default();
        let last_line = Some(std::thread::spawn(move || read_all(stdout, live, tell)));
        let stderr = Some(std::thread::spawn(move || read_errors(stderr)));
        Ok(Process { child, started, live: started, said, last_line, stderr, _recording: None })
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32)
    }

    /// Why it was not live.
    fn failure(mut self) -> anyhow::Error {
        let _ = self.child.kill();
        let status = self.child.wait();
        let words = self.stderr.take().and_then(|reader| reader.join().ok()).unwrap_or_default();
        let words = words.lines().find(|line| !line.is_empty()).unwrap_or("it said nothing").to_owned();
        match status {
            Ok(status) if status.code() == Some(2) => anyhow::anyhow!("not in this build: {words}"),
            Ok(status) => anyhow::anyhow!("{status}: {words}"),
            Err(error) => error.into(),
        }
    }

    fn end(mut self, begin: Instant) -> Result<Left> {
        kill(self.pid(), Signal::SIGINT)?;
        while self.child.try_wait()?.is_none() {
            ensure!(begin.elapsed() < PATIENCE, "it did not end");
            std::thread::sleep(Duration::from_millis(1));
        }
        let took = begin.elapsed();
        let last = self.last_line.take().context("it ends once")?.join().expect("a reader does not panic");
        let end: Option<serde_json::Value> = serde_json::from_str(&last).ok();
        Ok(Left { took, lost: end.and_then(|end| end["totals"]["lost"].as_u64()) })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads as fast as it can, so as to disturb as little as it can. Returns the last line.
fn read_all(stdout: ChildStdout, live: &str, tell: impl Fn(Said)) -> String {
    let mut reader = BufReader::with_capacity(1 << 20, stdout);
    let mut line = String::new();
    let (mut is_live, mut has_polled) = (false, false);
    while !has_polled {
        line.clear();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return line;
        }
        if !is_live && line.contains(live) {
            is_live = true;
            tell(Said::Live(Instant::now()));
        }
        if is_live && line.contains("\"event\":\"poll\"") {
            has_polled = true;
            tell(Said::FirstPoll(Instant::now()));
        }
    }
    const TAIL: usize = 4096;
    let mut tail: Vec<u8> = Vec::new();
    let mut block = vec![0; 1 << 20];
    while let Ok(length @ 1..) = reader.read(&mut block) {
        tail.extend_from_slice(&block[length.saturating_sub(TAIL)..length]);
        tail.drain(..tail.len().saturating_sub(TAIL));
    }
    String::from_utf8_lossy(&tail).lines().last().unwrap_or_default().to_owned()
}

fn read_errors(mut stderr: ChildStderr) -> String {
    let mut words = String::new();
    let _ = stderr.read_to_string(&mut words);
    words
}
