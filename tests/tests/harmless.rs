//! The target's results, stdout and exit status are the same with and without us.

use anyhow::Result;
use e2e::tracer::{Traced, Tracer};
use e2e::{Program, Tokio, Variant, inspector, rights};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

/// What a program leaves behind.
#[derive(Debug, PartialEq, Eq)]
struct Left {
    stdout: Vec<String>,
    code: Option<i32>,
    signal: Option<i32>,
}

fn left(program: &Program, status: ExitStatus) -> Left {
    Left { stdout: program.printed.clone(), code: status.code(), signal: status.signal() }
}

/// Starts a program that says `waiting`, and ends with whatever it does once told to go on.
fn alone(executable: &Path) -> Result<Left> {
    let mut program = start(executable)?;
    program.truth()?;
    program.say("go")?;
    let status = program.finish()?;
    Ok(left(&program, status))
}

fn traced(executable: &Path, options: &[&str]) -> Result<(Left, Traced)> {
    let mut program = start(executable)?;
    program.truth()?;
    let tracer = Tracer::attach(program.pid(), options)?;
    program.say("go")?;
    let status = program.finish()?;
    Ok((left(&program, status), tracer.finish()?))
}

/// Its stderr is not compared: backtraces under return probes are shorter.
fn start(executable: &Path) -> Result<Program> {
    let mut command = Command::new(executable);
    command.stderr(Stdio::null());
    Program::spawn(command)
}

fn same_with_and_without(executable: &Path, options: &[&str]) -> Traced {
    let alone = alone(executable).expect("runs alone");
    let (left, traced) = traced(executable, options).expect("runs traced");
    assert_eq!(left, alone, "the program does something else when it is traced");
    assert_eq!(traced.code, Some(0), "the target ended after `ready`: {}", traced.stderr);
    assert!(traced.totals().is_some(), "the last line is not a summary");
    traced
}

#[test]
fn panics() {
    if !rights::root_or_skip("panics") {
        return;
    }
    for tokio in Tokio::ALL {
        let executable = Variant::release(tokio).build(&["panics"]).expect("builds").program("panics");
        let traced = same_with_and_without(&executable, &[]);
        // 3 rounds of five tasks, three of which panic and two of which do not, and one that is aborted.
        let tasks = traced.tasks();
        assert_eq!(tasks.len(), 16, "{tokio:?}: tasks seen");
        // How a task ended is read from what is left of it: where the thread that joins it has taken the result before the
        // return probe looks, a panic shows as an end (LIMITATIONS.md).
        let panicked: u64 = tasks.values().map(|seen| seen.panicked).sum();
        assert!((1..=9).contains(&panicked), "{tokio:?}: {panicked} tasks seen to panic, of 9");
        for (id, seen) in tasks {
            let ends = seen.completed + seen.panicked + seen.cancelled;
            assert_eq!(ends, 1, "{tokio:?}: task {id} ends once: {seen:?}");
        }
        same_with_and_without(&executable, &["--entry-only"]);
    }
}

#[test]
fn panics_that_abort() {
    if !rights::root_or_skip("panics_that_abort") {
        return;
    }
    let executable = Variant::thin(Tokio::Latest).build(&["panics"]).expect("builds").program("panics");
    let traced = same_with_and_without(&executable, &[]);
    assert!(traced.was_ready());
}

/// A program of a workspace of its own.
fn build_alone(package: &str, name: &str) -> PathBuf {
    e2e::build_package(package, &[name]).expect("builds").program(name)
}

#[test]
fn seccomp() {
    if !rights::root_or_skip("seccomp") {
        return;
    }
    let executable = build_alone("seccomp", "seccomp");
    let alone = alone(&executable).expect("runs alone");
    assert_eq!(alone.code, Some(6), "the filter lets the program run when nobody looks");
    let (left, traced) = traced(&executable, &[]).expect("runs traced");
    assert_eq!(left, alone);
    assert_eq!(traced.code, Some(0), "{}", traced.stderr);
    let polls: u64 = traced.tasks().values().map(|seen| seen.polls).sum();
    // 20 tasks that sleep 50 times and yield 50 times.
    assert!(polls > 1_000, "{polls} polls seen under the filter");
}

