//! A recording says what was seen when it was made, whatever becomes of the recorder; and that is what the program says of
//! itself.

use anyhow::{Result, ensure};
use e2e::counted::differences;
use e2e::schema::{Dump, Line};
use e2e::tracer::{Traced, Tracer};
use e2e::{Program, Tokio, Truth, Variant, compare, inspector, rights};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

fn program(name: &str) -> PathBuf {
    Variant::release(Tokio::Latest).build(&[name]).expect("builds").program(name)
}

/// A place for one recording.
fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("one.rec");
    (directory, file)
}

/// Records `counts MODE` from before its start signal to its end.
fn record(mode: &str, file: &Path) -> Result<(Vec<Truth>, Traced)> {
    let mut counts = Program::start(&program("counts"), &[mode])?;
    counts.truth()?;
    let recorder = Tracer::record(counts.pid(), file, &[])?;
    counts.say("go")?;
    let truth = counts.truth()?;
    recorder.interrupt()?;
    let seen = recorder.finish()?;
    ensure!(counts.is_running(), "the program did not outlive the recorder");
    ensure!(seen.code == Some(0), "record ended with {:?}: {}", seen.code, seen.stderr);
    Ok((truth, seen))
}

#[test]
fn a_replay_is_what_was_seen_and_what_was() {
    if !rights::root_or_skip("a_replay_is_what_was_seen_and_what_was") {
        return;
    }
    for mode in ["even", "bursts", "spawns"] {
        let (_directory, file) = place();
        let (truth, seen) = record(mode, &file).expect("records");
        let again = Tracer::replay(&file).expect("replays");
        assert_eq!((again.code, again.stderr.as_str()), (Some(0), ""), "{mode}");
        let wrong = differences(&truth, &again);
        assert!(wrong.is_empty(), "{mode}: {} differences\n{}", wrong.len(), wrong.join("\n"));
        same(&seen.text, &again.text);
        let said = seen.stderr.lines().find(|line| line.contains(" bytes per event")).expect("a summary");
        let polled = |line: &&Line| matches!(line, Line::Poll { .. } | Line::State { .. });
        assert!(again.lines.iter().filter(polled).count() > 1000, "{mode}: {said}");
        assert!(seen.stderr.contains("lost nothing"), "{mode}: {}", seen.stderr);
        assert_eq!(file.metadata().expect("is there").permissions().mode() & 0o777, 0o600);
    }
}

/// Byte for byte; the first line that differs is told.
fn same(live: &[String], again: &[String]) {
    for (number, (live, again)) in live.iter().zip(again).enumerate() {
        assert_eq!(live, again, "line {number}");
    }
    assert_eq!(live.len(), again.len());
}

#[test]
fn beside_an_attach_both_see_the_same() {
    if !rights::root_or_skip("beside_an_attach_both_see_the_same") {
        return;
    }
    let (_directory, file) = place();
    let mut counts = Program::start(&program("counts"), &["even"]).expect("starts");
    counts.truth().expect("waits");
    // Without --json, as people use it.
    let mut command = inspector::command();
    command.args(["record", "--max-overhead", "100", "-o"]).arg(&file).arg(counts.pid().to_string());
    let recorder = command.stderr(std::process::Stdio::piped()).spawn().expect("starts");
    let attached = Tracer::attach(counts.pid(), &[]).expect("attaches");
    wait_for(|| Tracer::replay(&file).is_ok_and(|replayed| replayed.was_ready()));
    counts.say("go").expect("listens");
    let truth = counts.truth().expect("tells");
    let pid = rustix::process::Pid::from_child(&recorder);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("runs");
    attached.interrupt().expect("runs");
    let (attached, recorder) = (attached.finish().expect("ends"), recorder.wait_with_output().expect("ends"));
    assert!(recorder.status.success() && recorder.stdout.is_empty(), "{recorder:?}");
    let again = Tracer::replay(&file).expect("replays");
    for seen in [&attached, &again] {
        let wrong = differences(&truth, seen);
        assert!(wrong.is_empty(), "{} differences\n{}", wrong.len(), wrong.join("\n"));
    }
    assert_eq!(attached.tasks(), again.tasks());
}

