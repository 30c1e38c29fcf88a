//! `analyze --state-machine` and `--sizes` against what the program's source and its compiler say.

use e2e::inspector::{Outcome, run};
use e2e::{Lto, Program, Tokio, TrueMachine, Truth, Variant};
use serde::Deserialize;
use std::path::{Path, PathBuf};

#[derive(Debug, Deserialize)]
struct Machine {
    schema: u32,
    kind: String,
    file: String,
    line: u32,
    size: u64,
    align: u64,
    partial: bool,
    order: String,
    states: Vec<State>,
}

#[derive(Debug, Deserialize)]
struct State {
    state: String,
    line: Option<u32>,
    suspend_point: Option<u64>,
    awaiting: Option<Part>,
    kept: Vec<Part>,
    next: Vec<usize>,
}

#[derive(Debug, Deserialize)]
struct Part {
    kind: String,
    name: Option<String>,
    size: Option<u64>,
    future: Option<Future>,
}

#[derive(Debug, Deserialize)]
struct Future {
    function: String,
}

fn builds() -> [Variant; 4] {
    let base = Variant::release(Tokio::Latest);
    let fat = Variant { lto: Lto::Fat, ..base };
    [base, Variant::in_one_unit(Tokio::Latest), fat, Variant::smallest(Tokio::Latest)]
}

fn built(variant: Variant) -> (PathBuf, Vec<Truth>) {
    let executable = variant.build(&["outline_states"]).expect("builds").program("outline_states");
    let truth = Program::start(&executable, &[]).expect("starts").truth().expect("tells");
    (executable, truth)
}

fn machines(truth: &[Truth]) -> impl Iterator<Item = &TrueMachine> {
    truth.iter().filter_map(|one| match one {
        Truth::Machine(machine) => Some(machine),
        _ => None,
    })
}

fn analyze(executable: &Path, arguments: &[&str]) -> Outcome {
    let executable = executable.to_str().expect("plain ASCII");
    run(&[&["analyze", executable], arguments].concat()).expect("runs")
}

fn json<T: for<'de> Deserialize<'de>>(executable: &Path, arguments: &[&str]) -> T {
    let outcome = analyze(executable, &[arguments, &["-f", "json"]].concat());
    assert_eq!(outcome.code, Some(0), "{arguments:?}: {}", outcome.stderr);
    serde_json::from_str(&outcome.stdout).expect("keeps to its schema")
}

#[test]
fn states_are_those_of_the_source() {
    for variant in builds() {
        let (executable, truth) = built(variant);
        let mut compared = 0;
        for expected in machines(&truth) {
            let machine: Machine = json(&executable, &["--state-machine", &expected.function]);
            compare(&machine, expected, &format!("{}: {}", variant.name(), expected.function));
            compared += 1;
        }
        assert_eq!(compared, 12, "none is left out");
    }
}

fn compare(machine: &Machine, expected: &TrueMachine, what: &str) {
    assert_eq!(machine.schema, 1);
    assert!(machine.file.ends_with("/outline_states.rs"), "{what}: {}", machine.file);
    let head = (machine.line, machine.size, machine.align);
    assert_eq!(head, (expected.line, expected.size, expected.align), "{what}: line, size, align");
    let block = expected.function.contains("{async_block#");
    assert_eq!(machine.kind, if block { "async block" } else { "async fn" }, "{what}");
    let words: Vec<&str> = machine.states.iter().map(|state| &*state.state).collect();
    let awaits = vec!["suspended"; expected.awaits.len()];
    assert_eq!(words, [&["unresumed"], &awaits[..], &["returned", "panicked"]].concat(), "{what}");
    let suspended = machine.states.iter().filter(|state| state.state == "suspended");
    for (nth, (state, expected)) in suspended.zip(&expected.awaits).enumerate() {
        let what = format!("{what}, await {nth}");
        assert_eq!(state.suspend_point, Some(nth as u64), "{what}");
        assert_eq!(state.line, Some(expected.line), "{what}");
        let awaiting = state.awaiting.as_ref().expect("something is awaited");
        let future = awaiting.future.as_ref().map(|future| &*future.function);
        assert_eq!((future, awaiting.size), (Some(&*expected.awaiting), Some(expected.size)), "{what}");
        kept(state, &expected.kept, machine.partial, &what);
    }
    ways(machine, expected, what);
}