#[test]
fn inspector_killed() {
    if !rights::root_or_skip("inspector_killed") {
        return;
    }
    let executable = Variant::release(Tokio::Latest).build(&["counts"]).expect("builds").program("counts");
    let mut program = Program::start(&executable, &["bursts"]).expect("starts");
    program.truth().expect("waits");
    let links = uprobe_links();
    let tracer = Tracer::attach(program.pid(), &[]).expect("attaches");
    // Others may trace on this machine as well, and come and go.
    let ours: Vec<String> = uprobe_links().into_iter().filter(|link| !links.contains(link)).collect();
    assert!(!ours.is_empty(), "an attached tracer has links");
    tracer.kill().expect("was running");
    // The kernel drops a process's links once its last descriptor is closed, a moment after its death.
    let gone = (0..200).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(25));
        !uprobe_links().iter().any(|link| ours.contains(link))
    });
    assert!(gone, "links of the one that was killed: {ours:?}, afterwards: {:?}", uprobe_links());

    let again = Tracer::attach(program.pid(), &[]).expect("attaches again");
    program.say("go").expect("lives on");
    let truth = program.truth().expect("does its work");
    assert!(truth.len() > 30);
    again.interrupt().expect("runs");
    let traced = again.finish().expect("ends");
    assert_eq!(traced.code, Some(0), "{}", traced.stderr);
    assert!(traced.tasks().values().map(|seen| seen.polls).sum::<u64>() > 100_000);
    assert!(program.finish().expect("ends").success());
}

/// The numbers of the BPF links of this machine that are made of uprobes, whoever made them.
fn uprobe_links() -> Vec<String> {
    let mut links = Vec::new();
    for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Ok(descriptors) = std::fs::read_dir(process.path().join("fdinfo")) else { continue };
        for descriptor in descriptors.flatten() {
            let Ok(info) = std::fs::read_to_string(descriptor.path()) else { continue };
            if info.lines().any(|line| line.starts_with("link_type:")) {
                links.extend(info.lines().find(|line| line.starts_with("link_id:")).map(str::to_string));
            }
        }
    }
    links.sort();
    links.dedup();
    links
}

#[test]
fn target_ends_during_attach() {
    if !rights::root_or_skip("target_ends_during_attach") {
        return;
    }
    let executable =
        Variant::release(Tokio::Latest).build(&["exits_early"]).expect("builds").program("exits_early");
    let (mut before, mut after) = (0, 0);
    // An emulated machine takes seconds to attach.
    for milliseconds in [1, 5].into_iter().chain((0..14).map(|nth| 10 << nth)) {
        if before > 0 && after > 0 && milliseconds > 640 {
            break;
        }
        let mut program = Program::start(&executable, &[&milliseconds.to_string()]).expect("starts");
        let traced = Tracer::start(program.pid(), &[]).expect("starts").finish().expect("ends");
        let status = program.finish().expect("ends by itself");
        assert_eq!(status.code(), Some(5), "after {milliseconds} ms");
        if traced.was_ready() {
            after += 1;
            assert_eq!(traced.code, Some(0), "after `ready`: {}", traced.stderr);
            assert!(traced.totals().is_some(), "the last line is not a summary");
        } else {
            before += 1;
            assert_eq!(traced.code, Some(4), "before `ready`: {}", traced.stderr);
            assert!(!traced.stderr.trim().is_empty(), "the error says what happened");
        }
    }
    assert!(before > 0 && after > 0, "{before} ended before `ready`, {after} after");
}

#[test]
fn dump_leaves_no_trace() {
    let executable = Variant::release(Tokio::Latest).build(&["tree"]).expect("builds").program("tree");
    let mut program = Program::start(&executable, &[]).expect("starts");
    program.truth().expect("tells");
    let signals = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", program.pid())).expect("runs");
        let field = |name: &str| status.lines().find(|line| line.starts_with(name)).map(str::to_string);
        (field("TracerPid"), field("SigPnd"), field("ShdPnd"), field("Threads"))
    };
    let before = signals();
    for _ in 0..3 {
        inspector::dump(program.pid()).expect("a dump");
    }
    assert_eq!(signals(), before);
    assert!(program.finish().expect("ends").success());
}
