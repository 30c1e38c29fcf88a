//! A finding is the same wherever it is told: by `diagnose` of the process and of its recording, in `dump`, `attach` and `replay`.

use anyhow::{Context as _, Result, ensure};
use e2e::schema::{Certainty, Diagnosis};
use e2e::{Program, Tokio, Variant, inspector, rights};
use serde_json::Value;
use std::collections::BTreeSet;

/// Of a finding what must be the same.
type Told = (String, Certainty, BTreeSet<String>, BTreeSet<Option<u32>>);

fn run(arguments: &[&str]) -> Result<String> {
    let outcome = inspector::run(arguments)?;
    ensure!(outcome.code == Some(0), "{arguments:?} ended with {:?}: {}", outcome.code, outcome.stderr);
    Ok(outcome.stdout)
}

fn diagnosed(arguments: &[&str]) -> Result<Vec<Told>> {
    let text = run(&[&["diagnose", "--json"], arguments].concat())?;
    let diagnosis: Diagnosis = serde_json::from_str(&text).context("not a DIAGNOSIS")?;
    let told = diagnosis.findings.into_iter().map(|finding| {
        let lines = finding.places.iter().map(|place| place.line).collect();
        (finding.lint, finding.certainty, finding.tasks.into_iter().collect(), lines)
    });
    Ok(told.collect())
}

fn of_value(finding: &Value) -> Result<Told> {
    let certainty = serde_json::from_value(finding["certainty"].clone())?;
    let tasks = serde_json::from_value(finding["tasks"].clone())?;
    let places = finding["places"].as_array().context("places")?;
    let lines = places.iter().map(|place| place["line"].as_u64().map(|line| line as u32)).collect();
    Ok((finding["lint"].as_str().context("lint")?.to_owned(), certainty, tasks, lines))
}

/// Of a stream what its last word on each finding was.
fn streamed(text: &str) -> Result<Vec<Told>> {
    let lines = text.lines().map(serde_json::from_str::<Value>);
    let events = lines.collect::<Result<Vec<_>, _>>()?;
    let findings = events.iter().filter(|event| event["event"] == "finding");
    let mut told: Vec<Told> = Vec::new();
    for finding in findings {
        // It stands in the event itself, or under its own name.
        let finding = of_value(finding.get("finding").unwrap_or(finding))?;
        told.retain(|known| (&known.0, &known.2) != (&finding.0, &finding.2));
        told.push(finding);
    }
    Ok(told)
}

#[test]
fn a_finding_is_the_same_everywhere() -> Result<()> {
    if !rights::root_or_skip("a_finding_is_the_same_everywhere") {
        return Ok(());
    }
    let executable = Variant::release(Tokio::Latest).build(&["faults"])?.program("faults");
    let mut program = Program::start(&executable, &["deadlock-three"])?;
    program.truth()?;
    let pid = program.pid().to_string();
    let directory = tempfile::tempdir()?;
    let recording = directory.path().join("three.rec");
    let recording = recording.to_str().context("a path of UTF-8")?;

    let expected = diagnosed(&[&pid, "-d", "0"])?;
    assert!(expected.iter().any(|told| told.0 == "deadlock" && told.1 == Certainty::Proven), "{expected:?}");
    assert_eq!(diagnosed(&[&pid, "-d", "2"])?, expected, "watched");
    assert_eq!(streamed(&run(&["attach", "--json", "-d", "2", &pid])?)?, expected, "attach");
    run(&["record", "-o", recording, "-d", "3", &pid])?;
    drop(program);
    assert_eq!(diagnosed(&[recording])?, expected, "diagnose of the recording");
    assert_eq!(streamed(&run(&["replay", "--json", recording])?)?, expected, "replay");
    // Of a moment before which it was read twice.
    let moment: Value = serde_json::from_str(&run(&["replay", "--at", "2.9", "--json", recording])?)?;
    let told = moment["findings"].as_array().context("findings")?.iter().map(of_value);
    assert_eq!(told.collect::<Result<Vec<_>>>()?, expected, "replay --at");
    Ok(())
}

#[test]
fn a_dump_tells_it_too() -> Result<()> {
    if !rights::root_or_skip("a_dump_tells_it_too") {
        return Ok(());
    }
    let executable = Variant::release(Tokio::Latest).build(&["faults"])?.program("faults");
    let mut program = Program::start(&executable, &["deadlock-ab-ba"])?;
    program.truth()?;
    let pid = program.pid().to_string();
    let dump: Value = serde_json::from_str(&run(&["dump", "--json", &pid])?)?;
    let findings = dump["findings"].as_array().context("findings")?;
    let told = findings.iter().map(of_value).collect::<Result<Vec<_>>>()?;
    assert_eq!(told, diagnosed(&[&pid, "-d", "0"])?);
    Ok(())
}