/// Every local that is kept is told, with its bytes; where two have one name one of them may be told without.
fn kept(state: &State, expected: &[(String, u64)], partial: bool, what: &str) {
    let locals = state.kept.iter().filter(|part| part.kind == "local");
    let mut found: Vec<(&str, Option<u64>)> =
        locals.map(|part| (part.name.as_deref().expect("a name"), part.size)).collect();
    let mut left: Vec<&(String, u64)> = expected.iter().collect();
    found.sort_by_key(|(name, size)| (*name, size.is_none()));
    for (name, size) in found {
        let same = |one: &&(String, u64)| one.0 == name && size.is_none_or(|size| size == one.1);
        let at = left.iter().position(same);
        let at = at.unwrap_or_else(|| panic!("{what}: `{name}` of {size:?} bytes is not kept: {expected:?}"));
        let (name, _) = left.remove(at);
        let several = expected.iter().filter(|(other, _)| other == name).count() > 1;
        assert!(size.is_some() || several && partial, "{what}: `{name}`");
    }
    assert!(left.is_empty(), "{what}: {left:?} is kept as well");
}

/// What can follow what is all that was seen. The code of what awaits nothing need not be understood.
fn ways(machine: &Machine, expected: &TrueMachine, what: &str) {
    assert!(machine.order == "control_flow" || expected.awaits.is_empty(), "{what}: {}", machine.order);
    let name = |state: &State| match (&*state.state, state.line) {
        ("unresumed", _) => "start".to_owned(),
        ("suspended", Some(line)) => line.to_string(),
        (word, _) => word.to_owned(),
    };
    let of = |state: &State| {
        let from = name(state);
        state.next.iter().map(|to| (from.clone(), name(&machine.states[*to]))).collect::<Vec<_>>()
    };
    let mut found: Vec<(String, String)> = machine.states.iter().flat_map(of).collect();
    let mut ways = expected.ways.clone();
    found.sort();
    ways.sort();
    assert_eq!(found, ways, "{what}, by {}", machine.order);
}

#[derive(Debug, Deserialize)]
struct Sizes {
    futures: Vec<FutureSize>,
    tasks: Vec<TaskSize>,
}

#[derive(Debug, Deserialize)]
struct FutureSize {
    function: String,
    size: u64,
    padding: u64,
    kept_twice: Vec<Twice>,
    holds: Vec<Held>,
}

#[derive(Debug, Deserialize)]
struct Twice {
    name: String,
    size: u64,
    again: String,
}

#[derive(Debug, Deserialize)]
struct Held {
    function: String,
    name: Option<String>,
    size: u64,
}

#[derive(Debug, Deserialize)]
struct TaskSize {
    name: String,
    size: u64,
    align: u64,
    future_size: u64,
    boxed_size: Option<u64>,
}

fn without_parameters(function: &str) -> &str {
    function.split('<').next().unwrap_or(function)
}

#[test]
fn sizes_are_the_compilers() {
    for variant in builds() {
        let (executable, truth) = built(variant);
        let what = variant.name();
        let sizes: Sizes = json(&executable, &["--sizes"]);
        let find = |function: &str| {
            let mut found = sizes.futures.iter().filter(|one| without_parameters(&one.function) == function);
            let one = found.next().unwrap_or_else(|| panic!("{what}: {function}"));
            assert!(found.next().is_none(), "{what}: {function} once");
            one
        };
        for expected in machines(&truth) {
            assert_eq!(find(&expected.function).size, expected.size, "{what}: {}", expected.function);
        }
        let names: Vec<&str> = sizes.futures.iter().map(|one| without_parameters(&one.function)).collect();
        // `around` tells of nothing but `inlined`.
        assert_eq!(names.len(), machines(&truth).count() + 1, "{what}: none is invented: {names:?}");
        let bytes: Vec<u64> = sizes.futures.iter().map(|one| one.size).collect();
        assert!(bytes.is_sorted_by(|a, b| a >= b), "{what}");

        let chain = find("outline_states::chain");
        let twice = |of: &FutureSize| -> Vec<(String, u64, String)> {
            of.kept_twice.iter().map(|one| (one.name.clone(), one.size, one.again.clone())).collect()
        };
        let local = || "local".to_owned();
        assert_eq!(twice(chain), [("first".into(), 100, local()), ("second".into(), 8, local())], "{what}");
        assert!(chain.padding < 16, "{what}: {}", chain.padding);
        assert_eq!(twice(find("outline_states::twice")), [("work".into(), chain.size, local())], "{what}");
        let held = |of: &FutureSize| -> Vec<(String, Option<String>, u64)> {
            let named = of.holds.iter().filter(|held| held.function == "outline_states::chain");
            named.map(|held| (held.function.clone(), held.name.clone(), held.size)).collect()
        };
        let of_chain =
            |name: Option<&str>| ("outline_states::chain".into(), name.map(str::to_owned), chain.size);
        assert_eq!(held(find("outline_states::outer")), [of_chain(None)], "{what}");
        let mut later = held(find("outline_states::later"));
        later.sort();
        assert_eq!(later, [of_chain(None), of_chain(Some("work"))], "{what}");
        tasks(&sizes.tasks, &truth, &what);
    }
}

