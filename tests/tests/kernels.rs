//! What a kernel lets us do: which probes are chosen, what its verifier makes of the programs, and the refusal of one that is
//! too old. `cargo xtask vm` runs this on several.

use async_inspect::target::{Avma, FileOffset};
use async_inspect::trace::{
    self, CausePlan, CauseProbe, NONE, ProbeMode, SitePlan, TracePlan, TraceTarget, Tracer,
};
use e2e::schema::Line;
use e2e::tracer::Tracer as Attach;
use e2e::{Program, Tokio, Variant, inspector, rights};
use object::{Object as _, ObjectSegment as _};
use std::io::Write as _;
use std::time::Duration;

/// The mode that must be chosen, or `refused`; set by who knows the kernel.
const EXPECTED: &str = "E2E_PROBE_MODE";
/// The kernel takes a million; a program that nears it is refused by the next kernel, whose verifier counts otherwise.
const MOST_VERIFIED: u32 = 250_000;

/// What `attach` must choose here.
fn expected() -> String {
    std::env::var(EXPECTED).unwrap_or_else(|_| {
        let modes = trace::features().expect("this kernel has probes of some kind");
        modes[0].to_string()
    })
}

fn counts() -> Program {
    let executable = Variant::release(Tokio::Latest).build(&["counts"]).expect("builds").program("counts");
    let mut program = Program::start(&executable, &["even"]).expect("starts");
    program.truth().expect("waits");
    program
}

/// Past the harness's capture: it is a report as well as a test.
fn report(line: &str) {
    let _ = writeln!(std::io::stderr(), "\nkernel: {line}");
}

#[test]
fn attach_chooses_the_best_probes_or_refuses() {
    if !rights::root_or_skip("attach_chooses_the_best_probes_or_refuses") {
        return;
    }
    let expected = expected();
    let program = counts();
    if expected == "refused" {
        refuses(&program.pid().to_string());
    } else {
        let attach = Attach::start(program.pid(), &["-d", "1"]).expect("starts").finish().expect("ends");
        assert_eq!(attach.code, Some(0), "{}", attach.stderr);
        let mode = attach.lines.iter().find_map(|line| match line {
            Line::Start { mode, .. } => Some(mode.as_str()),
            _ => None,
        });
        report(&format!("attach uses {}", mode.unwrap_or("nothing")));
        assert_eq!(mode, Some(expected.as_str()));
    }
    let dump = inspector::dump(program.pid()).expect("dump works on every kernel");
    assert!(!dump.tasks.is_empty(), "tasks wait to be told to go");
}

/// Probes that were asked for by name are refused; else there are snapshots, and a word why.
fn refuses(pid: &str) {
    let asked = inspector::run(&[
        "attach",
        "--json",
        "--max-overhead",
        "100",
        "-d",
        "1",
        "--probe-mode",
        "perf",
        pid,
    ])
    .expect("runs");
    assert_eq!(asked.code, Some(6), "probes on a kernel that is too old: {}", asked.stderr);
    for word in ["kernel", "async-inspect dump"] {
        assert!(asked.stderr.contains(word), "the refusal does not say {word:?}: {}", asked.stderr);
    }
    let attach =
        inspector::run(&["attach", "--json", "--max-overhead", "100", "-d", "1", pid]).expect("runs");
    assert_eq!(attach.code, Some(0), "{}", attach.stderr);
    assert!(attach.stdout.contains("\"mode\":\"snapshots\""), "{}", attach.stdout);
    assert!(attach.stderr.contains("taking snapshots instead"), "{}", attach.stderr);
    report("attach refuses to probe, and takes snapshots");
}

#[test]
fn the_verifier_is_content() {
    if !rights::root_or_skip("the_verifier_is_content") {
        return;
    }
    let expected = expected();
    let modes = trace::probe_modes();
    for (mode, outcome) in &modes {
        match outcome {
            Ok(()) => verified(*mode),
            Err(why) => report(&format!("{mode}: {why}")),
        }
    }
    let works = modes.iter().any(|(_, outcome)| outcome.is_ok());
    assert_eq!(works, expected != "refused", "{modes:?}");
}

/// Each program that a mode needs, and how far the verifier went through it. That does not depend on what is probed.
fn verified(mode: ProbeMode) {
    for entry_only in [false, true] {
        // A session has no entries alone.
        if entry_only && mode == ProbeMode::Session {
            continue;
        }
        let ourselves = TraceTarget { pid: std::process::id(), exe: "/proc/self/exe".into() };
        let site = SitePlan {
            offset: first_instruction(),
            // It is not run again.
            address: Avma(0),
            name: "start".into(),
            root: NONE,
            id_offset: NONE,
        };
        let probe = CauseProbe { offset: first_instruction(), ..CauseProbe::default() };
        let one = || vec![probe];
        let (wakes, spawns, ends, panics, drops) = (one(), one(), one(), one(), one());
        let causes = CausePlan { wakes, spawns, ends, panics, drops, ..CausePlan::default() };
        let long_after = Some(Duration::from_millis(10));
        let plan = TracePlan { sites: vec![site], causes, long_after, ..TracePlan::default() };
        let tracer = Tracer::attach(&ourselves, &plan, mode, entry_only).expect("it worked a moment ago");
        let names: Vec<&str> = tracer.verified().iter().map(|(name, _)| *name).collect();
        // Of drops there would be a perf event for each kind of task.
        let multi = mode != ProbeMode::Perf;
        for cause in ["task_wake", "task_spawn", "task_end", "panicked"]
            .into_iter()
            .chain(multi.then_some("task_drop"))
        {
            assert!(names.contains(&cause), "{mode}: {cause} was not loaded, but {names:?}");
        }
        // The starts of polls alone tell no time.
        assert_eq!(names.contains(&"ticked"), !entry_only, "{mode}: {names:?}, {:?}", tracer.notes());
        assert_eq!(names.contains(&"switched"), !entry_only, "{mode}: {names:?}, {:?}", tracer.notes());
        for (program, instructions) in tracer.verified() {
            report(&format!("{mode}: {program} verified in {instructions} instructions"));
            // Before 5.16 the kernel does not say; it has no probes of ours either.
            assert!(instructions > 0, "{program}: the kernel does not say");
            assert!(instructions <= MOST_VERIFIED, "{program}: {instructions} are too near to a million");
        }
    }
}

/// Code of ours that will not run again.
fn first_instruction() -> FileOffset {
    let bytes = std::fs::read("/proc/self/exe").expect("it can be read");
    let file = object::File::parse(&*bytes).expect("it is ELF");
    let entry = file.entry();
    let holds =
        |segment: &object::Segment| (segment.address()..segment.address() + segment.size()).contains(&entry);
    let segment = file.segments().find(holds).expect("it has code");
    FileOffset(entry - segment.address() + segment.file_range().0)
}
