//! Where a target may be, and how its debug info may be kept; and what a dump looks like at scale.

use e2e::inspector::{self, run};
use e2e::schema::{Dump, RuntimeKind, TaskState};
use e2e::{Program, Tokio, TrueTask, Truth, Variant, compare, rights};
use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::Command;

fn plain(name: &str) -> std::path::PathBuf {
    Variant::release(Tokio::Latest).build(&[name]).expect("builds").program(name)
}

fn same(dump: &Dump, truth: &[TrueTask], crate_name: &str) {
    if let Some(differences) = compare::report(&compare::tasks(dump, truth, crate_name)) {
        panic!("{differences}");
    }
}

fn dump_with(arguments: &[&str]) -> Dump {
    let outcome = run(&[&["dump", "--json"], arguments].concat()).expect("runs");
    assert_eq!(outcome.code, Some(0), "{arguments:?}: {}", outcome.stderr);
    serde_json::from_str(&outcome.stdout).expect("keeps to its schema")
}

/// A target in a PID and mount namespace of its own, under another root.
#[test]
fn other_namespaces() {
    if !rights::root_or_skip("other_namespaces") {
        return;
    }
    let mut command = Command::new("unshare");
    command.args(["--pid", "--mount", "--fork", "--kill-child", "--mount-proc"]).arg(plain("forever"));
    let mut program = Program::spawn(command).expect("unshare is part of util-linux");
    let truth = program.tasks().expect("tells");
    let children = format!("/proc/{0}/task/{0}/children", program.pid());
    let child = fs::read_to_string(children).expect("unshare runs").trim().to_string();
    same(&dump_with(&[&child]), &truth, "forever");
}

/// Debug info split off by objcopy: named by a debuglink, or by --debuginfo.
#[test]
fn separate_debug_info() {
    if !rights::root_or_skip("separate_debug_info") {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let executable = directory.path().join("forever");
    let debug = directory.path().join("forever.debug");
    fs::copy(plain("forever"), &executable).expect("there is room");
    objcopy(&["--only-keep-debug"], &executable, Some(&debug));
    objcopy(&["--strip-all"], &executable, None);
    let mut program = Program::start(&executable, &[]).expect("starts");
    let truth = program.tasks().expect("tells");
    let file = debug.to_str().expect("plain ASCII");
    same(&dump_with(&["--debuginfo", file, &program.pid().to_string()]), &truth, "forever");
    drop(program);

    objcopy(&[&format!("--add-gnu-debuglink={file}")], &executable, None);
    let mut program = Program::start(&executable, &[]).expect("starts");
    let truth = program.tasks().expect("tells");
    same(&dump_with(&[&program.pid().to_string()]), &truth, "forever");
}

fn objcopy(options: &[&str], from: &Path, to: Option<&Path>) {
    let status = Command::new("objcopy").args(options).arg(from).args(to).status().expect("binutils");
    assert!(status.success(), "objcopy {options:?}");
}

#[test]
fn not_position_independent() {
    if !rights::root_or_skip("not_position_independent") {
        return;
    }
    let executable = Variant::thin(Tokio::Latest).build(&["tree"]).expect("builds").program("tree");
    let mut program = Program::start(&executable, &[]).expect("starts");
    let truth = program.tasks().expect("tells");
    same(&inspector::dump(program.pid()).expect("a dump"), &truth, "tree");
}

#[test]
fn every_runtime_is_told() {
    if !rights::root_or_skip("every_runtime_is_told") {
        return;
    }
    let mut program = Program::start(&plain("many_runtimes"), &[]).expect("starts");
    let truth = program.tasks().expect("tells");
    let dump = inspector::dump(program.pid()).expect("a dump");
    same(&dump, &truth, "many_runtimes");
    let tokio = dump.runtimes.iter().filter(|runtime| runtime.kind == RuntimeKind::Tokio);
    let mut sizes: Vec<(&str, u64)> =
        tokio.map(|runtime| (runtime.flavor.as_deref().unwrap_or("?"), runtime.tasks)).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [("current_thread", 3), ("multi_thread", 3), ("multi_thread", 3)]);
    // The futures that its threads block on are found beside them.
    let roots = dump.tasks.iter().filter(|task| task.runtime == RuntimeKind::BlockOn).count() as u64;
    assert!(roots > 0, "{:?}", dump.coverage.issues);
    assert_eq!(dump.coverage.tasks_found, 9 + roots);
    assert_eq!(dump.coverage.tasks_decoded, 9 + roots);
}

/// A location is the innermost await of the program's own code.
#[test]
fn location_is_the_innermost_own_await() {
    if !rights::root_or_skip("location_is_the_innermost_own_await") {
        return;
    }
    let mut program = Program::start(&plain("tree"), &[]).expect("starts");
    let truth = program.tasks().expect("tells");
    let dump = inspector::dump(program.pid()).expect("a dump");
    let by_id: HashMap<&str, _> = dump.tasks.iter().map(|task| (task.id.as_str(), task)).collect();
    for expected in truth {
        let mut innermost = &expected.tree;
        while let [only] = innermost.awaiting.as_slice() {
            innermost = only;
        }
        if !innermost.awaiting.is_empty() {
            // Several branches: any of them may be named.
            continue;
        }
        let task = by_id[expected.id.as_str()];
        assert_eq!(task.state, TaskState::Idle, "task {}", task.id);
        let location = task.location.as_ref().unwrap_or_else(|| panic!("task {} has no location", task.id));
        assert_eq!(location.line, innermost.line, "task {} {}", task.id, expected.name);
        assert!(location.file.ends_with(innermost.file.trim_start_matches("../")), "{}", location.file);
    }
}

