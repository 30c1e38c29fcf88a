//! What `dump` says of a core file is what it said of the process.

use e2e::{Built, Program, Tokio, Variant, cores, inspector, rights};
use serde_json::Value;
use std::fs::File;
use std::path::Path;
use std::process::Command;

const PROGRAMS: [(&str, &[&str]); 4] = [("tree", &[]), ("forever", &[]), ("many", &["300"]), ("roots", &[])];

fn built() -> Built {
    Variant::release(Tokio::Latest).build(&PROGRAMS.map(|(name, _)| name)).expect("builds")
}

/// Runs it in `directory`, until its tasks stand.
fn start(executable: &Path, arguments: &[&str], directory: &Path) -> Program {
    let mut command = Command::new(executable);
    command.args(arguments).current_dir(directory);
    let mut program = Program::spawn(command).expect("starts");
    program.truth().expect("stands");
    program
}

/// `dump --json` with these arguments, which must succeed.
fn dump(arguments: &[&str]) -> Value {
    let outcome = inspector::run(&[&["dump", "--json"], arguments].concat()).expect("runs");
    assert_eq!(outcome.code, Some(0), "{arguments:?}: {}", outcome.stderr);
    let dump: e2e::schema::Dump = serde_json::from_str(&outcome.stdout).expect("keeps to the schema");
    assert_eq!(dump.tasks.len() as u64, dump.coverage.tasks_found);
    serde_json::from_str(&outcome.stdout).expect("is JSON")
}

fn live(program: &Program) -> Value {
    dump(&[&program.pid().to_string()])
}

/// Without what is of the moment: when it was taken; and what no core file tells: how far deadlines are, and what a file
/// descriptor is but for its number.
fn lasting(dump: &Value) -> Value {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.retain(|name, _| {
                    !["deadline_in_ms", "taken_at_ns", "torn_retries"].contains(&name.as_str())
                });
                if let (true, Some(Value::String(detail))) =
                    (fields.contains_key("fd"), fields.get_mut("detail"))
                {
                    let number = detail.find(", ").unwrap_or(detail.len());
                    detail.truncate(number);
                }
                fields.values_mut().for_each(strip);
            }
            Value::Array(list) => list.iter_mut().for_each(strip),
            _ => {}
        }
    }
    let mut dump = dump.clone();
    strip(&mut dump);
    dump
}

/// All is equal: tasks, ids, trees, lines, resources, runtimes, process, program, coverage.
#[track_caller]
fn assert_same(of_core: &Value, of_process: &Value) {
    let (got, want) = (lasting(of_core), lasting(of_process));
    let pairs =
        got["tasks"].as_array().into_iter().flatten().zip(want["tasks"].as_array().into_iter().flatten());
    for (got, want) in pairs {
        assert_eq!(got, want, "a task");
    }
    assert_eq!(got, want);
    let deadlines = |dump: &Value| dump.to_string().matches("deadline_in_ms").count();
    assert_eq!(deadlines(of_core), 0, "no core file tells what time it was");
}

fn issues(dump: &Value) -> String {
    dump["coverage"]["issues"].to_string()
}

#[test]
fn gdbs_core_file_tells_what_the_process_told() {
    let test = "gdbs_core_file_tells_what_the_process_told";
    if !rights::root_or_skip(test) || !cores::gcore_or_skip(test) {
        return;
    }
    let (built, directory) = (built(), tempfile::tempdir().expect("room"));
    for (name, arguments) in PROGRAMS {
        let program = start(&built.program(name), arguments, directory.path());
        let alive = live(&program);
        let core = cores::gcore(program.pid(), directory.path()).expect("gcore works");
        assert_same(&dump(&["--core", core.to_str().expect("UTF-8")]), &alive);
        std::fs::remove_file(core).expect("is there");
    }
}

#[test]
fn the_kernels_core_file_tells_what_the_process_told() {
    let test = "the_kernels_core_file_tells_what_the_process_told";
    if !rights::root_or_skip(test) || !cores::kernel_writes_here_or_skip(test) {
        return;
    }
    let built = built();
    for (name, arguments) in PROGRAMS {
        let directory = tempfile::tempdir().expect("room");
        let mut program = start(&built.program(name), arguments, directory.path());
        let alive = live(&program);
        let core = cores::kernel_core(&mut program, directory.path()).expect("dies with a core file");
        assert_same(&dump(&["--core", core.to_str().expect("UTF-8")]), &alive);
    }
}

