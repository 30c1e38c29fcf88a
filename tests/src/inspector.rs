//! Running `async-inspect`.

use crate::patience::patience;
use crate::schema::Dump;
use crate::workspace;
use anyhow::{Context as _, Result, bail, ensure};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// What a run of the tool left.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// None when a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// The release binary, built once per test process. `ASYNC_INSPECT` names another one.
pub fn executable() -> &'static Path {
    static EXECUTABLE: OnceLock<PathBuf> = OnceLock::new();
    EXECUTABLE.get_or_init(|| {
        if let Some(other) = std::env::var_os("ASYNC_INSPECT") {
            return other.into();
        }
        build().expect("async-inspect builds")
    })
}

fn build() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let target_dir = workspace().join("target");
    let status = Command::new(cargo)
        .current_dir(workspace())
        .args(["build", "--release", "--quiet", "--package", "async-inspect-live", "--bin", "async-inspect"])
        .arg("--target-dir")
        .arg(&target_dir)
        .stdin(Stdio::null())
        .status()?;
    ensure!(status.success(), "cargo could not build async-inspect ({status})");
    Ok(target_dir.join("release/async-inspect"))
}

/// The tool, with an index cache of its own for each build of it: what an older one left there must not be found.
pub fn command() -> Command {
    use std::os::unix::fs::MetadataExt as _;
    let executable = executable();
    let built = std::fs::metadata(executable).map_or(0, |file| file.mtime());
    let mut command = Command::new(executable);
    command.env("XDG_CACHE_HOME", workspace().join(format!("target/programs/indexes/{built}")));
    command
}

/// A tool that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(90);

/// Runs the tool to its end.
pub fn run(arguments: &[&str]) -> Result<Outcome> {
    let mut command = command();
    command.args(arguments);
    run_command(command)
}

/// Runs a command that runs the tool (as another user, say) to its end.
pub fn run_command(mut command: Command) -> Result<Outcome> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("{command:?} did not start"))?;
    let stdout = drain(child.stdout.take());
    let stderr = drain(child.stderr.take());
    let code = wait(&mut child, &command)?;
    let text = |reader: std::thread::JoinHandle<Vec<u8>>| {
        String::from_utf8(reader.join().expect("the reader does not panic")).context("the tool prints UTF-8")
    };
    Ok(Outcome { code, stdout: text(stdout)?, stderr: text(stderr)? })
}

fn drain(pipe: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut bytes);
        }
        bytes
    })
}

fn wait(child: &mut Child, command: &Command) -> Result<Option<i32>> {
    let deadline = Instant::now() + patience(PATIENCE);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.code());
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            bail!("{command:?} did not end within {:?}", patience(PATIENCE));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// `dump --json` of a process, which must succeed.
pub fn dump(pid: u32) -> Result<Dump> {
    let outcome = run(&["dump", "--json", &pid.to_string()])?;
    ensure!(outcome.code == Some(0), "dump ended with {:?}: {}", outcome.code, outcome.stderr);
    let dump: Dump =
        serde_json::from_str(&outcome.stdout).context("dump --json does not keep to its schema")?;
    ensure!(dump.schema == 1 && dump.pid == pid, "schema {} of process {}", dump.schema, dump.pid);
    Ok(dump)
}
