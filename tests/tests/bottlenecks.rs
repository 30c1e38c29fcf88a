//! What `diagnose` says of where the time goes, against programs that know it.

use anyhow::{Context as _, Result, ensure};
use e2e::{Program, Tokio, Variant, inspector, rights};
use serde_json::Value;

fn diagnose(case: &str, options: &[&str]) -> Result<Value> {
    let built = Variant::release(Tokio::Latest).build(&["faults"])?;
    let mut program = Program::start(&built.program("faults"), &[case])?;
    program.truth()?;
    let pid = program.pid().to_string();
    let watch = ["diagnose", "--json", &pid, "-d", "3", "--max-overhead", "100"];
    let outcome = inspector::run(&[&watch, options].concat())?;
    ensure!(outcome.code == Some(0), "ended with {:?}: {}", outcome.code, outcome.stderr);
    Ok(serde_json::from_str(&outcome.stdout)?)
}

fn rows<'v>(diagnosis: &'v Value, name: &str) -> &'v [Value] {
    diagnosis["bottlenecks"][name].as_array().map_or(&[], Vec::as_slice)
}

/// Twenty tasks go through a lock, each holding it for 7 ms: at any time 19 wait.
#[test]
fn a_lock_and_the_await_for_it_are_where_the_time_goes() -> Result<()> {
    if !rights::root_or_skip("a_lock_and_the_await_for_it_are_where_the_time_goes") {
        return Ok(());
    }
    let diagnosis = diagnose("lock-convoy-mutex", &[])?;
    let source = std::fs::read_to_string(e2e::workspace().join("tests/targets/src/faults/lock_convoy.rs"))?;
    let line_of = |text: &str| source.lines().position(|line| line.contains(text)).map(|at| at as u64 + 1);
    let (locks_at, sleeps_at) = (line_of("lock.lock().await"), line_of("sleep(Duration::from_millis(7))"));

    let [lock] = rows(&diagnosis, "locks") else { anyhow::bail!("locks: {}", diagnosis["bottlenecks"]) };
    ensure!(lock["kind"] == "mutex" && lock["most_waiters"] == 19, "{lock}");
    ensure!(lock["acquired_at"]["line"].as_u64() == locks_at, "{lock}");

    let [first, second, ..] = rows(&diagnosis, "waits") else { anyhow::bail!("too few rows") };
    ensure!(first["line"].as_u64() == locks_at, "most time is waited elsewhere: {first}");
    ensure!(first["waits_for"][0] == "mutex", "{first}");
    ensure!(second["line"].as_u64() == sleeps_at, "and next: {second}");
    // Each waits for the 19 others, and sleeps once.
    let median = |row: &Value| row["stays"]["p50_ns"].as_u64().context("nobody moved on");
    let (waits, sleeps) = (median(first)?, median(second)?);
    ensure!(sleeps >= 7_000_000, "a stay of 7 ms is told as {sleeps} ns");
    ensure!(waits >= 19 * 7_000_000, "a stay of 19 times 7 ms is told as {waits} ns");
    let both = first["waited_ns"].as_u64().unwrap_or(0) / second["waited_ns"].as_u64().unwrap_or(1).max(1);
    ensure!((15..=23).contains(&both), "19 wait while one sleeps, not {both}");
    let both = lock["waited_ns"].as_f64().unwrap_or(0.0) / first["waited_ns"].as_f64().unwrap_or(1.0);
    ensure!((0.8..1.25).contains(&both), "the same waiting is {both} times as long by snapshots");
    ensure!(
        rows(&diagnosis, "polls").iter().any(|row| row["line"].as_u64() == locks_at),
        "no polls from there"
    );
    Ok(())
}