/// What one spawned task takes is what the allocator was asked for.
fn tasks(found: &[TaskSize], truth: &[Truth], what: &str) {
    let mut compared = 0;
    for expected in truth {
        let Truth::TaskSize { name, size, align, future, boxed } = expected else { continue };
        let is_it = |task: &&TaskSize| task.name == *name;
        let task = found.iter().find(is_it).unwrap_or_else(|| panic!("{what}: {name} in {found:?}"));
        assert_eq!((task.size, task.align, task.boxed_size), (*size, *align, *boxed), "{what}: {name}");
        // Of a box the pointer.
        let future = if boxed.is_some() { 8 } else { *future };
        assert_eq!(task.future_size, future, "{what}: {name}");
        compared += 1;
    }
    assert_eq!(compared, 3, "{what}");
}

#[derive(Debug, Deserialize)]
struct Changes {
    in_both: usize,
    unchanged: usize,
    futures: Vec<Change>,
    tasks: Vec<Change>,
}

#[derive(Debug, Deserialize)]
struct Change {
    name: String,
    before: Option<u64>,
    after: Option<u64>,
    #[serde(default)]
    parts: Vec<Change>,
}

/// One of the two builds has a larger buffer in one function.
#[test]
fn what_became_larger_between_two_builds() {
    let (after, new) = built(Variant::release(Tokio::Latest));
    let (before, old) = built(Variant::release(Tokio::V1_38));
    let heavy = |truth: &[Truth]| {
        machines(truth).find(|one| one.function == "outline_states::heavy").expect("is told").size
    };
    let changes: Changes = json(&after, &["--sizes", "--against", before.to_str().expect("plain ASCII")]);
    let [change] = &changes.futures[..] else { panic!("{:?}", changes.futures) };
    let sizes = (change.before, change.after);
    assert_eq!((&*change.name, sizes), ("outline_states::heavy", (Some(heavy(&old)), Some(heavy(&new)))));
    let [buffer] = &change.parts[..] else { panic!("{:?}", change.parts) };
    assert_eq!((&*buffer.name, buffer.before, buffer.after), ("buffer", Some(30_000), Some(20_000)));
    assert_eq!(changes.in_both, machines(&new).count() + 1);
    assert_eq!(changes.unchanged, changes.in_both - 1);
    let task = changes.tasks.iter().find(|task| task.name == "outline_states::heavy").expect("its task too");
    let spawned = |truth: &[Truth]| {
        truth.iter().find_map(|one| match one {
            Truth::TaskSize { name, size, boxed, .. } if name == "outline_states::heavy" => {
                Some(size + boxed.unwrap_or(0))
            }
            _ => None,
        })
    };
    assert_eq!((task.before, task.after), (spawned(&old), spawned(&new)));
}

#[test]
fn a_name_must_be_one_function() {
    let (executable, truth) = built(Variant::release(Tokio::Latest));
    let ask = |wanted: &str| analyze(&executable, &["--state-machine", wanted]);
    let line =
        machines(&truth).find(|one| one.function.ends_with("::rounds")).expect("is told").awaits[0].line;
    let by_place = ask(&format!("src/outline_states.rs:{line}"));
    assert!(by_place.stdout.starts_with("async fn outline_states::rounds "), "{}", by_place.stdout);
    let several = ask("outline_states::");
    assert_eq!((several.code, &*several.stdout), (Some(2), ""));
    for function in
        ["outline_states::chain", "outline_states::heavy", "outline_states::block::{async_block#0}"]
    {
        assert!(several.stderr.contains(function), "{}", several.stderr);
    }
    let none = ask("no_such_function");
    assert_eq!((none.code, &*none.stdout), (Some(2), ""));
    assert!(none.stderr.contains("--sizes"), "{}", none.stderr);
    let drawn = analyze(&executable, &["--sizes", "-f", "dot"]);
    assert_eq!((drawn.code, &*drawn.stdout), (Some(2), ""));
}
