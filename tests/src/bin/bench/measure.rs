//! Wall time and peak memory of a command.

use anyhow::{Context as _, Result, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::process::{Command, Stdio};
use std::time::Instant;

/// What one run took.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Cost {
    pub seconds: f64,
    pub peak_kib: i64,
}

/// Several runs of one command.
#[derive(Clone, Debug)]
pub struct Costs(Vec<Cost>);

impl Costs {
    /// Median, least and most.
    pub fn seconds(&self) -> (f64, f64, f64) {
        let mut all: Vec<f64> = self.0.iter().map(|cost| cost.seconds).collect();
        all.sort_by(f64::total_cmp);
        (all[all.len() / 2], all[0], all[all.len() - 1])
    }

    /// The highest peak of all runs.
    pub fn peak_mib(&self) -> f64 {
        self.0.iter().map(|cost| cost.peak_kib).max().unwrap_or(0) as f64 / 1024.0
    }
}

/// `bench time COMMAND…`: runs it with its stdout going to a file, and prints what it took as JSON.
/// A process of its own for each, because the kernel tells only the highest peak of all children.
pub fn time(command: &[&str]) -> Result<()> {
    let (program, arguments) = command.split_first().context("a command")?;
    let sink = tempfile::tempfile()?;
    let begin = Instant::now();
    let mut child = Command::new(program).args(arguments).stdin(Stdio::null()).stdout(sink).spawn()?;
    let status = child.wait()?;
    let seconds = begin.elapsed().as_secs_f64();
    ensure!(status.success(), "{command:?} ended with {status}");
    let peak_kib = getrusage(UsageWho::RUSAGE_CHILDREN)?.max_rss();
    println!("{}", serde_json::to_string(&Cost { seconds, peak_kib })?);
    Ok(())
}

/// Runs a command so many times, after one run that is not counted. `before` prepares each run.
pub fn repeat(
    rounds: u32,
    command: &[&str],
    mut before: impl FnMut() -> Result<Vec<(String, String)>>,
) -> Result<Costs> {
    let mut costs = Vec::new();
    for round in 0..=rounds {
        let mut timer = Command::new(std::env::current_exe()?);
        timer
            .arg("time")
            .args(command)
            .envs(before()?)
            .stdin(Stdio::null())
            .stderr(File::create("/dev/null")?);
        let output = timer.output()?;
        ensure!(output.status.success(), "{command:?} failed in round {round}; run it by hand to see why");
        let cost = serde_json::from_slice(&output.stdout)?;
        if round > 0 {
            costs.push(cost);
        }
    }
    Ok(Costs(costs))
}
