//! Running `async-inspect attach --json` beside a program.

use crate::inspector;
use crate::patience::patience;
use crate::schema::{Cost, Line, RuntimeKind, Totals};
use crate::{Program, Truth, Variant};
use anyhow::{Context as _, Result, bail, ensure};
use std::collections::{HashMap, HashSet};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A running `attach --json`. Killed when dropped.
pub struct Tracer {
    child: Child,
    lines: Receiver<String>,
    stderr: Option<JoinHandle<String>>,
    seen: Vec<Line>,
    text: Vec<String>,
}

/// What it printed, and how it ended.
#[derive(Clone, Debug)]
pub struct Traced {
    /// None when a signal ended it.
    pub code: Option<i32>,
    pub lines: Vec<Line>,
    /// The same as they were printed.
    pub text: Vec<String>,
    pub stderr: String,
}

/// A tracer that says nothing for so long hangs.
const PATIENCE: Duration = Duration::from_secs(90);

/// Traces a program that says that it waits, from before its start signal until it has said its truth. It lives on, and the tracer
/// ends well.
pub fn trace(
    variant: Variant,
    name: &str,
    arguments: &[&str],
    options: &[&str],
) -> Result<(Vec<Truth>, Traced)> {
    let executable = variant.build(&[name])?.program(name);
    let mut program = Program::start(&executable, arguments)?;
    program.truth()?;
    let tracer = Tracer::attach(program.pid(), options)?;
    program.say("go")?;
    let truth = program.truth()?;
    tracer.interrupt()?;
    let traced = tracer.finish()?;
    ensure!(program.is_running(), "the program did not outlive the tracer");
    ensure!(traced.code == Some(0), "attach ended with {:?}: {}", traced.code, traced.stderr);
    Ok((truth, traced))
}

impl Tracer {
    /// Starts it, without waiting for anything.
    pub fn start(pid: u32, options: &[&str]) -> Result<Tracer> {
        let mut command = inspector::command();
        command.args(["attach", "--json", "--max-overhead", "100"]).args(options).arg(pid.to_string());
        Tracer::spawn(command)
    }

    pub fn spawn(mut command: Command) -> Result<Tracer> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("{command:?} did not start"))?;
        let stdout = BufReader::new(child.stdout.take().context("stdout is a pipe")?);
        let mut errors = child.stderr.take().context("stderr is a pipe")?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let stderr = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = errors.read_to_string(&mut text);
            text
        });
        Ok(Tracer { child, lines, stderr: Some(stderr), seen: Vec::new(), text: Vec::new() })
    }

    /// Starts it, and waits until its probes are live.
    pub fn attach(pid: u32, options: &[&str]) -> Result<Tracer> {
        Tracer::start(pid, options)?.ready()
    }

    /// `record --json`, which prints what it records; waits until its probes are live.
    pub fn record(pid: u32, file: &Path, options: &[&str]) -> Result<Tracer> {
        let mut command = inspector::command();
        command
            .args(["record", "--json", "--max-overhead", "100", "-o"])
            .arg(file)
            .args(options)
            .arg(pid.to_string());
        Tracer::spawn(command)?.ready()
    }

    /// All that `replay --json` prints.
    pub fn replay(file: &Path) -> Result<Traced> {
        let mut command = inspector::command();
        command.args(["replay", "--json"]).arg(file);
        Tracer::spawn(command)?.finish()
    }

    fn ready(mut self) -> Result<Tracer> {
        while let Some(line) = self.line()? {
            if matches!(line, Line::Ready {}) {
                return Ok(self);
            }
        }
        let traced = self.finish()?;
        bail!("it ended with {:?} before it was ready: {}", traced.code, traced.stderr)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line; None at the end.
    pub fn line(&mut self) -> Result<Option<Line>> {
        match self.lines.recv_timeout(patience(PATIENCE)) {
            Ok(text) => {
                let line: Line =
                    serde_json::from_str(&text).with_context(|| format!("not in the schema: {text}"))?;
                self.seen.push(line.clone());
                self.text.push(text);
                Ok(Some(line))
            }
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => {
                bail!("attach --json said nothing for {:?}", patience(PATIENCE))
            }
        }
    }

    /// Ctrl-C.
    pub fn interrupt(&self) -> Result<()> {
        self.signal(rustix::process::Signal::INT)
    }

    /// Stops it in its tracks, until it is let go again.
    pub fn hold(&self) -> Result<()> {
        self.signal(rustix::process::Signal::STOP)
    }

    pub fn let_go(&self) -> Result<()> {
        self.signal(rustix::process::Signal::CONT)
    }

    fn signal(&self, signal: rustix::process::Signal) -> Result<()> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).context("the tracer is gone")
    }

    /// SIGKILL, and nobody to clean up. The whole lines that it had printed by then.
    pub fn kill(mut self) -> Result<Vec<String>> {
        self.child.kill()?;
        self.child.wait()?;
        let mut text = std::mem::take(&mut self.text);
        text.extend(self.lines.iter());
        Ok(text)
    }

    /// Reads to its end.
    pub fn finish(mut self) -> Result<Traced> {
        while self.line()?.is_some() {}
        let deadline = Instant::now() + patience(PATIENCE);
        let status = loop {
            match self.child.try_wait()? {
                Some(status) => break status,
                None if Instant::now() > deadline => bail!("attach closed its stdout but did not end"),
                None => std::thread::sleep(Duration::from_millis(2)),
            }
        };
        let stderr = self.stderr.take().context("finished once")?;
        let stderr = stderr.join().expect("the reader does not panic");
        let (lines, text) = (std::mem::take(&mut self.seen), std::mem::take(&mut self.text));
        Ok(Traced { code: status.code(), lines, text, stderr })
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the trace says of one task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub spawns: u64,
    pub polls: u64,
    pub changes: u64,
    pub completed: u64,
    pub panicked: u64,
    pub cancelled: u64,
    /// It ended, and how is not known.
    pub unseen: u64,
}

