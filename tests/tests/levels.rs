//! Each level of debug information gives the most it can, says which level it is, and what to add for more.

use e2e::inspector::{Outcome, run};
use e2e::schema::{DebugInfo, Dump};
use e2e::{Lto, Program, Strip, Tokio, TrueTask, Variant, compare, rights};
use std::path::{Path, PathBuf};
use std::process::Command;

fn latest() -> Variant {
    Variant::release(Tokio::Latest)
}

struct Looked {
    dump: Dump,
    truth: Vec<TrueTask>,
    stderr: String,
}

fn built(variant: Variant, name: &str) -> PathBuf {
    variant.build(&[name]).expect("builds").program(name)
}

fn started(executable: &Path) -> (Program, Vec<TrueTask>) {
    let mut program = Program::start(executable, &[]).expect("starts");
    let truth = program.tasks().expect("tells");
    (program, truth)
}

fn dump(program: &Program, more: &[&str]) -> Outcome {
    run(&[&["dump", "--json", &program.pid().to_string()], more].concat()).expect("runs")
}

fn look(executable: &Path) -> Looked {
    let (program, truth) = started(executable);
    let outcome = dump(&program, &[]);
    assert_eq!(outcome.code, Some(0), "{}: {}", executable.display(), outcome.stderr);
    let dump: Dump = serde_json::from_str(&outcome.stdout).expect("keeps to its schema");
    assert_eq!(dump.tasks.len(), truth.len(), "{}: none is missing, none invented", executable.display());
    Looked { dump, truth, stderr: outcome.stderr }
}

