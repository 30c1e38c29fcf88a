//! Tasks of other runtimes than tokio's own: decoded trees equal the truth that the programs print, and end in the leaf that
//! the programs name. Each program in a plain release build and where everything is inlined into everything.

use anyhow::{Result, bail, ensure};
use e2e::schema::{DebugInfo, Dump, RuntimeKind, Task, TaskState};
use e2e::{Lto, Program, Tokio, Variant, compare, inspector};
use libtest_mimic::{Arguments, Failed, Trial};
use std::collections::HashSet;
use std::process::Command;

const PROGRAMS: [&str; 5] =
    ["smol_tasks", "async_std_tasks", "futures_pool", "actix_arbiters", "two_runtimes"];

fn main() {
    let arguments = Arguments::from_args();
    let plain = Variant::release(Tokio::Latest);
    let fat = Variant { lto: Lto::Fat, codegen_units: 1, ..plain };
    let failed = |error: anyhow::Error| Failed::from(format!("{error:#}"));
    let states = move || states(plain).map_err(failed);
    let untyped = move || without_types(plain).map_err(failed);
    let mut trials = vec![Trial::test("states", states), Trial::test("without_types", untyped)];
    for (build, variant) in [("plain", plain), ("fat", fat)] {
        trials.extend(PROGRAMS.map(|program| {
            let run = move || check(variant, program).map_err(failed);
            Trial::test(format!("{program}_{build}"), run)
        }));
    }
    libtest_mimic::run(&arguments, trials).exit();
}

fn check(variant: Variant, name: &str) -> Result<()> {
    let built = variant.build_of("others", &[name])?;
    let mut program = Program::start(&built.program(name), &[])?;
    let truth = program.tasks()?;
    ensure!(!truth.is_empty(), "{name} tells no truth");
    let dump = inspector::dump(program.pid())?;
    if let Some(differences) = compare::report(&compare::own_tasks(&dump, &truth, name)) {
        bail!(differences);
    }
    for task in &truth {
        let listed = dump.runtimes.iter().any(|runtime| runtime.kind == task.kind && runtime.tasks > Some(0));
        ensure!(listed, "no runtime of the kind {:?} is listed", task.kind);
    }
    is_whole(&dump)?;
    is_recognised(program.pid(), name)?;
    ensure!(program.finish()?.success(), "{name} did not end well");
    Ok(())
}

/// Also the tasks that the runtimes started themselves are decoded, and no two have one identity.
fn is_whole(dump: &Dump) -> Result<()> {
    let unread: Vec<_> = dump.tasks.iter().filter(|task| task.r#await.is_none()).collect();
    ensure!(unread.is_empty(), "without a tree: {unread:?}");
    ensure!(dump.coverage.tasks_found == dump.coverage.tasks_decoded, "{:?}", dump.coverage);
    let identities: HashSet<(RuntimeKind, &str)> =
        dump.tasks.iter().map(|task| (task.runtime, task.id.as_str())).collect();
    ensure!(identities.len() == dump.tasks.len(), "two tasks have one identity");
    let places: HashSet<&str> = dump.tasks.iter().filter_map(|task| task.address.as_deref()).collect();
    ensure!(places.len() == dump.tasks.len(), "two tasks have one address");
    Ok(())
}

/// `ps` lists the process with the runtime that its tasks are in, and `check` names that runtime.
fn is_recognised(pid: u32, name: &str) -> Result<()> {
    let runtime = match name {
        "futures_pool" => "futures",
        "actix_arbiters" => "tokio",
        "two_runtimes" => "tokio+async-task",
        _ => "async-task",
    };
    let outcome = inspector::run(&["ps", "--json"])?;
    let rows: serde_json::Value = serde_json::from_str(&outcome.stdout)?;
    let rows = rows["processes"].as_array().cloned().unwrap_or_default();
    let row = rows.iter().find(|row| row["pid"] == pid);
    ensure!(row.is_some_and(|row| row["runtime"] == runtime), "ps says {row:?}, not {runtime}");
    let outcome = inspector::run(&["check", "--json", &pid.to_string()])?;
    let check: serde_json::Value = serde_json::from_str(&outcome.stdout)?;
    let kinds: Vec<_> =
        check["runtimes"].as_array().into_iter().flatten().filter_map(|r| r["kind"].as_str()).collect();
    let wanted: Vec<_> = runtime.split('+').collect();
    ensure!(wanted.iter().all(|kind| kinds.contains(kind)), "check names {kinds:?}, not {runtime}");
    ensure!(check["dump"] == true && check["debuginfo"] == "full", "check: {check}");
    Ok(())
}

/// What the executors' own words say of a task; those that ended and are forgotten are not listed.
fn states(variant: Variant) -> Result<()> {
    use TaskState::{Cancelled, Complete, Idle, Running, Scheduled};
    let expected = [
        ("behind", Scheduled),
        ("behind_in_local", Scheduled),
        ("behind_in_pool", Scheduled),
        ("blocking", Running),
        ("blocking_in_local", Running),
        ("cancelled", Cancelled),
        ("finished", Complete),
        ("idle", Idle),
        ("idle_in_local", Idle),
        ("idle_in_pool", Idle),
        ("unstarted", Scheduled),
    ];
    let built = variant.build_of("others", &["states"])?;
    let mut program = Program::start(&built.program("states"), &[])?;
    program.truth()?;
    let dump = inspector::dump(program.pid())?;
    let mut seen: Vec<(&str, TaskState)> = Vec::new();
    for task in &dump.tasks {
        let Some(name) = task.name.as_deref().and_then(|name| name.strip_prefix("states::")) else {
            continue;
        };
        // While a ThreadPool polls a task, that is on a stack; only what is left in the queue may show it.
        if name == "blocking_in_pool" {
            ensure!(task.state == Scheduled && task.stale, "{task:?}");
            continue;
        }
        seen.push((name, task.state));
        let sure = !matches!(name, "blocking" | "blocking_in_local");
        ensure!(task.stale != sure, "{task:?}");
    }
    seen.sort_unstable_by_key(|(name, _)| *name);
    ensure!(seen == expected, "{seen:?}, not {expected:?}");
    Ok(())
}

/// The symbol table alone leaves the number of tasks and their states, and says that it does.
fn without_types(variant: Variant) -> Result<()> {
    let built = variant.build_of("others", &["smol_tasks"])?;
    let directory = tempfile::tempdir()?;
    let bare = directory.path().join("smol_tasks");
    // What a build without debug information has, but for the time it takes.
    let stripped =
        Command::new("objcopy").arg("--strip-debug").arg(built.program("smol_tasks")).arg(&bare).status()?;
    ensure!(stripped.success(), "objcopy ended with {stripped}");
    let mut program = Program::start(&bare, &[])?;
    let truth = program.tasks()?;
    let dump = inspector::dump(program.pid())?;
    ensure!(dump.debuginfo == DebugInfo::Symbols, "{:?}", dump.debuginfo);
    // One task is async-process's own.
    ensure!(dump.tasks.len() == truth.len() + 1, "{} tasks of {}", dump.tasks.len(), truth.len() + 1);
    let known = |task: &Task| {
        task.runtime == RuntimeKind::AsyncTask && task.state == TaskState::Idle && task.r#await.is_none()
    };
    ensure!(dump.tasks.iter().all(known), "{:?}", dump.tasks);
    ensure!(!dump.coverage.issues.is_empty(), "nothing says why there are no trees");
    Ok(())
}
