//! Futures that no task holds, and closures of the blocking pool, equal what the program itself says, in every build.

use e2e::schema::{Dump, RuntimeKind, TaskState};
use e2e::{Lto, Program, Tokio, TrueTask, Truth, Variant, build_package, compare, inspector, rights};
use std::collections::BTreeSet;

#[test]
fn as_cargo_builds() {
    check(Variant::release(Tokio::Latest));
}

#[test]
fn one_codegen_unit_split_debug_information() {
    check(Variant::in_one_unit(Tokio::Latest));
}

#[test]
fn thin_lto_panic_abort() {
    check(Variant::thin(Tokio::Latest));
}

#[test]
fn fat_lto() {
    check(Variant { lto: Lto::Fat, ..Variant::release(Tokio::Latest) });
}

#[test]
fn everything_inlined() {
    check(Variant::smallest(Tokio::Latest));
}

#[test]
fn older_tokios() {
    check(Variant::release(Tokio::V1_38));
    check(Variant::release(Tokio::V1_43));
}

/// `block_on` of other crates: what is found is right, what is not found is said.
#[test]
fn other_executors() {
    if !rights::root_or_skip("other_executors") {
        return;
    }
    let names =
        ["futures-executor", "futures-executor inside of tokio", "futures-lite", "pollster", "async-io"];
    let executable = build_package("executors", &["executors"]).expect("builds").program("executors");
    let mut program = Program::start(&executable, &[]).expect("starts");
    let mut truth = program.tasks().expect("tells");
    let mut dump = inspector::dump(program.pid()).expect("a dump");
    assert_eq!(truth.len(), names.len());
    for root in &mut truth {
        if root.runtime == 1 {
            // The inner one of two on its thread.
            let tid: u64 = root.id.parse().expect("a thread's id");
            root.id = (tid + (1 << 32)).to_string();
        }
    }
    // Tokio's own root is being polled all the while.
    dump.tasks.retain(|task| task.name.as_deref() != Some("executors::blocks_again"));
    let (found, lost): (Vec<TrueTask>, Vec<TrueTask>) =
        truth.into_iter().partition(|root| dump.tasks.iter().any(|task| task.id == root.id));
    for root in &lost {
        let said = dump.coverage.issues.iter().any(|issue| issue.contains(&format!("thread {} ", root.id)));
        assert!(said, "{}: {:?}", names[root.runtime as usize], dump.coverage.issues);
        eprintln!("{}: not found, and that is said", names[root.runtime as usize]);
    }
    let always = [0, 1, 2].iter().all(|number| found.iter().any(|root| root.runtime == *number));
    assert!(always, "{:?}", dump.coverage.issues);
    let differences = compare::of_runtime(&dump, RuntimeKind::BlockOn, &found, "executors");
    if let Some(report) = compare::report(&differences) {
        panic!("{report}");
    }
}

/// The thread that sleeps inside of its first poll: nothing of its future has been written yet.
const POLLED: &str = "roots::blocks";

fn check(variant: Variant) {
    let name = variant.name();
    if !rights::root_or_skip(&name) {
        return;
    }
    let executable = variant.build(&["roots"]).expect("builds").program("roots");
    let mut program = Program::start(&executable, &[]).expect("starts");
    let truth = program.truth().expect("tells");
    let dump = inspector::dump(program.pid()).expect("a dump");
    // With thin LTO two of the nine keep their future in no variable and no register: not found, and said.
    let lost = if variant.lto == Lto::Thin { 2 } else { 0 };
    roots(&dump, &truth, lost, &name);
    closures(&dump, &truth, &name);
}

/// All of them, with every place in them, but for the one that is being polled: it may be missing, and then that is said.
fn roots(dump: &Dump, truth: &[Truth], may_be_lost: usize, build: &str) {
    let told = truth.iter().filter_map(|line| match line {
        Truth::Task(task) if task.root => Some(task.clone()),
        _ => None,
    });
    let (polled, told): (Vec<TrueTask>, Vec<TrueTask>) = told.partition(|task| task.name == POLLED);
    assert_eq!((polled.len(), told.len()), (1, 9), "{build}");
    let polled = &polled[0];
    let mut dump = dump.clone();
    let is_root = |id: &str, kind| kind == RuntimeKind::BlockOn && id == polled.id;
    match dump.tasks.iter().position(|task| is_root(&task.id, task.runtime)) {
        Some(at) => {
            let task = dump.tasks.remove(at);
            assert_eq!(task.name.as_deref(), Some(POLLED), "{build}");
            assert!(task.state == TaskState::Running && task.stale, "{build}: {task:?}");
        }
        None => {
            let said = dump
                .coverage
                .issues
                .iter()
                .any(|issue| issue.contains(&format!("thread {} ", polled.id)) && issue.contains(POLLED));
            assert!(said, "{build}: {:?}", dump.coverage.issues);
            eprintln!("{build}: the root that is being polled is not found, and that is said");
        }
    }
    let idle = dump.tasks.iter().filter(|task| task.runtime == RuntimeKind::BlockOn);
    assert!(
        idle.clone().all(|task| task.state == TaskState::Idle),
        "{build}: {:?}",
        idle.collect::<Vec<_>>()
    );
    let found = |root: &TrueTask| dump.tasks.iter().any(|task| task.id == root.id);
    let is_said = |root: &TrueTask| {
        let thread = format!("thread {} ", root.id);
        dump.coverage.issues.iter().any(|issue| issue.contains(&thread))
    };
    let (lost, told): (Vec<TrueTask>, Vec<TrueTask>) =
        told.into_iter().partition(|root| !found(root) && is_said(root));
    assert!(lost.len() <= may_be_lost, "{build}: not found: {lost:?}");
    if !lost.is_empty() {
        eprintln!("{build}: {} roots are not found, and that is said", lost.len());
    }
    let differences = compare::of_runtime(&dump, RuntimeKind::BlockOn, &told, "roots");
    if let Some(report) = compare::report(&differences) {
        panic!("{build}: {report}issues: {:?}", dump.coverage.issues);
    }
}

/// Those that run and those that wait for a thread, and no others.
fn closures(dump: &Dump, truth: &[Truth], build: &str) {
    let word = |state: TaskState| format!("{state:?}");
    let told: BTreeSet<(String, String, String)> = truth
        .iter()
        .filter_map(|line| match line {
            Truth::Blocking { id, name, state } => Some((id.clone(), name.clone(), word(*state))),
            _ => None,
        })
        .collect();
    let tasks: BTreeSet<&str> = truth
        .iter()
        .filter_map(|line| match line {
            Truth::Task(task) if !task.root => Some(task.id.as_str()),
            _ => None,
        })
        .collect();
    let found: BTreeSet<(String, String, String)> = dump
        .tasks
        .iter()
        .filter(|task| task.runtime == RuntimeKind::Tokio && !tasks.contains(task.id.as_str()))
        .map(|task| (task.id.clone(), task.name.clone().unwrap_or_default(), word(task.state)))
        .collect();
    assert_eq!(told.len(), 6, "{build}");
    assert_eq!(found, told, "{build}");
}
