//! Is what was decoded what the program says of itself?
//!
//! A decoded tree has more nodes than the truth: what belongs to tokio or std, hand-written futures, combinators and leaves.
//! Taking those out, each replaced by what it awaits, must leave the truth and nothing else.

use crate::schema::{Dump, Node, NodeKind, RuntimeKind, Task};
use crate::{TrueNode, TrueTask};
use std::collections::HashMap;
use std::fmt;

/// One way in which a dump is wrong.
#[derive(Clone, Debug)]
pub struct Difference(String);

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Compares every task, both ways: none may be missing, none invented.
pub fn tasks(dump: &Dump, truth: &[TrueTask], crate_name: &str) -> Vec<Difference> {
    of_runtime(dump, RuntimeKind::Tokio, truth, crate_name)
}

/// Compares every task of one kind.
pub fn of_runtime(dump: &Dump, kind: RuntimeKind, truth: &[TrueTask], crate_name: &str) -> Vec<Difference> {
    let mut differences = Vec::new();
    let mut decoded: HashMap<(RuntimeKind, &str), &Task> = HashMap::new();
    let roots = kind == RuntimeKind::BlockOn;
    for task in dump.tasks.iter().filter(|task| (task.runtime == RuntimeKind::BlockOn) == roots) {
        if decoded.insert((task.runtime, &task.id), task).is_some() {
            differences.push(Difference(format!("task {} is listed twice", task.id)));
        }
    }
    for expected in truth {
        let key = key_of(&decoded, expected);
        match key.and_then(|key| decoded.remove(&key)) {
            None => {
                differences.push(Difference(format!("task {} {} is missing", expected.id, expected.name)));
            }
            Some(task) => differences.extend(task_differs(task, expected, crate_name)),
        }
    }
    for task in decoded.values().filter(|task| task.runtime == RuntimeKind::Tokio || is_own(task, crate_name))
    {
        let name = task.name.as_deref().unwrap_or("?");
        differences.push(Difference(format!("task {} {name} does not exist", task.id)));
    }
    differences
}

/// The same of a program whose runtimes start tasks of their own, which are not in its truth.
pub fn own_tasks(dump: &Dump, truth: &[TrueTask], crate_name: &str) -> Vec<Difference> {
    let mut dump = dump.clone();
    dump.tasks.retain(|task| is_own(task, crate_name));
    tasks(&dump, truth, crate_name)
}

/// Where the runtime prints no ids, a task is told by its name.
fn key_of<'d>(
    decoded: &HashMap<(RuntimeKind, &'d str), &'d Task>,
    expected: &TrueTask,
) -> Option<(RuntimeKind, &'d str)> {
    let same = |task: &Task| match expected.id.as_str() {
        "" => task.name.as_deref().is_some_and(|name| names_match(name, &expected.tree)),
        id => task.id == id,
    };
    let wanted = if expected.root { RuntimeKind::BlockOn } else { expected.kind };
    let of_kind = decoded.iter().filter(|((kind, _), _)| *kind == wanted);
    of_kind.filter(|(_, task)| same(task)).map(|(key, _)| *key).min_by_key(|(_, id)| *id)
}

fn is_own(task: &Task, crate_name: &str) -> bool {
    task.name
        .as_deref()
        .and_then(|name| name.strip_prefix(crate_name))
        .is_some_and(|rest| rest.starts_with("::"))
}

/// Types of the innermost futures of a task, without their parameters.
pub fn leaves(task: &Task) -> Vec<&str> {
    fn collect<'n>(node: &'n Node, out: &mut Vec<&'n str>) {
        if node.awaiting.is_empty() {
            out.push(node.r#type.split('<').next().unwrap_or_default());
        }
        node.awaiting.iter().for_each(|child| collect(child, out));
    }
    let mut out = Vec::new();
    task.r#await.iter().for_each(|node| collect(node, &mut out));
    out
}

