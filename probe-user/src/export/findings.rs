//! Findings as JSON: FINDING of `dump`, `diagnose` and `attach`, and DIAGNOSIS.

use super::bottlenecks::{BottlenecksJson, PathJson};
use super::json::{SCHEMA, Text};
use crate::analysis::{Bottlenecks, CriticalPath, Diagnosis, Finding, Part, Sentence};
use crate::decode::{Coverage, SourceLine, TaskId};
use crate::present::findings::certainty_word;
use crate::target::Avma;
use serde::Serialize;
use std::io::{self, Write};
use std::sync::Arc;

#[derive(Serialize)]
pub struct FindingJson<'a> {
    lint: &'static str,
    certainty: &'static str,
    tasks: Vec<Text<u64>>,
    places: Vec<PlaceJson<'a>>,
    resources: Vec<Text<Avma>>,
    message: String,
    evidence: Vec<String>,
    remedy: &'static str,
}

#[derive(Serialize)]
struct PlaceJson<'a> {
    function: &'a Arc<str>,
    file: Option<&'a Arc<str>>,
    line: Option<u32>,
}

#[derive(Serialize)]
struct DiagnosisJson<'a> {
    schema: u32,
    pid: u32,
    findings: Vec<FindingJson<'a>>,
    /// Null where nothing was watched.
    bottlenecks: Option<BottlenecksJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    critical_path: Option<PathJson<'a>>,
    coverage: CoverageJson<'a>,
    look_again_in_ms: Option<u64>,
}

#[derive(Serialize)]
struct CoverageJson<'a> {
    tasks_found: u64,
    tasks_decoded: u64,
    torn_retries: u64,
    issues: Vec<&'a str>,
    /// Lints that could not see what they look for.
    blind: Vec<BlindJson>,
    /// Findings for which there was no room.
    findings_not_kept: u64,
}

#[derive(Serialize)]
struct BlindJson {
    lint: &'static str,
    why: &'static str,
}

impl<'a> From<&'a Finding> for FindingJson<'a> {
    fn from(finding: &'a Finding) -> FindingJson<'a> {
        FindingJson {
            lint: finding.lint,
            certainty: certainty_word(finding.certainty),
            tasks: finding.tasks.iter().map(|task: &TaskId| Text(task.id)).collect(),
            places: finding
                .places
                .iter()
                .map(|place| PlaceJson {
                    function: &place.function,
                    file: place.line.as_ref().map(|line: &SourceLine| &line.file),
                    line: place.line.as_ref().map(|line| line.line),
                })
                .collect(),
            resources: finding.resources.iter().map(|address| Text(*address)).collect(),
            message: whole(&finding.message),
            evidence: finding.evidence.iter().map(whole).collect(),
            remedy: finding.remedy,
        }
    }
}

/// With names and paths in full.
fn whole(sentence: &Sentence) -> String {
    let part = |part: &Part| match part {
        Part::Words(words) => words.to_string(),
        Part::Name(name) => name.to_string(),
        Part::Task(task) => format!("#{}", task.id),
        Part::Thread(tid) => format!("thread {tid}"),
        Part::At(line) => format!("{}:{}", line.file, line.line),
        Part::Thing(kind, address) => format!("{} {address}", kind.as_str()),
        Part::Count(n) => n.to_string(),
        Part::Span(ns) => format!("{} ms", *ns as f64 / 1e6),
        Part::Size(bytes) => format!("{bytes} bytes"),
    };
    sentence.0.iter().map(part).collect()
}

/// What was found, as an array.
pub fn array(findings: &[&Finding]) -> io::Result<String> {
    let findings: Vec<FindingJson<'_>> = findings.iter().map(|finding| FindingJson::from(*finding)).collect();
    Ok(serde_json::to_string(&findings)?)
}

/// What `diagnose` tells.
#[derive(Clone, Copy)]
pub struct Told<'a> {
    pub pid: u32,
    pub diagnosis: &'a Diagnosis,
    pub coverage: Option<&'a Coverage>,
    /// None where nothing was watched.
    pub bottlenecks: Option<&'a Bottlenecks>,
    pub critical_path: Option<&'a CriticalPath>,
}

/// `diagnose --json`: one DIAGNOSIS.
pub fn write(out: &mut impl Write, told: Told<'_>) -> io::Result<()> {
    let Told { pid, diagnosis, coverage, bottlenecks, critical_path } = told;
    let none = Coverage::default();
    let coverage = coverage.unwrap_or(&none);
    let json = DiagnosisJson {
        schema: SCHEMA,
        pid,
        findings: diagnosis.findings().into_iter().map(FindingJson::from).collect(),
        bottlenecks: bottlenecks.map(BottlenecksJson::from),
        critical_path: critical_path.map(PathJson::from),
        coverage: CoverageJson {
            tasks_found: coverage.tasks_found,
            tasks_decoded: coverage.tasks_decoded,
            torn_retries: coverage.torn_retries,
            issues: coverage.issues.iter().map(String::as_str).collect(),
            findings_not_kept: diagnosis.not_kept(),
            blind: diagnosis.blind().map(|(lint, why)| BlindJson { lint, why }).collect(),
        },
        look_again_in_ms: diagnosis.look_again_in().map(|after| after.as_millis() as u64),
    };
    serde_json::to_writer_pretty(&mut *out, &json)?;
    out.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::Case;
    use crate::model::sample::{SECOND, Shop};
    use crate::present::findings::write as write_text;
    use crate::present::paint::Paint;
    use crate::present::places::Places;

    #[test]
    fn diagnosis_schema_1() {
        let shop = Shop::new();
        let (first, second) = (shop.deadlock(SECOND), shop.deadlock(2 * SECOND));
        let diagnosis = Diagnosis::of(&Case::of_two(&first, &second));
        let mut json = Vec::new();
        let told = Told {
            pid: 4242,
            diagnosis: &diagnosis,
            coverage: Some(&second.coverage),
            bottlenecks: None,
            critical_path: None,
        };
        write(&mut json, told).unwrap();
        insta::assert_snapshot!(String::from_utf8(json).unwrap());
        let mut text = Vec::new();
        let places = Places::of(&second.frames);
        for finding in diagnosis.findings() {
            write_text(&mut text, finding, &places, Paint { color: false }).unwrap();
        }
        insta::assert_snapshot!("text", String::from_utf8(text).unwrap());
    }
}
