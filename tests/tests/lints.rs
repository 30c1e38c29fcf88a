//! Each fault of `faults` is found by its lint, with its tasks and lines, and nothing is found where there is none.

use anyhow::{Context as _, Result, ensure};
use e2e::schema::{Certainty, Diagnosis, Finding};
use e2e::{Program, Tokio, Truth, Variant, inspector, rights};
use libtest_mimic::{Arguments, Trial};
use std::collections::BTreeSet;
use std::path::Path;

/// How a case is looked at.
#[derive(Clone, Copy)]
enum Look {
    /// Memory, read twice.
    Memory,
    /// Probes, for so many seconds, whatever they cost.
    Watch(&'static str),
}

/// Cases that are watched: what memory alone does not tell, or what moves.
const WATCHED: &[(&str, Look)] = &[
    ("deadlock-busy", Look::Watch("2")),
    // Four snapshots in a row, of which there is one a second.
    ("lock-convoy", Look::Watch("4")),
    ("cancelled", Look::Watch("1.5")),
    ("sequential", Look::Watch("3")),
    ("task-leak", Look::Watch("3")),
    ("channel-filling", Look::Watch("3")),
    ("blocking-call-repeated", Look::Watch("2")),
    ("blocking-call-crowd", Look::Watch("3")),
    ("blocking-call-in-place", Look::Watch("2")),
    ("blocking-call-pool-again", Look::Watch("2")),
    ("blocking-call-short", Look::Watch("2")),
    ("blocked-executor-foreign-repeated", Look::Watch("2")),
    ("cpu-bound-poll", Look::Watch("2")),
    ("never-yields", Look::Watch("3")),
    ("busy-loop", Look::Watch("2")),
    ("starved-task-load", Look::Watch("2")),
    ("no-timeout", Look::Watch("4")),
];

/// What is long: nobody wants to wait ten seconds here.
const OPTIONS: &[(&str, &[&str])] = &[("no-timeout", &["--no-timeout-after", "2"])];

fn main() {
    let arguments = Arguments::from_args();
    let built = Variant::release(Tokio::Latest).build(&["faults"]).expect("builds");
    let executable = built.program("faults");
    let listed = std::process::Command::new(&executable).output().expect("lists its cases");
    let names = String::from_utf8(listed.stdout).expect("prints UTF-8");
    let trials = names.lines().map(|name| {
        let (executable, name) = (executable.clone(), name.to_owned());
        let look = WATCHED
            .iter()
            .filter(|(prefix, _)| name.starts_with(prefix))
            .max_by_key(|(prefix, _)| prefix.len())
            .map_or(Look::Memory, |(_, look)| *look);
        Trial::test(name.clone(), move || {
            check(&executable, &name, look).map_err(|error| format!("{error:#}").into())
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit();
}

fn check(executable: &Path, name: &str, look: Look) -> Result<()> {
    if matches!(look, Look::Watch(_)) && !rights::root_or_skip(name) {
        return Ok(());
    }
    let mut program = Program::start(executable, &[name])?;
    let truth = program.truth()?;
    let pid = program.pid().to_string();
    let watch: &[&str] = match look {
        Look::Memory => &["-d", "0"],
        Look::Watch(seconds) => &["-d", seconds, "--max-overhead", "100"],
    };
    let options =
        OPTIONS.iter().filter(|(prefix, _)| name.starts_with(prefix)).flat_map(|(_, options)| *options);
    let watch: &[&str] = &watch.iter().chain(options).copied().collect::<Vec<_>>();
    let outcome = inspector::run(&[&["diagnose", "--json", pid.as_str()], watch].concat())?;
    ensure!(outcome.code == Some(0), "diagnose ended with {:?}: {}", outcome.code, outcome.stderr);
    let diagnosis: Diagnosis = serde_json::from_str(&outcome.stdout).context("not a DIAGNOSIS")?;
    let wrong = differences(&truth, &diagnosis.findings);
    ensure!(wrong.is_empty(), "{}\nfound: {:#?}", wrong.join("\n"), diagnosis.findings);

    let proven = diagnosis.findings.iter().any(|finding| finding.certainty == Certainty::Proven);
    let failing = inspector::run(&[&["diagnose", "--fail-on", "all", pid.as_str()], watch].concat())?;
    ensure!(failing.code == Some(i32::from(proven)), "--fail-on ended with {:?}", failing.code);
    Ok(())
}

/// What was not found, and what should not have been.
fn differences(truth: &[Truth], found: &[Finding]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut right = BTreeSet::new();
    for fault in truth {
        let Truth::Fault { lint, certainty, tasks, lines, words } = fault else { continue };
        let mut of_lint = found.iter().enumerate().filter(|(_, finding)| finding.lint == *lint);
        let same_tasks = |finding: &Finding| {
            finding.tasks.iter().collect::<BTreeSet<_>>() == tasks.iter().collect::<BTreeSet<_>>()
        };
        match of_lint.find(|(_, finding)| tasks.is_empty() || same_tasks(finding)) {
            None => wrong.push(format!("not found: {fault:?}")),
            Some((number, finding)) => {
                right.insert(number);
                let told: BTreeSet<Option<u32>> = finding.places.iter().map(|place| place.line).collect();
                let text = format!("{} {} {}", finding.message, finding.evidence.join(" "), finding.remedy);
                if finding.certainty != *certainty {
                    wrong.push(format!("{lint} is {certainty:?}"));
                }
                for line in lines.iter().filter(|line| !told.contains(&Some(**line))) {
                    wrong.push(format!("{lint} does not tell line {line}"));
                }
                for word in words.iter().filter(|word| !text.contains(word.as_str())) {
                    wrong.push(format!("{lint} does not say {word:?}"));
                }
            }
        }
    }
    let may = |finding: &Finding| {
        let told = |truth: &Truth| matches!(truth, Truth::MayBeTold { lint } if *lint == finding.lint);
        finding.certainty == Certainty::Possible && truth.iter().any(told)
    };
    for (number, finding) in found.iter().enumerate() {
        if !right.contains(&number) && !may(finding) {
            wrong.push(format!("wrongly found: {} ({:?})", finding.message, finding.lint));
        }
    }
    wrong
}
