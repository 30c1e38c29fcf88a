//! Collections and combinators of futures: every future in them is shown, and how many there are.

use e2e::inspector::{self, run};
use e2e::schema::{Dump, Node, NodeKind, Task};
use e2e::{Lto, Mangling, Panic, Program, Tokio, TrueTask, Variant, compare, rights};
use std::collections::BTreeSet;

/// Of a collection of more futures than this not all are shown.
const SHOWN: usize = 1000;

fn builds() -> [Variant; 2] {
    let plain = Variant::release(Tokio::Latest);
    let small =
        Variant { lto: Lto::Fat, codegen_units: 1, panic: Panic::Abort, mangling: Mangling::V0, ..plain };
    [plain, small]
}

/// The program in this build, and what it says of itself.
fn started(variant: &Variant) -> (Program, Vec<TrueTask>) {
    let built = variant.build_package("futures", &["collections"]).expect("builds");
    let mut program = Program::start(&built.program("collections"), &[]).expect("starts");
    let truth = program.tasks().expect("tells");
    (program, truth)
}

fn task<'d>(dump: &'d Dump, of: &TrueTask) -> &'d Task {
    dump.tasks.iter().find(|task| task.id == of.id).expect("every task is there")
}

/// Nodes of a type, wherever they are in the tree.
fn of_type<'n>(node: &'n Node, part: &str, found: &mut Vec<&'n Node>) {
    if node.r#type.split('<').next().is_some_and(|head| head.ends_with(part)) {
        found.push(node);
    }
    node.awaiting.iter().chain(&node.held).for_each(|child| of_type(child, part, found));
}

fn only<'n>(task: &'n Task, part: &str) -> &'n Node {
    let mut found = Vec::new();
    of_type(task.r#await.as_ref().expect("a tree"), part, &mut found);
    assert_eq!(found.len(), 1, "{part} in {:?}", task.r#await);
    found[0]
}

#[test]
fn futures_of_collections_are_shown() {
    if !rights::root_or_skip("futures_of_collections_are_shown") {
        return;
    }
    for variant in builds() {
        let (program, mut truth) = started(&variant);
        let mut dump = inspector::dump(program.pid()).expect("a dump");
        assert_eq!(dump.coverage.tasks_decoded, truth.len() as u64, "{}: trees are whole", variant.name());
        let (large, all): (Vec<_>, Vec<_>) =
            truth.drain(..).partition(|task| task.tree.awaiting.len() > SHOWN);
        assert!(all.len() > 100 && large.len() == 2, "{} and {} tasks", all.len(), large.len());
        dump.tasks.retain(|task| large.iter().all(|large| large.id != task.id));
        if let Some(differences) = compare::report(&compare::tasks(&dump, &all, "collections")) {
            panic!("{}: {differences}", variant.name());
        }
    }
}

#[test]
fn counts_are_exact() {
    if !rights::root_or_skip("counts_are_exact") {
        return;
    }
    let mut told = 0;
    for variant in builds() {
        let (program, truth) = started(&variant);
        let dump = inspector::dump(program.pid()).expect("a dump");
        for expected in &truth {
            let many = expected.tree.awaiting.len() as u64;
            let (collection, many) = match expected.name.trim_start_matches("collections::") {
                "lists::unordered" => ("FuturesUnordered", many),
                "lists::ordered" | "lists::buffered" => ("FuturesUnordered", many),
                "lists::joins_all" if many > 30 => ("FuturesUnordered", many),
                "lists::joins_all" if many > 0 => ("JoinAll", many),
                "lists::for_each" | "lists::two_kinds" => ("FuturesUnordered", many),
                "lists::selects_all" => ("SelectAll", many),
                "lists::selects_ok" => ("SelectOk", many),
                "lists::ring" => ("Ring", many),
                "lists::kept" => ("FuturesUnordered", 3),
                "streams::maps_of_streams" => ("StreamMap", many),
                _ => continue,
            };
            if many == 0 && expected.name != "collections::lists::for_each" {
                // An empty one ends at once.
                continue;
            }
            let node = only(task(&dump, expected), collection);
            assert_eq!(node.kind, NodeKind::Combinator, "{}", expected.name);
            assert_eq!(node.children, Some(many), "{}: {}", variant.name(), expected.name);
            let all = node.awaiting.len() as u64 == many;
            assert!(all || many > SHOWN as u64, "{}: {} are shown", expected.name, node.awaiting.len());
            told += 1;
        }
    }
    assert!(told >= 2 * 24, "{told} collections");
}

/// A set of tasks says how many there are, and which.
#[test]
fn join_sets_are_counted() {
    if !rights::root_or_skip("join_sets_are_counted") {
        return;
    }
    let (program, truth) = started(&builds()[0]);
    let dump = inspector::dump(program.pid()).expect("a dump");
    let sets = truth.iter().filter(|task| task.name == "collections::tasks::join_set");
    let is_joined = |task: &&TrueTask| task.name == "collections::tasks::joined";
    let mut members: BTreeSet<String> = truth.iter().filter(is_joined).map(|task| task.id.clone()).collect();
    let mut counts = Vec::new();
    for expected in sets {
        let task = task(&dump, expected);
        let mut found = Vec::new();
        of_type(task.r#await.as_ref().expect("a tree"), "JoinSet", &mut found);
        // The empty one is no longer waited for.
        let [set] = *found else { continue };
        assert_eq!(set.kind, NodeKind::Leaf);
        counts.extend(set.children);
        let mut joined = BTreeSet::new();
        for on in task.waiting_on.iter().flatten() {
            assert_eq!(on.kind, "join");
            joined.extend(on.task.clone());
        }
        assert_eq!(Some(joined.len() as u64), set.children, "each of them is waited for");
        assert!(joined.iter().all(|id| members.remove(id)), "{joined:?} are in one set each");
    }
    counts.sort_unstable();
    assert_eq!(counts, [1, 3, 40]);
    assert_eq!(members.len(), 3, "those of the tracker are in no set");
}

#[test]
fn equal_futures_are_one_line() {
    if !rights::root_or_skip("equal_futures_are_one_line") {
        return;
    }
    let (program, truth) = started(&builds()[0]);
    let card = |name: &str, many: usize| {
        let is = |task: &&TrueTask| task.name.ends_with(name) && task.tree.awaiting.len() == many;
        let id = &truth.iter().find(is).expect("is there").id;
        let outcome = run(&["dump", "--task", id, &program.pid().to_string()]).expect("runs");
        assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
        outcome.stdout
    };
    let two = card("lists::two_kinds", 20);
    for part in ["FuturesUnordered (20 futures)", "16 × collections::wait", "4 × collections::lists::other"]
    {
        assert!(two.contains(part), "{part} in:\n{two}");
    }
    let large = card("lists::unordered", 3000);
    assert!(large.contains("FuturesUnordered (3,000 futures, 1,024 shown)"), "{large}");
    assert!(large.contains("1,024 × collections::wait"), "{large}");
    assert!(large.lines().count() < 20, "{large}");
}
