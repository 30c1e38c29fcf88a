//! The programs that are observed: `tests/targets/peers`, each built with one peer or none.

use anyhow::{Context as _, Result};
use e2e::{Program, build_feature, build_package};
use object::{Object as _, ObjectSymbol as _};
use serde::Deserialize;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;
use tempfile::TempDir;

const PACKAGE: &str = "peers";

/// A crate built into the program to observe it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Peer {
    Nothing,
    AsyncBacktrace,
    TokioMetrics,
    AwaitTree,
    Dial9,
    AsyncInspect,
    ConsoleSubscriber,
}

impl Peer {
    pub const ALL: [Peer; 6] = [
        Peer::AsyncBacktrace,
        Peer::TokioMetrics,
        Peer::AwaitTree,
        Peer::Dial9,
        Peer::AsyncInspect,
        Peer::ConsoleSubscriber,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Peer::Nothing => "untraced",
            Peer::AsyncBacktrace => "async-backtrace 0.2, built in",
            Peer::TokioMetrics => "tokio-metrics 0.5, built in",
            Peer::AwaitTree => "await-tree 0.3, built in",
            Peer::Dial9 => "dial9-tokio-telemetry 0.5, built in",
            Peer::AsyncInspect => "crates.io's async-inspect 0.2, built in",
            Peer::ConsoleSubscriber => "console-subscriber 0.5, built in",
        }
    }

    fn feature(self) -> Option<&'static str> {
        Some(match self {
            Peer::Nothing => return None,
            Peer::AsyncBacktrace => "async-backtrace",
            Peer::TokioMetrics => "tokio-metrics",
            Peer::AwaitTree => "await-tree",
            Peer::Dial9 => "dial9",
            Peer::AsyncInspect => "async-inspect",
            Peer::ConsoleSubscriber => "console-subscriber",
        })
    }

    /// What its documentation asks for.
    fn flags(self) -> &'static str {
        match self {
            Peer::Dial9 | Peer::ConsoleSubscriber => "--cfg tokio_unstable",
            _ => "",
        }
    }
}

/// Builds a program, once per process, so that cargo does not run between measurements.
pub fn build(peer: Peer, program: &str) -> Result<PathBuf> {
    static BUILT: Mutex<Option<HashMap<(Peer, String), PathBuf>>> = Mutex::new(None);
    let mut built = BUILT.lock().expect("nobody panics");
    let built = built.get_or_insert_default();
    let key = (peer, program.to_owned());
    if let Some(path) = built.get(&key) {
        return Ok(path.clone());
    }
    let directory = match peer.feature() {
        None => build_package(PACKAGE, &[program])?,
        Some(feature) => build_feature(PACKAGE, &[program], feature, peer.flags())?,
    };
    let path = directory.program(program);
    built.insert(key, path.clone());
    Ok(path)
}

/// What a program says of itself. All since it began, or of a span.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Sums {
    pub cpu_ns: u64,
    pub polls: u64,
    pub requests: u64,
}

impl Sums {
    pub fn cpu_per_poll(self) -> f64 {
        self.cpu_ns as f64 / self.polls.max(1) as f64
    }

    pub fn cpu_per_request(self) -> f64 {
        self.cpu_ns as f64 / self.requests.max(1) as f64
    }

    fn since(self, earlier: Sums) -> Sums {
        Sums {
            cpu_ns: self.cpu_ns - earlier.cpu_ns,
            polls: self.polls - earlier.polls,
            requests: self.requests - earlier.requests,
        }
    }
}

#[derive(Deserialize)]
struct Ready {
    address: Option<String>,
}

/// A running program.
pub struct Subject {
    program: Program,
    pub executable: PathBuf,
    /// Where it serves, if it does.
    pub address: Option<String>,
    /// What a peer writes goes away with it.
    _directory: TempDir,
}

impl Subject {
    /// Starts it and waits until it is ready.
    pub fn start(executable: &Path, arguments: &[&str]) -> Result<Subject> {
        let directory = tempfile::tempdir()?;
        let mut command = Command::new(executable);
        command.args(arguments).env("PEER_DIRECTORY", directory.path());
        let mut program = Program::spawn(command)?;
        let ready = program.line()?.context("it ended before it was ready")?;
        let Ready { address } = serde_json::from_str(&ready).with_context(|| ready.clone())?;
        Ok(Subject { program, executable: executable.to_owned(), address, _directory: directory })
    }

    pub fn pid(&self) -> u32 {
        self.program.pid()
    }

    fn sums(&mut self) -> Result<Sums> {
        self.program.say("")?;
        let line = self.program.line()?.context("it ended")?;
        serde_json::from_str(&line).with_context(|| line.clone())
    }

    /// What it does while `work` runs.
    pub fn during<T>(&mut self, work: impl FnOnce(&Subject) -> Result<T>) -> Result<(Sums, T)> {
        let before = self.sums()?;
        let outcome = work(self)?;
        Ok((self.sums()?.since(before), outcome))
    }

    /// What it does in so much time.
    pub fn window(&mut self, span: Duration) -> Result<Sums> {
        let (sums, ()) = self.during(|_| {
            std::thread::sleep(span);
            Ok(())
        })?;
        Ok(sums)
    }
}

/// A poll function as the symbol table has it.
#[derive(Clone, Debug)]
pub struct PollFunction {
    pub symbol: String,
    pub file_offset: u64,
}

/// tokio's poll functions in an executable, from its symbols: where other tools put their probes, too.
pub fn poll_functions(executable: &Path) -> Result<Vec<PollFunction>> {
    let bytes = std::fs::read(executable)?;
    let object = object::File::parse(bytes.as_slice())?;
    let functions = object.symbols().filter_map(|symbol| {
        let name = symbol.name().ok()?;
        if !name.starts_with("_ZN5tokio7runtime4task3raw4poll17h") {
            return None;
        }
        let file_offset = file_offset(&object, symbol.address())?;
        Some(PollFunction { symbol: name.to_owned(), file_offset })
    });
    Ok(functions.collect())
}

fn file_offset(object: &object::File<'_>, address: u64) -> Option<u64> {
    use object::ObjectSegment as _;
    let holds = |segment: &object::Segment<'_, '_>| {
        (segment.address()..segment.address() + segment.file_range().1).contains(&address)
    };
    let segment = object.segments().find(holds)?;
    Some(address - segment.address() + segment.file_range().0)
}
