//! Running a program of `tests/targets` and reading what it says.

use crate::patience::patience;
use crate::{Stuck, TrueTask, Truth};
use anyhow::{Context as _, Result, bail};
use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// A running program. Ends when dropped.
pub struct Program {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    /// All that the program has printed so far, as it was read.
    pub printed: Vec<String>,
}

/// A program that says nothing for so long is broken.
const PATIENCE: Duration = Duration::from_secs(60);

impl Program {
    pub fn start(executable: &Path, arguments: &[&str]) -> Result<Program> {
        let mut command = Command::new(executable);
        command.args(arguments);
        Program::spawn(command)
    }

    pub fn spawn(mut command: Command) -> Result<Program> {
        // The program ends by itself after a while, which building the tool may take longer than: so that comes first.
        crate::inspector::executable();
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = started(&mut command).with_context(|| format!("{command:?} did not start"))?;
        let stdout = BufReader::new(child.stdout.take().context("stdout is a pipe")?);
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let stdin = child.stdin.take();
        Ok(Program { child, stdin, lines, printed: Vec::new() })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line, or None when the program closed its stdout.
    pub fn line(&mut self) -> Result<Option<String>> {
        match self.lines.recv_timeout(patience(PATIENCE)) {
            Ok(line) => {
                self.printed.push(line.clone());
                Ok(Some(line))
            }
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => {
                bail!("the program said nothing for {:?}", patience(PATIENCE))
            }
        }
    }

    /// Everything it says until `ready` (or `waiting`), which is not part of the answer.
    pub fn truth(&mut self) -> Result<Vec<Truth>> {
        let mut said = Vec::new();
        while let Some(line) = self.line()? {
            match serde_json::from_str(&line).with_context(|| format!("not a line of truth: {line}"))? {
                Truth::Ready | Truth::Waiting => return Ok(said),
                truth => said.push(truth),
            }
        }
        bail!("the program ended before it was ready, with {}", self.child.wait()?)
    }

    /// The trees it says its tasks are in.
    pub fn tasks(&mut self) -> Result<Vec<TrueTask>> {
        let task = |truth| match truth {
            Truth::Task(task) => Ok(task),
            other => bail!("expected trees only, not {other:?}"),
        };
        self.truth()?.into_iter().map(task).collect()
    }

    /// What its tasks are stuck at.
    pub fn stuck(&mut self) -> Result<Vec<Stuck>> {
        let stuck = |truth| match truth {
            Truth::Stuck(stuck) => Ok(stuck),
            other => bail!("expected stuck tasks only, not {other:?}"),
        };
        self.truth()?.into_iter().map(stuck).collect()
    }

    /// Writes a line to its stdin.
    pub fn say(&mut self, line: &str) -> Result<()> {
        let stdin = self.stdin.as_mut().context("stdin is closed already")?;
        writeln!(stdin, "{line}")?;
        stdin.flush().context("the program does not listen")
    }

    /// Closes its stdin, which ends it, and reads the rest of what it prints.
    pub fn finish(&mut self) -> Result<ExitStatus> {
        self.stdin = None;
        self.wait()
    }

    /// Waits for it to end by itself.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        while self.line()?.is_some() {}
        let deadline = Instant::now() + patience(PATIENCE);
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!("the program closed its stdout but did not end");
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

/// A program that was just copied cannot start while a child forked by another test still has it open for writing, which it
/// does until its own exec.
fn started(command: &mut Command) -> std::io::Result<Child> {
    loop {
        match command.spawn() {
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => {
                std::thread::sleep(Duration::from_millis(5));
            }
            other => return other,
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
