//! Healthy servers that nobody here wrote, busy for as long as `HEALTHY_SECONDS` says: nothing is told of them as proven. What is told
//! as possible is printed, and explained in docs/LINTS.md. Whose tasks are not decoded is not found to be well, it was not looked at.

use anyhow::{Context as _, Result, ensure};
use e2e::real::PROGRAMS;
use e2e::{inspector, rights};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Diagnosis {
    findings: Vec<Finding>,
    coverage: Coverage,
}

#[derive(Deserialize)]
struct Coverage {
    tasks_found: u64,
    tasks_decoded: u64,
}

/// The least share of tasks that must be decoded, of all readings.
const DECODED: f64 = 0.95;

#[derive(Deserialize)]
struct Finding {
    lint: String,
    certainty: String,
    message: String,
}

#[test]
fn nothing_is_proven_of_servers_that_are_well() {
    let name = "nothing_is_proven_of_servers_that_are_well";
    if !rights::root_or_skip(name) {
        return;
    }
    let Some(seconds) = std::env::var("HEALTHY_SECONDS").ok().and_then(|text| text.parse().ok()) else {
        return rights::skipped(
            name,
            "it takes minutes to build the servers; HEALTHY_SECONDS=600 builds and watches them",
        );
    };
    let watched: Vec<_> = std::thread::scope(|scope| {
        let watch = |real| scope.spawn(move || watch(real, seconds).with_context(|| real.name));
        let threads: Vec<_> = PROGRAMS.iter().filter(|real| real.can_be_busy()).map(watch).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    assert!(watched.len() >= 3, "three servers, and not {}", watched.len());
    let problems: Vec<String> =
        watched.into_iter().filter_map(|one| one.err()).map(|e| format!("{e:#}")).collect();
    assert!(problems.is_empty(), "{problems:#?}");
}

/// Watches all the time, and reads memory alone again and again.
fn watch(real: &e2e::real::Real, seconds: u64) -> Result<()> {
    let (answers, found) = real
        .while_busy(|pid| {
            let diagnose = |duration: u64| -> Result<Diagnosis> {
                let mut command = inspector::command();
                command.args(["diagnose", &pid.to_string(), "--json", "-d", &duration.to_string()]);
                let output = command.output()?;
                ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
                Ok(serde_json::from_slice(&output.stdout)?)
            };
            let mut found = Vec::new();
            std::thread::scope(|scope| {
                let watching = scope.spawn(|| diagnose(seconds));
                while !watching.is_finished() {
                    found.push(diagnose(0)?);
                    std::thread::sleep(std::time::Duration::from_secs(5));
                }
                found.push(watching.join().expect("no panic")?);
                anyhow::Ok(())
            })?;
            Ok(found)
        })?
        .context("it cannot be kept busy")?;
    ensure!(answers > seconds * 10, "only {answers} questions were answered");
    let mut told: BTreeMap<(&str, &str), (usize, &str)> = BTreeMap::new();
    for finding in found.iter().flat_map(|diagnosis| &diagnosis.findings) {
        told.entry((&finding.certainty, &finding.lint)).or_insert((0, &finding.message)).0 += 1;
    }
    let sum = |of: fn(&Coverage) -> u64| found.iter().map(|diagnosis| of(&diagnosis.coverage)).sum::<u64>();
    let (tasks, decoded) = (sum(|coverage| coverage.tasks_found), sum(|coverage| coverage.tasks_decoded));
    let (name, times) = (real.name, found.len());
    println!("{name}: {answers} questions, diagnosed {times} times, {decoded} of {tasks} tasks decoded");
    for ((certainty, lint), (times, message)) in &told {
        println!("  {certainty} {lint}, {times} times: {message}");
    }
    ensure!(!told.keys().any(|(certainty, _)| *certainty == "proven"), "proven: {told:?}");
    ensure!(
        decoded as f64 >= tasks as f64 * DECODED && decoded > 0,
        "{decoded} of {tasks} tasks are decoded: what lints do not see is not well"
    );
    Ok(())
}