/// The kernel writes threads first and memory by address, so the program's own heap is there early.
#[test]
fn a_truncated_core_file_says_so_and_gives_the_rest() {
    let test = "a_truncated_core_file_says_so_and_gives_the_rest";
    if !rights::root_or_skip(test) || !cores::kernel_writes_here_or_skip(test) {
        return;
    }
    let directory = tempfile::tempdir().expect("room");
    let mut program = start(&built().program("many"), &["300"], directory.path());
    let alive = live(&program);
    let core = cores::kernel_core(&mut program, directory.path()).expect("dies with a core file");
    let whole = std::fs::metadata(&core).expect("is there").len();
    let path = core.to_str().expect("UTF-8");
    for percent in [90, 50] {
        File::options().write(true).open(&core).expect("opens").set_len(whole / 100 * percent).expect("cut");
        let cut = dump(&["--core", path]);
        let issues = issues(&cut);
        assert!(issues.contains("truncated") && issues.contains(&whole.to_string()), "{percent}: {issues}");
        let ids = |dump: &Value| -> Vec<String> {
            dump["tasks"].as_array().into_iter().flatten().map(|task| task["id"].to_string()).collect()
        };
        let (got, want) = (ids(&cut), ids(&alive));
        assert!(!got.is_empty() && got.iter().all(|id| want.contains(id)), "{percent}: {got:?}");
    }
    // Nothing but the beginning of the program headers.
    File::options().write(true).open(&core).expect("opens").set_len(100).expect("cut");
    let outcome = inspector::run(&["dump", "--core", path]).expect("runs");
    assert_eq!(outcome.code, Some(5), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("truncated"), "{}", outcome.stderr);
}

/// gdb writes threads and the list of files last. Without them tasks are still in memory.
#[test]
fn gdbs_truncated_core_file_wants_to_be_told_the_program() {
    let test = "gdbs_truncated_core_file_wants_to_be_told_the_program";
    if !rights::root_or_skip(test) || !cores::gcore_or_skip(test) {
        return;
    }
    let (built, directory) = (built(), tempfile::tempdir().expect("room"));
    let executable = built.program("many");
    let program = start(&executable, &["300"], directory.path());
    let alive = live(&program);
    let core = cores::gcore(program.pid(), directory.path()).expect("gcore works");
    let whole = std::fs::metadata(&core).expect("is there").len();
    File::options().write(true).open(&core).expect("opens").set_len(whole / 10 * 9).expect("cut");
    let path = core.to_str().expect("UTF-8");
    let outcome = inspector::run(&["dump", "--core", path]).expect("runs");
    assert_eq!(outcome.code, Some(5), "{}", outcome.stderr);
    assert!(
        outcome.stderr.contains("truncated") && outcome.stderr.contains("--exe FILE"),
        "{}",
        outcome.stderr
    );
    let cut = dump(&["--core", path, "--exe", executable.to_str().expect("UTF-8")]);
    let issues = issues(&cut);
    assert!(issues.contains("truncated") && issues.contains("no thread"), "{issues}");
    assert_eq!(lasting(&cut)["tasks"], lasting(&alive)["tasks"]);
    // Another program is refused, whatever one says.
    let other = built.program("forever");
    let outcome =
        inspector::run(&["dump", "--core", path, "--exe", other.to_str().expect("UTF-8")]).expect("runs");
    assert_eq!(outcome.code, Some(5), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("is not the program"), "{}", outcome.stderr);
}

#[test]
fn a_program_that_was_moved_is_named_by_hand() {
    let test = "a_program_that_was_moved_is_named_by_hand";
    if !rights::root_or_skip(test) || !cores::gcore_or_skip(test) {
        return;
    }
    let directory = tempfile::tempdir().expect("room");
    let (there, moved) = (directory.path().join("forever"), directory.path().join("moved"));
    let built = built();
    std::fs::copy(built.program("forever"), &there).expect("room");
    let program = start(&there, &[], directory.path());
    let alive = live(&program);
    let core = cores::gcore(program.pid(), directory.path()).expect("gcore works");
    std::fs::rename(&there, &moved).expect("moves");
    let path = core.to_str().expect("UTF-8");
    let exit_and_words = |arguments: &[&str]| {
        let outcome = inspector::run(&[&["dump", "--core", path], arguments].concat()).expect("runs");
        (outcome.code, outcome.stderr)
    };
    let (code, words) = exit_and_words(&[]);
    assert_eq!(code, Some(5), "{words}");
    assert!(words.contains(there.to_str().expect("UTF-8")) && words.contains("--exe FILE"), "{words}");
    assert_same(&dump(&["--core", path, "--exe", moved.to_str().expect("UTF-8")]), &alive);
    let (code, words) = exit_and_words(&["--exe", built.program("tree").to_str().expect("UTF-8")]);
    assert_eq!(code, Some(5), "{words}");
    assert!(words.contains("is not the program"), "{words}");
}

#[test]
fn what_is_no_core_file_is_said_to_be_none() {
    let executable = built().program("forever");
    let directory = tempfile::tempdir().expect("room");
    let (text, packed) = (directory.path().join("text"), directory.path().join("packed"));
    std::fs::write(&text, "a text, and no core file at all").expect("room");
    std::fs::write(&packed, [0x28, 0xb5, 0x2f, 0xfd, 0, 0, 0, 0]).expect("room");
    let missing = directory.path().join("missing");
    let cases = [
        (&executable, 5, "is not a core file: it is a program"),
        (&text, 5, "is not an ELF file"),
        (&packed, 5, "zstd -d"),
        (&missing, 4, "No such file"),
    ];
    for (file, code, words) in cases {
        let outcome = inspector::run(&["dump", "--core", file.to_str().expect("UTF-8")]).expect("runs");
        assert_eq!(outcome.code, Some(code), "{}", outcome.stderr);
        assert!(outcome.stderr.contains(words) && outcome.stderr.contains("try:"), "{}", outcome.stderr);
    }
}