/// Ten tasks, each of which waits a second and a third for the lock: many waits have begun before the watch.
#[test]
fn what_began_before_the_watch_counts_and_lines_have_their_functions() -> Result<()> {
    if !rights::root_or_skip("what_began_before_the_watch_counts_and_lines_have_their_functions") {
        return Ok(());
    }
    let diagnosis = diagnose("lock-convoy-nested", &[])?;
    let source = std::fs::read_to_string(e2e::workspace().join("tests/targets/src/faults/lock_convoy.rs"))?;
    let lines: Vec<&str> = source.lines().collect();
    let refresh =
        lines.iter().position(|line| line.contains("async fn refresh")).context("refresh")? as u64 + 1;
    let upstream =
        lines.iter().position(|line| line.contains("async fn upstream")).context("upstream")? as u64 + 1;
    let (takes, awaits, sleeps) = (refresh + 1, refresh + 2, upstream + 1);

    let row = |line: u64| {
        let row = rows(&diagnosis, "waits").iter().find(|row| row["line"].as_u64() == Some(line));
        row.with_context(|| format!("nobody waits at {line}: {}", diagnosis["bottlenecks"]))
    };
    let waited = |row: &Value| row["waited_ns"].as_f64().unwrap_or(0.0);
    let times = waited(row(takes)?) / waited(row(sleeps)?);
    ensure!((8.5..9.5).contains(&times), "nine wait while one sleeps, not {times}");
    ensure!(row(takes)?["waits_for"] == serde_json::json!(["mutex"]), "{}", row(takes)?);
    ensure!(row(sleeps)?["waits_for"] == serde_json::json!(["timer"]), "{}", row(sleeps)?);

    let [lock] = rows(&diagnosis, "locks") else { anyhow::bail!("locks: {}", diagnosis["bottlenecks"]) };
    let both = waited(lock) / waited(row(takes)?);
    ensure!((0.85..1.15).contains(&both), "the same waiting is {both} times as long by snapshots");
    let told = |place: &Value| {
        let function = place["function"].as_str().unwrap_or("").rsplit("::").next().unwrap_or("").to_owned();
        (function, place["line"].as_u64())
    };
    let of = |function: &str, line| (function.to_owned(), Some(line));
    ensure!(told(&lock["acquired_at"]) == of("refresh", takes), "{lock}");
    ensure!(told(&lock["held_at"]) == of("refresh", awaits), "{lock}");
    ensure!(told(&lock["wanted_at"]) == of("refresh", takes), "{lock}");
    let findings = diagnosis["findings"].as_array().map_or(&[][..], Vec::as_slice);
    let convoy = findings.iter().find(|finding| finding["lint"] == "lock-convoy").context("a convoy")?;
    let places: Vec<_> = convoy["places"].as_array().into_iter().flatten().map(told).collect();
    ensure!(places == [of("refresh", takes), of("refresh", awaits), of("upstream", sleeps)], "{places:?}");
    Ok(())
}

/// What a `select!` around it waits for beside that may end by another task, and is not what the task waits for.
#[test]
fn a_critical_path_does_not_go_through_another_branch() -> Result<()> {
    let built = Variant::release(Tokio::Latest).build(&["faults"])?;
    let mut program = Program::start(&built.program("faults"), &["deadlock-beside-not"])?;
    program.truth()?;
    let pid = program.pid().to_string();
    let json = |arguments: &[&str]| -> Result<Value> {
        Ok(serde_json::from_str(&inspector::run(arguments)?.stdout)?)
    };
    let dump = json(&["dump", "--json", &pid])?;
    let tasks = dump["tasks"].as_array().context("tasks")?;
    let serves = tasks
        .iter()
        .find(|task| task["name"].as_str().is_some_and(|name| name.ends_with("beside::{async_block#0}")));
    let id = serves.and_then(|task| task["id"].as_str()).context("the task that reads")?;
    let diagnosis = json(&["diagnose", "--json", &pid, "-d", "2", "--task", id])?;
    let [chain] = diagnosis["critical_path"]["chains"].as_array().map_or(&[][..], Vec::as_slice) else {
        anyhow::bail!("not one chain: {}", diagnosis["critical_path"]);
    };
    let [step] = chain["steps"].as_array().map_or(&[][..], Vec::as_slice) else { anyhow::bail!("{chain}") };
    ensure!(
        step["waits_for"] == "io" && step["function"].as_str().is_some_and(|f| f.ends_with("::reads")),
        "{step}"
    );
    Ok(())
}

/// A task joins another, which waits for a lock that the first holds.
#[test]
fn a_critical_path_goes_round_a_deadlock_once() -> Result<()> {
    let built = Variant::release(Tokio::Latest).build(&["faults"])?;
    let mut program = Program::start(&built.program("faults"), &["deadlock-join"])?;
    let truth = program.truth()?;
    let tasks = truth.iter().find_map(|truth| match truth {
        e2e::Truth::Fault { tasks, .. } => Some(tasks.clone()),
        _ => None,
    });
    let tasks = tasks.context("it tells its tasks")?;
    let pid = program.pid().to_string();
    let outcome = inspector::run(&["diagnose", "--json", &pid, "-d", "2", "--task", &tasks[0]])?;
    let diagnosis: Value = serde_json::from_str(&outcome.stdout)?;
    let [chain] = diagnosis["critical_path"]["chains"].as_array().map_or(&[][..], Vec::as_slice) else {
        anyhow::bail!("not one chain: {}", diagnosis["critical_path"]);
    };
    let steps: Vec<_> = chain["steps"].as_array().into_iter().flatten().collect();
    let told: Vec<_> = steps.iter().map(|step| (&step["task"], &step["doing"], &step["waits_for"])).collect();
    let is = |step: &(&Value, &Value, &Value), task: &str, doing: &str, kind: Value| {
        *step.0 == *task && *step.1 == *doing && *step.2 == kind
    };
    ensure!(
        told.len() == 3
            && is(&told[0], &tasks[0], "waits", "join".into())
            && is(&told[1], &tasks[1], "waits", "mutex".into())
            && is(&told[2], &tasks[0], "again", Value::Null),
        "{told:?}"
    );
    ensure!(chain["lasted_ns"].as_u64() > Some(500_000_000), "{chain}");
    Ok(())
}
