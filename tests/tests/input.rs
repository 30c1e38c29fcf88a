//! Wrong or unusual targets: a clear error and the right exit code, never a crash, never a guess.

use e2e::inspector::{Outcome, run, run_command};
use e2e::schema::Dump;
use e2e::{Built, Program, Strip, Tokio, TrueTask, Variant, build_package, compare, inspector, rights};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn plain() -> Built {
    Variant::release(Tokio::Latest).build(&["tree", "forever", "current_thread"]).expect("builds")
}

fn ready(executable: &Path) -> Program {
    let mut program = Program::start(executable, &[]).expect("starts");
    program.truth().expect("gets ready");
    program
}

/// Every command that takes a target answers alike: a code, words on stderr that say what to do, nothing on stdout.
fn refuses(commands: &[&[&str]], target: &str, code: i32) {
    for command in commands {
        let outcome = run(&[*command, &[target]].concat()).expect("runs");
        assert_eq!(outcome.code, Some(code), "{command:?} {target}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(':'), "{command:?} {target} says why: {:?}", outcome.stderr);
        assert!(!outcome.stderr.contains("panicked"), "{}", outcome.stderr);
        assert!(outcome.stdout.is_empty(), "{command:?} {target} printed {:?}", outcome.stdout);
    }
}

const LOOKS: [&[&str]; 3] = [&["dump"], &["dump", "--json"], &["attach", "--plain", "-d", "1"]];

#[test]
fn no_such_process() {
    refuses(&LOOKS, "999999999", 4);
    refuses(&LOOKS, "no-process-has-such-a-name", 4);
    refuses(&[&["check"]], "999999999", 4);
}

#[test]
fn usage() {
    for wrong in [
        &["dump"][..],
        &["frobnicate"],
        &["dump", "--no-such-flag", "1"],
        &["attach", "-d", "soon", "1"],
        &[],
    ] {
        let outcome = run(wrong).expect("runs");
        assert_eq!(outcome.code, Some(2), "{wrong:?}: {}", outcome.stderr);
        assert!(outcome.stderr.contains("--help"), "{wrong:?} tells where to look: {}", outcome.stderr);
    }
}

#[test]
fn ambiguous_name() {
    let executable = plain().program("forever");
    let directory = tempfile::tempdir().expect("a directory");
    let place = directory.path().join("twin-program");
    fs::copy(executable, &place).expect("copies");
    let (one, other) = (ready(&place), ready(&place));
    let outcome = run(&["dump", "twin-program"]).expect("runs");
    assert_eq!(outcome.code, Some(2), "{}", outcome.stderr);
    for pid in [one.pid(), other.pid()] {
        assert!(outcome.stderr.contains(&pid.to_string()), "candidate {pid} is listed: {}", outcome.stderr);
    }
    drop(other);
    if rights::root_or_skip("ambiguous_name, a name that is unique") {
        let outcome = run(&["dump", "--json", "twin-program"]).expect("runs");
        assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
        let dump: Dump = serde_json::from_str(&outcome.stdout).expect("keeps to its schema");
        assert_eq!(dump.pid, one.pid());
    }
}

#[test]
fn kernel_thread() {
    // kthreadd, where this is not a container.
    match fs::read_to_string("/proc/2/comm") {
        Ok(name) if name == "kthreadd\n" => refuses(&LOOKS, "2", 5),
        _ => rights::skipped("kernel_thread", "no kernel thread can be seen from here"),
    }
}

#[test]
fn c_program() {
    if !rights::root_or_skip("c_program") {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let executable = directory.path().join("sleeper");
    let source = e2e::workspace().join("tests/targets/plain/sleeper.c");
    let compiled = Command::new("cc").arg("-g").arg(source).arg("-o").arg(&executable).status();
    assert!(compiled.expect("a C compiler").success());
    let program = ready(&executable);
    refuses(&LOOKS, &program.pid().to_string(), 5);
}

#[test]
fn rust_without_a_runtime() {
    if !rights::root_or_skip("rust_without_a_runtime") {
        return;
    }
    let executable = build_package("plain", &["no_runtime"]).expect("builds").program("no_runtime");
    let program = ready(&executable);
    refuses(&LOOKS, &program.pid().to_string(), 5);
}

fn dump_of(variant: Variant, name: &str) -> (Dump, Outcome, Vec<TrueTask>) {
    let executable = variant.build(&[name]).expect("builds").program(name);
    let mut program = Program::start(&executable, &[]).expect("starts");
    let truth = program.tasks().expect("tells");
    let outcome = run(&["dump", "--json", &program.pid().to_string()]).expect("runs");
    assert_eq!(outcome.code, Some(0), "{}: {}", variant.name(), outcome.stderr);
    assert!(!outcome.stderr.trim().is_empty(), "{} is worth a warning", variant.name());
    let dump = serde_json::from_str(&outcome.stdout).expect("keeps to its schema");
    (dump, outcome, truth)
}

/// The same ids, whatever else is known.
fn same_ids(dump: &Dump, truth: &[TrueTask]) {
    let mut found: Vec<&str> = dump.tasks.iter().map(|task| task.id.as_str()).collect();
    let mut expected: Vec<&str> = truth.iter().map(|task| task.id.as_str()).collect();
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
}

#[test]
fn stripped() {
    if !rights::root_or_skip("stripped") {
        return;
    }
    let variant = Variant { strip: Strip::Symbols, ..Variant::release(Tokio::Latest) };
    let (dump, _, truth) = dump_of(variant, "forever");
    same_ids(&dump, &truth);
    assert_eq!(dump.coverage.tasks_decoded, 0, "nothing tells where a task stands");
    assert!(dump.tasks.iter().all(|task| task.r#await.is_none() && task.location.is_none()));
}

#[test]
fn without_debug_info() {
    if !rights::root_or_skip("without_debug_info") {
        return;
    }
    let variant = Variant { debug: 0, ..Variant::release(Tokio::Latest) };
    let (dump, _, truth) = dump_of(variant, "forever");
    same_ids(&dump, &truth);
    assert!(dump.tasks.iter().all(|task| task.r#await.is_none()));
}

/// A health check that cannot see is not healthy, and says so; nor is one of a task that is not there.
#[test]
fn a_health_check_that_cannot_see() {
    if !rights::root_or_skip("a_health_check_that_cannot_see") {
        return;
    }
    let variant = Variant { debug: 0, ..Variant::release(Tokio::Latest) };
    let bare = ready(&variant.build(&["forever"]).expect("builds").program("forever"));
    let plain = ready(&plain().program("forever"));
    let check = |pid: u32, more: &[&str]| {
        let pid = pid.to_string();
        run(&[&["-q", "diagnose", "-d", "0", &*pid], more].concat()).expect("runs")
    };
    for lints in ["deadlock", "all"] {
        let outcome = check(bare.pid(), &["--fail-on", lints]);
        assert_eq!(outcome.code, Some(5), "{outcome:?}");
        assert!(outcome.stdout.contains("but what tasks await is not known"), "{outcome:?}");
        assert!(outcome.stderr.contains("async-inspect check"), "{outcome:?}");
    }
    // The same program, with types.
    assert_eq!(check(plain.pid(), &["--fail-on", "deadlock"]).code, Some(1));
    assert_eq!(check(plain.pid(), &["--fail-on", "futurelock"]).code, Some(0));
    // What threads sleep in shows without types.
    assert_eq!(check(bare.pid(), &["--fail-on", "blocking-call"]).code, Some(0));
    let missing = check(plain.pid(), &["--task", "987654321"]);
    assert_eq!(missing.code, Some(74), "{missing:?}");
}

#[test]
fn debug_1_has_names_but_no_places() {
    if !rights::root_or_skip("debug_1") {
        return;
    }
    let variant = Variant { debug: 1, ..Variant::release(Tokio::Latest) };
    let (dump, _, truth) = dump_of(variant, "forever");
    same_ids(&dump, &truth);
    for expected in truth {
        let task = dump.tasks.iter().find(|task| task.id == expected.id).expect("same ids");
        assert_eq!(task.name.as_deref(), Some(expected.name.as_str()), "task {}", task.id);
        assert!(task.r#await.is_none(), "no types, so no states");
    }
}

#[test]
fn no_rights() {
    if !rights::root_or_skip("no_rights") {
        return;
    }
    let program = ready(&plain().program("forever"));
    for look in LOOKS {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--inh-caps=-all"]);
        command.arg(readable_by_all().path().join("async-inspect")).args(look).arg(program.pid().to_string());
        let outcome = run_command(command).expect("setpriv is part of util-linux");
        assert_eq!(outcome.code, Some(3), "{look:?}: {}", outcome.stderr);
        assert!(outcome.stderr.contains("sudo") || outcome.stderr.contains("CAP_"), "{}", outcome.stderr);
    }
}

/// The workspace may lie where only root may look; a copy of the tool lies where everybody may.
fn readable_by_all() -> &'static tempfile::TempDir {
    static DIRECTORY: std::sync::OnceLock<tempfile::TempDir> = std::sync::OnceLock::new();
    DIRECTORY.get_or_init(|| {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().expect("a directory");
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("ours");
        fs::copy(inspector::executable(), directory.path().join("async-inspect")).expect("copies");
        directory
    })
}

/// Root without what BPF takes still dumps; attach says that it samples instead.
#[test]
fn without_bpf_rights() {
    if !rights::root_or_skip("without_bpf_rights") {
        return;
    }
    let executable = plain().program("forever");
    let mut program = Program::start(&executable, &[]).expect("starts");
    let truth = program.tasks().expect("tells");
    let less = |arguments: &[&str]| {
        let mut command = Command::new("setpriv");
        command.arg("--bounding-set=-sys_admin,-bpf,-perfmon").arg("--inh-caps=-sys_admin,-bpf,-perfmon");
        command.arg(inspector::executable()).args(arguments).arg(program.pid().to_string());
        run_command(command).expect("setpriv is part of util-linux")
    };
    let outcome = less(&["dump", "--json"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let dump: Dump = serde_json::from_str(&outcome.stdout).expect("keeps to its schema");
    assert_eq!(compare::report(&compare::tasks(&dump, &truth, "forever")), None);
    let outcome = less(&["attach", "--plain", "-d", "2"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("snapshot"), "says that it falls back: {}", outcome.stderr);
}

/// Damaged copies of a real program, as debug info and as the thing to check.
#[test]
fn damaged_debug_info() {
    if !rights::root_or_skip("damaged_debug_info") {
        return;
    }
    let executable = plain().program("forever");
    let whole = fs::read(&executable).expect("is there");
    let program = ready(&executable);
    let pid = program.pid().to_string();
    let directory = tempfile::tempdir().expect("a directory");
    for (nth, bytes) in damaged(&whole).enumerate() {
        let file = directory.path().join(format!("damaged-{nth}"));
        fs::write(&file, bytes).expect("there is room");
        let file_name = file.to_str().expect("plain ASCII");
        for arguments in [&["dump", "--json", "--debuginfo", file_name, &pid][..], &["check", file_name]] {
            let outcome = run(arguments).expect("ends in time");
            assert!(
                matches!(outcome.code, Some(0 | 5 | 74)),
                "{arguments:?}: {:?} {}",
                outcome.code,
                outcome.stderr
            );
            assert!(!outcome.stderr.contains("panicked"), "{arguments:?}: {}", outcome.stderr);
        }
        fs::remove_file(file).expect("is ours");
    }
}

/// Cut short, emptied, and with bytes changed in the headers and all over, the same way every time.
fn damaged(whole: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    let cuts =
        [0, 3, 16, 63, 64, 1000, whole.len() / 10, whole.len() / 2, whole.len() - 100, whole.len() - 1];
    let cut = cuts.into_iter().map(|length| whole[..length].to_vec());
    let headers = (0..8).map(|seed| {
        let mut bytes = whole.to_vec();
        let section_headers = bytes.len().saturating_sub(4096);
        scramble(&mut bytes[..1024], seed, 20);
        scramble(&mut bytes[section_headers..], seed, 20);
        bytes
    });
    let everywhere = (0..8).map(|seed| {
        let mut bytes = whole.to_vec();
        scramble(&mut bytes[1024..], seed, 200_000);
        bytes
    });
    cut.chain(headers).chain(everywhere)
}

/// Changes so many bytes, by a linear congruential generator.
fn scramble(bytes: &mut [u8], seed: u64, changes: u32) {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1);
    for _ in 0..changes {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let place = (state >> 33) as usize % bytes.len();
        bytes[place] = (state >> 13) as u8;
    }
}

/// Debug info of another build of the same program is refused, and said to be.
#[test]
fn debug_info_of_another_build() {
    if !rights::root_or_skip("debug_info_of_another_build") {
        return;
    }
    let other = Variant::in_one_unit(Tokio::Latest).build(&["forever"]).expect("builds").program("forever");
    let stripped = Variant { strip: Strip::Symbols, ..Variant::release(Tokio::Latest) };
    let program = ready(&stripped.build(&["forever"]).expect("builds").program("forever"));
    let other = other.to_str().expect("plain ASCII");
    let outcome = run(&["dump", "--json", "--debuginfo", other, &program.pid().to_string()]).expect("runs");
    assert!(matches!(outcome.code, Some(0 | 5)), "{:?}: {}", outcome.code, outcome.stderr);
    if outcome.code == Some(0) {
        let dump: Dump = serde_json::from_str(&outcome.stdout).expect("keeps to its schema");
        assert!(dump.tasks.iter().all(|task| task.r#await.is_none()), "decoded with another build's layouts");
    }
    assert!(outcome.stderr.contains("does not describe"), "says why it is not used: {}", outcome.stderr);
}

fn copied(executable: &Path, directory: &Path) -> PathBuf {
    let place = directory.join(executable.file_name().expect("a program has a name"));
    fs::copy(executable, &place).expect("there is room");
    place
}

#[test]
fn executable_deleted_or_replaced() {
    if !rights::root_or_skip("executable_deleted_or_replaced") {
        return;
    }
    let built = plain();
    let directory = tempfile::tempdir().expect("a directory");
    for replace in [false, true] {
        let executable = copied(&built.program("forever"), directory.path());
        let mut program = Program::start(&executable, &[]).expect("starts");
        let truth = program.tasks().expect("tells");
        fs::remove_file(&executable).expect("is ours");
        if replace {
            fs::copy(built.program("current_thread"), &executable).expect("there is room");
        }
        let dump = inspector::dump(program.pid()).expect("a dump");
        assert_eq!(compare::report(&compare::tasks(&dump, &truth, "forever")), None, "replaced: {replace}");
    }
}
