//! `compare` finds what became slower, by how much, and nothing else.

use anyhow::{Result, ensure};
use e2e::{Program, Tokio, Variant, inspector, rights};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Of each recording: as many observations of every point.
const SECONDS: &str = "8";

fn record(directory: &Path, name: &str, milliseconds: [&str; 3]) -> Result<PathBuf> {
    let built = Variant::release(Tokio::Latest).build(&["paced"])?;
    let mut program = Program::start(&built.program("paced"), &milliseconds)?;
    program.truth()?;
    let file = directory.join(name);
    let (pid, path) = (program.pid().to_string(), file.display().to_string());
    let outcome = inspector::run(&["record", &pid, "-o", &path, "-d", SECONDS, "--max-overhead", "100"])?;
    ensure!(outcome.code == Some(0), "record ended with {:?}: {}", outcome.code, outcome.stderr);
    Ok(file)
}

fn compare(before: &Path, after: &Path) -> Result<Value> {
    let (before, after) = (before.display().to_string(), after.display().to_string());
    let outcome = inspector::run(&["compare", "--json", &before, &after])?;
    ensure!(outcome.code == Some(0), "compare ended with {:?}: {}", outcome.code, outcome.stderr);
    Ok(serde_json::from_str(&outcome.stdout)?)
}

/// Function and verdict of each point's changes of one metric.
fn verdicts<'v>(comparison: &'v Value, metric: &str) -> Vec<(&'v str, &'v str, &'v Value)> {
    let changes = comparison["changes"].as_array().map_or(&[][..], Vec::as_slice);
    let of_metric = changes.iter().filter(|change| change["metric"] == metric);
    let text = |value: &'v Value| value.as_str().unwrap_or_default();
    of_metric.map(|change| (text(&change["function"]), text(&change["verdict"]), change)).collect()
}

#[test]
fn one_await_that_became_slower_is_told_and_no_other() -> Result<()> {
    if !rights::root_or_skip("one_await_that_became_slower_is_told_and_no_other") {
        return Ok(());
    }
    let directory = tempfile::tempdir()?;
    let before = record(directory.path(), "before.rec", ["20", "20", "1"])?;
    let again = record(directory.path(), "again.rec", ["20", "20", "1"])?;
    let after = record(directory.path(), "after.rec", ["20", "40", "5"])?;

    let same = compare(&before, &again)?;
    let stays = verdicts(&same, "stay");
    ensure!(stays.len() == 3, "three awaits: {stays:?}");
    ensure!(stays.iter().all(|(_, verdict, _)| *verdict == "same"), "the same program: {stays:#?}");

    let slower = compare(&before, &after)?;
    for (function, verdict, change) in verdicts(&slower, "stay") {
        let [low, high] = ["low", "high"].map(|end| change[end].as_f64().unwrap_or(f64::NAN));
        if function == "paced::second" {
            ensure!(verdict == "slower", "{change}");
            // Those who are woken wait behind those that compute, the longer the busier the machine.
            ensure!(low > 1.5 && high < 3.0, "40 ms for 20 are between {low} and {high}");
        } else {
            ensure!(verdict != "faster", "{change}");
        }
    }
    // From `second` on tasks compute, within the poll that began there.
    let polls = verdicts(&slower, "poll");
    let computes = polls.iter().find(|(function, ..)| *function == "paced::second");
    ensure!(computes.is_some_and(|(_, verdict, _)| *verdict == "slower"), "{polls:#?}");

    let faster = compare(&after, &before)?;
    let second = verdicts(&faster, "stay").into_iter().find(|(function, ..)| *function == "paced::second");
    ensure!(second.is_some_and(|(_, verdict, _)| verdict == "faster"), "{second:?}");
    Ok(())
}

#[test]
fn what_is_no_recording_is_refused_in_words() -> Result<()> {
    let outcome = inspector::run(&["compare", "/nowhere/a.rec", "/nowhere/b.rec"])?;
    ensure!(outcome.code == Some(4) && outcome.stderr.contains("async-inspect record"), "{}", outcome.stderr);
    Ok(())
}

#[test]
fn a_warning_says_of_which_recording() -> Result<()> {
    let whole = e2e::workspace().join("probe-user/tests/recordings/v1.rec");
    let bytes = std::fs::read(&whole)?;
    let directory = tempfile::tempdir()?;
    let torn = directory.path().join("torn.rec");
    std::fs::write(&torn, &bytes[..bytes.len() - 10])?;
    let (whole, torn) = (whole.display().to_string(), torn.display().to_string());
    let warning = format!("warning: {torn}: the recording ends early");
    for arguments in [&["compare", &whole, &torn][..], &["diagnose", &torn]] {
        let outcome = inspector::run(arguments)?;
        ensure!(outcome.stderr.contains(&warning), "{arguments:?}: {}", outcome.stderr);
        ensure!(!outcome.stderr.contains(&format!("{whole}: the recording ends")), "{}", outcome.stderr);
    }
    Ok(())
}