impl Traced {
    pub fn was_ready(&self) -> bool {
        self.lines.iter().any(|line| matches!(line, Line::Ready {}))
    }

    /// The summary, which must be the last line.
    pub fn totals(&self) -> Option<Totals> {
        match self.lines.last() {
            Some(Line::End { totals, .. }) => Some(*totals),
            _ => None,
        }
    }

    pub fn cost(&self) -> Option<Cost> {
        match self.lines.last() {
            Some(Line::End { cost, .. }) => *cost,
            _ => None,
        }
    }

    /// All polls, and all delays between a wake and a poll, that histograms counted.
    pub fn timed(&self) -> (u64, u64) {
        self.lines.iter().fold((0, 0), |(polls, delays), line| match line {
            Line::Histogram { polls: more, delays: more_delays, .. } => {
                (polls + more.count, delays + more_delays.count)
            }
            _ => (polls, delays),
        })
    }

    /// All delays that were told task by task.
    pub fn delays(&self) -> u64 {
        self.lines.iter().map(|line| if let Line::Delay { count, .. } = line { *count } else { 0 }).sum()
    }

    /// Each time the probes went in (true) or out, but the first.
    pub fn budget_changes(&self) -> Vec<bool> {
        let change = |line: &Line| match line {
            Line::Budget { probes, .. } => Some(probes == "in"),
            _ => None,
        };
        self.lines.iter().filter_map(change).collect()
    }

    pub fn lost(&self) -> u64 {
        self.lines.iter().map(|line| if let Line::Lost { count, .. } = line { *count } else { 0 }).sum()
    }

    /// Sums by task; futures in `block_on` are none.
    pub fn tasks(&self) -> HashMap<String, Seen> {
        let root = |line: &Line| match line {
            Line::Spawn { task, runtime: RuntimeKind::BlockOn, .. } => Some(task.clone()),
            _ => None,
        };
        let roots: HashSet<String> = self.lines.iter().filter_map(root).collect();
        let mut tasks: HashMap<String, Seen> = HashMap::new();
        for line in &self.lines {
            let Some(task) = line.task().filter(|task| !roots.contains(*task)) else { continue };
            let seen = tasks.entry(task.to_string()).or_default();
            match line {
                Line::Spawn { existing, .. } => seen.spawns += u64::from(!existing),
                Line::Poll { count, .. } => seen.polls += count,
                Line::State { .. } => seen.changes += 1,
                Line::Complete { how: None, .. } => seen.completed += 1,
                Line::Complete { .. } => seen.unseen += 1,
                Line::Panic { .. } => seen.panicked += 1,
                Line::Cancel { .. } => seen.cancelled += 1,
                _ => {}
            }
        }
        tasks
    }
}
