//! Core files of running programs.

use crate::Program;
use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn exists(tool: &str) -> bool {
    std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).any(|dir| dir.join(tool).is_file())
}

/// Whether gdb's gcore is there. Says so if not.
pub fn gcore_or_skip(test: &str) -> bool {
    let there = exists("gcore");
    if !there {
        crate::rights::skipped(test, "gdb's gcore is not installed");
    }
    there
}

/// gdb's core file of a program, which goes on running.
pub fn gcore(pid: u32, directory: &Path) -> Result<PathBuf> {
    let prefix = directory.join("gcore");
    let mut command = Command::new("gcore");
    command.arg("-o").arg(&prefix).arg(pid.to_string()).stdin(Stdio::null());
    let output = command.output().context("gcore did not start")?;
    let file = directory.join(format!("gcore.{pid}"));
    ensure!(file.is_file(), "gcore wrote nothing: {}", String::from_utf8_lossy(&output.stderr));
    Ok(file)
}

/// Whether the kernel writes core files into the directory a program runs in. Says so if not; nothing is changed.
pub fn kernel_writes_here_or_skip(test: &str) -> bool {
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap_or_default();
    let pattern = pattern.trim();
    let here = !pattern.is_empty() && !pattern.starts_with(['|', '/', '@']) && !pattern.contains('/');
    if !here {
        crate::rights::skipped(
            test,
            &format!("kernel.core_pattern is {pattern:?}, not a file where the program runs"),
        );
    }
    here
}

/// Ends the program, which must run in `directory`, and gives the core file that the kernel writes there.
pub fn kernel_core(program: &mut Program, directory: &Path) -> Result<PathBuf> {
    let pid = i32::try_from(program.pid()).ok().and_then(Pid::from_raw).context("a PID")?;
    let unlimited = Rlimit { current: None, maximum: None };
    prlimit(Some(pid), Resource::Core, unlimited).context("no core file may be written")?;
    kill_process(pid, Signal::ABORT)?;
    program.wait()?;
    let is_core =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("core"));
    let files = fs::read_dir(directory)?.map_while(Result::ok).map(|entry| entry.path());
    files.filter(|path| path.is_file()).find(is_core).context("the kernel wrote no core file")
}
