//! The target's life is the same with and without us.

use super::{attach, by_task, drain_all};
use crate::toy::{self, Toy};
use async_inspect::trace::{ProbeMode, TraceTarget, Tracer};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// `int3`, which the kernel puts over a probed instruction.
const BREAKPOINT: u8 = 0xcc;

#[test]
fn a_killed_inspector_leaves_no_probe() {
    let mut toy = Toy::start();
    let instruction = toy.first_byte_of("toy_poll");
    assert_ne!(instruction, BREAKPOINT);
    let modes = [
        ("session", ProbeMode::Session, false),
        ("multi", ProbeMode::Multi, false),
        ("perf", ProbeMode::Perf, false),
        ("entry", ProbeMode::Auto, true),
    ];
    for (name, mode, entry_only) in modes {
        if attach(&toy, mode, entry_only).is_none() {
            continue;
        }
        wait_for(&toy, instruction, name);
        let mut inspector = Command::new(std::env::current_exe().expect("we run"))
            .args(["--exact", "harmless::a_breakpoint_is_there_while_attached", "--nocapture"])
            .env("TOY_PID", toy.pid().to_string())
            .env("TOY_MODE", name)
            .stdout(Stdio::piped())
            .spawn()
            .expect("this very test runs");
        let lines = BufReader::new(inspector.stdout.take().expect("piped")).lines();
        let attached = lines.map_while(Result::ok).any(|line| line.ends_with("ATTACHED"));
        assert!(attached, "{name}");
        assert_eq!(toy.first_byte_of("toy_poll"), BREAKPOINT, "{name}");
        toy.tell("polls 2 2 100");
        inspector.kill().expect("SIGKILL");
        inspector.wait().expect("our child");
        wait_for(&toy, instruction, name);
        toy.tell("polls 2 2 100");
    }
    assert_eq!(toy.quit().code(), Some(7));
}

/// Links are released from a queue of the kernel's, some time after the process has ended.
fn wait_for(toy: &Toy, instruction: u8, mode: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while toy.first_byte_of("toy_poll") != instruction {
        assert!(Instant::now() < deadline, "{mode}: the probe is still there");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// With the environment that `a_killed_inspector_leaves_no_probe` gives it, this is the inspector to be killed.
#[test]
fn a_breakpoint_is_there_while_attached() {
    if let (Ok(pid), Ok(mode)) = (std::env::var("TOY_PID"), std::env::var("TOY_MODE")) {
        inspect_until_killed(pid.parse().expect("a number"), &mode);
    }
    let toy = Toy::start();
    let instruction = toy.first_byte_of("toy_poll");
    let Some(tracer) = attach(&toy, ProbeMode::Auto, false) else { return };
    assert_eq!(toy.first_byte_of("toy_poll"), BREAKPOINT);
    drop(tracer);
    wait_for(&toy, instruction, "auto");
}

fn inspect_until_killed(pid: u32, mode: &str) -> ! {
    let (mode, entry_only) = match mode {
        "session" => (ProbeMode::Session, false),
        "multi" => (ProbeMode::Multi, false),
        "perf" => (ProbeMode::Perf, false),
        _ => (ProbeMode::Auto, true),
    };
    let target = TraceTarget { pid, exe: format!("/proc/{pid}/exe").into() };
    let _tracer =
        Tracer::attach(&target, &toy::plan_of(pid), mode, entry_only).expect("the parent just could");
    println!("ATTACHED");
    std::thread::sleep(Duration::from_secs(60));
    panic!("nobody killed this inspector");
}

#[test]
fn attached_and_detached_a_hundred_times_under_load() {
    let mut toy = Toy::start();
    if attach(&toy, ProbeMode::Auto, false).is_none() {
        return;
    }
    let instruction = toy.first_byte_of("toy_poll");
    let (mut polls, mut entries) = (0, 0);
    let (mut attaching, mut detaching) = (Duration::ZERO, Duration::ZERO);
    let (target, plan) = (toy.target(), toy::plan(&toy));
    for _ in 0..10 {
        // Polls go on while probes come and go.
        toy.order("busy 2 1000");
        for _ in 0..10 {
            let attach = Instant::now();
            let mut tracer =
                Tracer::attach(&target, &plan, ProbeMode::Auto, false).expect("it could just now");
            attaching += attach.elapsed();
            std::thread::sleep(Duration::from_millis(1));
            polls += by_task(&drain_all(&mut tracer)).values().map(|seen| seen.polls).sum::<u64>();
            entries += tracer.hits().entries;
            let detach = Instant::now();
            drop(tracer);
            detaching += detach.elapsed();
        }
        toy.wait_for_order();
    }
    println!(
        "{entries} entries, {polls} polls seen; to attach {:?}, to detach {:?}",
        attaching / 100,
        detaching / 100
    );
    assert!(polls > 0);
    assert_eq!(toy.first_byte_of("toy_poll"), instruction);
    assert_eq!(toy.quit().code(), Some(7));
}

#[test]
fn a_forked_child_and_another_process_of_the_same_file_are_left_alone() {
    let mut toy = Toy::start();
    let mut other = Toy::start();
    for mode in [ProbeMode::Session, ProbeMode::Multi, ProbeMode::Perf] {
        let Some(mut tracer) = attach(&toy, mode, false) else { continue };
        toy.tell("forked 100");
        other.tell("polls 2 1 100");
        assert!(drain_all(&mut tracer).is_empty(), "{mode}");
        toy.tell("polls 1 1 10");
        let seen = by_task(&drain_all(&mut tracer));
        assert_eq!(seen.values().map(|task| task.polls).sum::<u64>(), 10, "{mode}");
    }
    assert_eq!(toy.quit().code(), Some(7));
    assert_eq!(other.quit().code(), Some(7));
}

#[test]
fn a_target_under_seccomp_lives_on() {
    for mode in [ProbeMode::Session, ProbeMode::Multi, ProbeMode::Perf] {
        let mut toy = Toy::start();
        toy.tell("seccomp");
        let Some(mut tracer) = attach(&toy, mode, false) else { continue };
        // Which of the two is this kernel's matter; that the target lives is ours.
        println!("{mode}: entry only {}, {:?}", tracer.entry_only(), tracer.notes());
        assert_eq!(tracer.entry_only(), !tracer.notes().is_empty());
        toy.tell("nested 100");
        let seen = by_task(&drain_all(&mut tracer));
        assert_eq!(seen.values().map(|task| task.polls).sum::<u64>(), 200);
        drop(tracer);
        assert_eq!(toy.quit().code(), Some(7), "{mode}");
    }
}

#[test]
fn a_target_that_ends_while_traced() {
    let mut toy = Toy::start();
    let Some(mut tracer) = attach(&toy, ProbeMode::Auto, false) else { return };
    toy.tell("nested 10");
    assert_eq!(toy.quit().code(), Some(7));
    let polls: u64 = by_task(&drain_all(&mut tracer)).values().map(|task| task.polls).sum();
    assert_eq!((polls, tracer.lost()), (20, 0), "what it did before is still told");
}