fn wait_for(done: impl Fn() -> bool) {
    for _ in 0..300 {
        if done() {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("it did not happen within 30 s");
}

#[test]
fn a_target_that_panics_and_ends() {
    if !rights::root_or_skip("a_target_that_panics_and_ends") {
        return;
    }
    let (_directory, file) = place();
    let mut command = Command::new(program("panics"));
    command.stderr(std::process::Stdio::null());
    let mut panics = Program::spawn(command).expect("starts");
    panics.truth().expect("waits");
    let recorder = Tracer::record(panics.pid(), &file, &[]).expect("records");
    panics.say("go").expect("listens");
    panics.finish().expect("ends");
    let seen = recorder.finish().expect("ends");
    assert_eq!(seen.code, Some(0), "{}", seen.stderr);
    let again = Tracer::replay(&file).expect("replays");
    same(&seen.text, &again.text);
    assert!(again.text.last().is_some_and(|line| line.contains(r#""reason":"target exited""#)));
    let tasks = again.tasks();
    assert_eq!(tasks.len(), 16);
    assert!(tasks.values().all(|seen| seen.completed + seen.panicked + seen.cancelled == 1), "{tasks:?}");
}

#[test]
fn a_recorder_that_is_killed_loses_its_tail() {
    if !rights::root_or_skip("a_recorder_that_is_killed_loses_its_tail") {
        return;
    }
    let (_directory, file) = place();
    let mut counts = Program::start(&program("counts"), &["even"]).expect("starts");
    counts.truth().expect("waits");
    let recorder = Tracer::record(counts.pid(), &file, &[]).expect("records");
    counts.say("go").expect("listens");
    std::thread::sleep(Duration::from_secs(4));
    let printed = recorder.kill().expect("dies");
    let again = Tracer::replay(&file).expect("replays");
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert!(again.stderr.contains("the recording ends early"), "{}", again.stderr);
    let (end, whole) = again.text.split_last().expect("an end");
    assert!(end.contains(r#""event":"end""#) && end.contains("ends early"), "{end}");
    // What was printed may have got further than what was written, or less far.
    let common = whole.len().min(printed.len());
    same(&printed[..common], &whole[..common]);
    let last = |lines: &[String]| {
        let t_ns = |line: &String| serde_json::from_str::<serde_json::Value>(line).ok()?["t_ns"].as_u64();
        lines.iter().filter_map(t_ns).max().expect("a time")
    };
    let behind = last(&printed).saturating_sub(last(whole));
    assert!(whole.len() > 100 && behind < 2_000_000_000, "{} lines, {behind} ns behind", whole.len());
}

#[test]
fn a_moment_of_a_recording_is_the_dump_of_then() {
    if !rights::root_or_skip("a_moment_of_a_recording_is_the_dump_of_then") {
        return;
    }
    let (_directory, file) = place();
    let mut tree = Program::start(&program("tree"), &[]).expect("starts");
    let truth = tree.tasks().expect("tells");
    let file = file.to_str().expect("is text");
    let pid = tree.pid().to_string();
    let recorded = inspector::run(&["record", "-o", file, "-d", "3", &pid]).expect("runs");
    assert_eq!(recorded.code, Some(0), "{}", recorded.stderr);
    drop(tree);
    for at in ["0", "2.5", "60"] {
        let outcome = inspector::run(&["replay", file, "--at", at, "--json"]).expect("runs");
        assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
        let dump: Dump = serde_json::from_str(&outcome.stdout).expect("keeps to the schema");
        assert_eq!(dump.pid.to_string(), pid);
        let wrong = compare::report(&compare::tasks(&dump, &truth, "tree"));
        assert!(wrong.is_none(), "at {at}: {}", wrong.unwrap_or_default());
        assert_eq!(outcome.stderr.contains("the recording ends"), at == "60", "{}", outcome.stderr);
    }
    let text = inspector::run(&["replay", file, "--at", "1", "--all"]).expect("runs");
    assert!(text.code == Some(0) && text.stdout.contains("tree::"), "{}", text.stdout);
    let plain = inspector::run(&["replay", file]).expect("runs");
    assert!(plain.code == Some(0) && plain.stdout.contains("time is up"), "{}", plain.stdout);
}

#[test]
fn what_is_no_recording_is_said() {
    let (directory, file) = place();
    let missing = file.to_str().expect("is text");
    let outcome = inspector::run(&["replay", missing]).expect("runs");
    assert_eq!(outcome.code, Some(4), "{}", outcome.stderr);
    let other = directory.path().join("other");
    std::fs::write(&other, "not a recording of anything").expect("writes");
    let outcome = inspector::run(&["replay", other.to_str().expect("is text"), "--json"]).expect("runs");
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(5), ""), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("no recording") && outcome.stderr.contains("try:"), "{}", outcome.stderr);
    // Nothing is left of, and nothing done to, what was not begun.
    let outcome = inspector::run(&["record", "-o", missing, "no such process"]).expect("runs");
    assert_eq!((outcome.code, file.exists()), (Some(4), false), "{}", outcome.stderr);
    let before = other.metadata().expect("is there");
    let outcome = inspector::run(&["record", "-o", other.to_str().expect("is text"), "no such process"]);
    assert_eq!(outcome.expect("runs").code, Some(4));
    assert_eq!(other.metadata().expect("is there").size(), before.size());
}