/// A tokio with `tokio_unstable` keeps the place of each spawn; another does not.
#[test]
fn where_tasks_were_spawned() {
    if !rights::root_or_skip("where_tasks_were_spawned") {
        return;
    }
    for variant in [Variant::thin(Tokio::Latest), Variant::release(Tokio::Latest)] {
        let executable = variant.build(&["spawned"]).expect("builds").program("spawned");
        let mut program = Program::start(&executable, &[]).expect("starts");
        let truth = program.truth().expect("tells");
        let dump = inspector::dump(program.pid()).expect("a dump");
        assert_eq!(truth.len(), 3);
        for one in truth {
            let Truth::Spawned { id, line } = one else { panic!("unexpected truth {one:?}") };
            let task = dump.tasks.iter().find(|task| task.id == id).expect("every task is there");
            let told = task.spawned_at.as_ref().map(|at| (at.line, at.file.ends_with("src/spawned.rs")));
            assert_eq!(told, variant.unstable.then_some((line, true)), "{}: task {id}", variant.name());
        }
    }
}

/// What each task of the leaves waits for, as the program itself says.
#[test]
fn resources_are_named() {
    if !rights::root_or_skip("resources_are_named") {
        return;
    }
    for tokio in Tokio::ALL {
        let executable = Variant::release(tokio).build(&["tree"]).expect("builds").program("tree");
        let mut program = Program::start(&executable, &[]).expect("starts");
        let truth = program.tasks().expect("tells");
        let dump = inspector::dump(program.pid()).expect("a dump");
        let mut told = 0;
        for expected in truth {
            let Some(kind) = expected.waits_for else { continue };
            let task = dump.tasks.iter().find(|task| task.id == expected.id).expect("every task is there");
            let kinds: Vec<&str> = task.waiting_on.iter().flatten().map(|on| on.kind.as_str()).collect();
            assert_eq!(kinds, [kind], "{tokio:?}: {}", expected.name);
            told += 1;
        }
        assert_eq!(told, 17, "{tokio:?}: tasks that wait for something with a name");
    }
}

/// 100,000 tasks: every one in the JSON, a few lines with counts in the text.
#[test]
fn many_tasks() {
    if !rights::root_or_skip("many_tasks") {
        return;
    }
    let mut program = Program::start(&plain("many"), &["100000"]).expect("starts");
    let truth = program.truth().expect("tells");
    let mut dump = inspector::dump(program.pid()).expect("a dump");
    dump.tasks.retain(|task| task.runtime == RuntimeKind::Tokio);
    assert_eq!(dump.tasks.len(), 100_000);
    let mut standing: HashMap<(String, String, u32), u64> = HashMap::new();
    for task in &dump.tasks {
        let name = task.name.clone().expect("full debug info");
        let location = task.location.as_ref().expect("a suspended task stands somewhere");
        let file = location.file.rsplit('/').next().expect("a file has a name").to_string();
        *standing.entry((name, file, location.line)).or_default() += 1;
    }
    for place in truth {
        let Truth::Place { name, line, tasks, .. } = place else { panic!("unexpected truth {place:?}") };
        assert_eq!(
            standing.remove(&(name.clone(), "many.rs".to_string(), line)),
            Some(tasks),
            "{name}:{line}"
        );
    }
    assert!(standing.is_empty(), "tasks at places that do not exist: {standing:?}");

    let text = run(&["dump", &program.pid().to_string()]).expect("runs");
    assert_eq!(text.code, Some(0), "{}", text.stderr);
    assert!(text.stdout.lines().count() < 60, "{} lines for three places", text.stdout.lines().count());
    for name in ["many::sleeper", "many::session", "many::worker"] {
        assert!(text.stdout.contains(name), "{name} is named in:\n{}", text.stdout);
    }
    let share = ["33333", "33334", "33,333", "33,334", "33 333", "33 334"];
    assert!(share.iter().any(|count| text.stdout.contains(count)), "counts are told in:\n{}", text.stdout);
}

/// The filter and a single task's card.
#[test]
fn filter_and_task() {
    if !rights::root_or_skip("filter_and_task") {
        return;
    }
    let mut program = Program::start(&plain("tree"), &[]).expect("starts");
    let truth = program.tasks().expect("tells");
    let pid = program.pid().to_string();
    let wanted = truth.iter().filter(|task| task.name.contains("three_")).count();
    let dump = dump_with(&["--filter", "three_(selects|joins)", &pid]);
    assert_eq!(dump.tasks.len(), wanted);
    let outer = truth.iter().find(|task| task.name == "tree::nested::outer").expect("the first task");
    let dump = dump_with(&["--task", &outer.id, &pid]);
    assert_eq!(dump.tasks.len(), 1);
    let card = run(&["dump", "--task", &outer.id, &pid]).expect("runs");
    assert_eq!(card.code, Some(0), "{}", card.stderr);
    for (word, line) in
        [("tree::nested::outer", outer.tree.line), ("inner", outer.tree.awaiting[0].awaiting[0].line)]
    {
        assert!(card.stdout.contains(word) && card.stdout.contains(&format!(":{line}")), "{}", card.stdout);
    }
    let none = run(&["dump", "--task", "987654321", &pid]).expect("runs");
    assert_ne!(none.code, Some(0), "a task that does not exist is not a success: {}", none.stdout);
}