impl Looked {
    /// What the program calls a task, and what we call it.
    fn names(&self) -> impl Iterator<Item = (&TrueTask, &str)> {
        self.truth.iter().map(|truth| {
            let task = self.dump.tasks.iter().find(|task| task.id == truth.id).expect("same ids");
            assert!(task.r#await.is_none(), "no types, so no states");
            (truth, task.name.as_deref().expect("a name, or ? and an address"))
        })
    }

    fn says_what_to_add(&self, level: DebugInfo, words: &str) {
        assert_eq!(self.dump.debuginfo, level);
        assert!(self.stderr.contains(words) && self.stderr.contains("`debug = 2`"), "{}", self.stderr);
    }
}

fn is_called(truth: &TrueTask, name: &str) -> bool {
    name == truth.name || truth.tree.or.as_deref() == Some(name)
}

/// The root is a trait object: its task's type is a box, and what is in the box takes memory and types to tell.
fn is_object(name: &str) -> bool {
    name.starts_with("core::pin::Pin<alloc::boxed::Box<") && name.contains("dyn ")
}

/// debug=1 and line tables name every task as the program itself does, also where poll functions were inlined.
#[test]
fn names_out_of_functions() {
    if !rights::root_or_skip("names_out_of_functions") {
        return;
    }
    let fat = Variant { lto: Lto::Fat, codegen_units: 1, ..latest() };
    for base in [latest(), fat] {
        for variant in [Variant { debug: 1, ..base }, Variant { line_tables: true, ..base }] {
            for program in ["forever", "tree"] {
                let looked = look(&built(variant, program));
                looked.says_what_to_add(DebugInfo::Names, "no types");
                let named = looked.names().filter(|(_, name)| !is_object(name));
                let (right, wrong): (Vec<_>, Vec<_>) =
                    named.partition(|(truth, name)| is_called(truth, name));
                eprintln!("{} {program}: {} of {} named", variant.name(), right.len(), looked.truth.len());
                assert!(right.len() * 2 >= looked.truth.len());
                assert!(wrong.is_empty(), "{} {program}: {wrong:?}", variant.name());
            }
        }
    }
}

/// The last part of a path that a symbol has as well: without generic arguments, blocks and closures.
fn bare(path: &str) -> String {
    let mut depth = 0usize;
    let plain: String = path
        .chars()
        .filter(|c| {
            depth += usize::from(*c == '<');
            let keep = depth == 0;
            depth -= usize::from(*c == '>' && depth > 0);
            keep
        })
        .collect();
    plain.split("::").filter(|part| !part.is_empty() && !part.contains('{')).last().unwrap_or("").to_owned()
}

/// What a build without debug information has, but for the time it takes; and but for what rustc folds there, which the builds are
/// looked at for that are made so.
fn without_debug_info(executable: &Path, directory: &Path) -> PathBuf {
    let bare = directory.join(executable.file_name().expect("a program has a name"));
    let status = Command::new("objcopy").arg("--strip-debug").arg(executable).arg(&bare).status();
    assert!(status.expect("binutils").success(), "objcopy of {}", executable.display());
    bare
}

/// Without debug information symbols tell: one name, which is right, or several, of which one is.
#[test]
fn names_out_of_symbols() {
    if !rights::root_or_skip("names_out_of_symbols") {
        return;
    }
    let bare_build = Variant { debug: 0, ..latest() };
    let fat = Variant { lto: Lto::Fat, codegen_units: 1, ..bare_build };
    let directory = tempfile::tempdir().expect("room");
    let v0 = |name| without_debug_info(&built(Variant::in_one_unit(Tokio::Latest), name), directory.path());
    for program in ["forever", "tree"] {
        let ways = [("plain", built(bare_build, program)), ("fat", built(fat, program)), ("v0", v0(program))];
        for (way, executable) in ways {
            let looked = look(&executable);
            looked.says_what_to_add(DebugInfo::Symbols, "symbols only");
            let (mut certain, mut wrong) = (0, Vec::new());
            for (truth, name) in looked.names() {
                let wanted: Vec<String> = [Some(&truth.name), truth.tree.or.as_ref()]
                    .into_iter()
                    .flatten()
                    .map(|n| bare(n))
                    .collect();
                let right = |name: &str| wanted.contains(&bare(name));
                match name.strip_prefix("one of: ") {
                    Some(several) => {
                        // `…`: a name that was folded away is not among them.
                        if !several.ends_with('…') && !several.split(", ").any(right) {
                            wrong.push((truth.name.clone(), name.to_owned()));
                        }
                    }
                    None if name.starts_with('?') || is_object(name) => {}
                    None if right(name) => certain += 1,
                    None => wrong.push((truth.name.clone(), name.to_owned())),
                }
            }
            assert!(wrong.is_empty(), "{way} {program}: {wrong:?}");
            eprintln!("{way} {program}: {certain} of {} named", looked.truth.len());
            assert!(certain * 4 >= looked.truth.len(), "{way} {program}: {certain} named");
        }
    }
}

/// The future whose only name is that of an equal function is not called by it.
#[test]
fn folded_functions_are_told_as_ambiguous() {
    if !rights::root_or_skip("folded_functions_are_told_as_ambiguous") {
        return;
    }
    let looked = look(&built(Variant { debug: 0, ..latest() }, "forever"));
    for (truth, name) in looked.names() {
        // Both are a `pending` that is dropped alike.
        let alike = ["forever::waker_dropped", "forever::forgot_the_waker"].contains(&truth.name.as_str());
        assert_eq!(name.starts_with("one of: "), alike, "{}: {name}", truth.name);
        assert!(name.contains(&truth.name), "{}: {name}", truth.name);
    }
}

#[test]
fn stripped_says_so() {
    if !rights::root_or_skip("stripped_says_so") {
        return;
    }
    let looked = look(&built(Variant { strip: Strip::Symbols, ..latest() }, "forever"));
    looked.says_what_to_add(DebugInfo::None, "stripped");
    assert!(looked.names().all(|(_, name)| name.starts_with('?')));
}

/// A stripped program and its twin are the same code: the twin gives everything.
#[test]
fn a_twin_of_a_stripped_program_gives_whole_trees() {
    if !rights::root_or_skip("a_twin_of_a_stripped_program") {
        return;
    }
    let twin = built(latest(), "tree");
    let (program, truth) = started(&built(Variant { strip: Strip::Symbols, ..latest() }, "tree"));
    let outcome = dump(&program, &["--debuginfo", twin.to_str().expect("UTF-8")]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let dump: Dump = serde_json::from_str(&outcome.stdout).expect("keeps to its schema");
    assert_eq!(dump.debuginfo, DebugInfo::Full);
    assert_eq!(compare::report(&compare::tasks(&dump, &truth, "tree")), None);
}

/// rustc emits other code with debug information than without: such a twin is refused, and what differs is said.
#[test]
fn a_twin_with_other_code_is_refused() {
    if !rights::root_or_skip("a_twin_with_other_code_is_refused") {
        return;
    }
    for plain in [Variant { debug: 0, ..latest() }, Variant { debug: 1, ..latest() }] {
        let twin = built(Variant { twin: true, ..plain }, "forever");
        let (program, _) = started(&built(plain, "forever"));
        let outcome = dump(&program, &["--debuginfo", twin.to_str().expect("UTF-8")]);
        assert_eq!(outcome.code, Some(5), "{}: {}", plain.name(), outcome.stderr);
        let why = ["it is no twin", "build-id", "does not describe"];
        assert!(why.iter().all(|words| outcome.stderr.contains(words)), "{}", outcome.stderr);
    }
}