/// None when there is no difference, else all of them for a panic's message.
pub fn report(differences: &[Difference]) -> Option<String> {
    const SHOWN: usize = 25;
    if differences.is_empty() {
        return None;
    }
    let mut text = format!("{} differences from the program's own truth:\n", differences.len());
    for difference in differences.iter().take(SHOWN) {
        text.push_str(&format!("{difference}\n"));
    }
    if differences.len() > SHOWN {
        text.push_str("…\n");
    }
    Some(text)
}

fn task_differs(task: &Task, expected: &TrueTask, crate_name: &str) -> Option<Difference> {
    let want = [outline_of_truth(&expected.tree)];
    let got = task.r#await.as_ref().map(|node| outlines(node, crate_name)).unwrap_or_default();
    let name = task.name.as_deref().unwrap_or("?");
    let leaf = expected.leaf.as_deref().filter(|leaf| leaves(task) != [*leaf]);
    if names_match(name, &expected.tree) && same(&got, &want) && !task.stale && leaf.is_none() {
        return None;
    }
    if let Some(leaf) = leaf {
        return Some(Difference(format!(
            "task {} {name} ends in {:?}, not in {leaf}",
            task.id,
            leaves(task)
        )));
    }
    let stale = if task.stale { " (stale)" } else { "" };
    let (want, got) = (line_up(&want), line_up(&got));
    Some(Difference(format!("task {} {name}{stale}\n  want:\n{want}  got:\n{got}", task.id)))
}

/// The part of a tree that is compared.
#[derive(Clone, Debug)]
struct Outline {
    names: Vec<String>,
    file: String,
    line: u32,
    awaiting: Vec<Outline>,
}

fn outline_of_truth(node: &TrueNode) -> Outline {
    Outline {
        names: [Some(&node.function), node.or.as_ref()].into_iter().flatten().cloned().collect(),
        file: node.file.trim_start_matches("../").to_string(),
        line: node.line,
        awaiting: node.awaiting.iter().map(outline_of_truth).collect(),
    }
}

/// What is left of a decoded tree, without all that is not an async fn, block or closure of this crate.
fn outlines(node: &Node, crate_name: &str) -> Vec<Outline> {
    let awaiting = node.awaiting.iter().flat_map(|child| outlines(child, crate_name)).collect();
    let coroutine = matches!(node.kind, NodeKind::AsyncFn | NodeKind::AsyncBlock | NodeKind::AsyncClosure);
    let own = node
        .function
        .trim_start_matches('<')
        .strip_prefix(crate_name)
        .is_some_and(|rest| rest.starts_with("::"));
    if !(coroutine && own) {
        return awaiting;
    }
    vec![Outline {
        names: vec![node.function.clone()],
        file: node.file.clone().unwrap_or_default(),
        line: node.line.unwrap_or(0),
        awaiting,
    }]
}

fn names_match(decoded: &str, truth: &TrueNode) -> bool {
    decoded == truth.function || truth.or.as_deref() == Some(decoded)
}

/// The order of siblings means nothing: `select!` begins anywhere.
fn same(decoded: &[Outline], truth: &[Outline]) -> bool {
    let sorted = |outlines: &[Outline]| {
        let mut outlines = outlines.to_vec();
        outlines.sort_by_key(|outline| (outline.line, outline.names[0].clone()));
        outlines
    };
    decoded.len() == truth.len()
        && sorted(decoded).iter().zip(&sorted(truth)).all(|(decoded, truth)| {
            truth.names.contains(&decoded.names[0])
                && decoded.line == truth.line
                && (decoded.file == truth.file || decoded.file.ends_with(&format!("/{}", truth.file)))
                && same(&decoded.awaiting, &truth.awaiting)
        })
}

/// For people: one line per node, indented.
fn line_up(outlines: &[Outline]) -> String {
    fn write(outlines: &[Outline], depth: usize, text: &mut String) {
        for Outline { names, file, line, awaiting } in outlines {
            text.push_str(&format!(
                "    {:depth$}{} {file}:{line}\n",
                "",
                names.join(" or "),
                depth = 2 * depth
            ));
            write(awaiting, depth + 1, text);
        }
    }
    let mut text = String::new();
    write(outlines, 0, &mut text);
    text
}
