//! `analyze --sizes -f json`, schema 1.

use super::json::SCHEMA;
use super::machine_json::{PartJson, kind, role_word, state_word, suspend_point};
use super::outline_json::bounds;
use crate::decode::SourceLine;
use crate::outline::{
    Change, FutureChange, FutureSize, Held, PartKey, SizeChanges, Sizes, StateKind, TaskSize, Twice,
};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{self, Write};

#[derive(Serialize)]
struct SizesJson<'a> {
    schema: u32,
    futures: Vec<FutureJson<'a>>,
    tasks: Vec<TaskJson<'a>>,
    bounds: BTreeMap<&'static str, u64>,
}

#[derive(Serialize)]
struct FutureJson<'a> {
    function: &'a str,
    kind: &'static str,
    file: Option<&'a str>,
    line: Option<u32>,
    size: u64,
    align: u64,
    padding: u64,
    partial: bool,
    made_with: Vec<PartJson<'a>>,
    /// The state with most bytes in use.
    fullest: Option<FullestJson<'a>>,
    /// Futures that lie in it.
    holds: Vec<HeldJson<'a>>,
    /// Arguments that have two places.
    kept_twice: Vec<TwiceJson<'a>>,
}

#[derive(Serialize)]
struct FullestJson<'a> {
    #[serde(flatten)]
    at: AtJson<'a>,
    in_use: u64,
    parts: Vec<PartJson<'a>>,
}

#[derive(Serialize)]
struct AtJson<'a> {
    state: &'static str,
    suspend_point: Option<u32>,
    file: Option<&'a str>,
    line: Option<u32>,
}

#[derive(Serialize)]
struct HeldJson<'a> {
    function: &'a str,
    name: Option<&'a str>,
    kind: &'static str,
    size: u64,
    #[serde(flatten)]
    at: AtJson<'a>,
}

#[derive(Serialize)]
struct TwiceJson<'a> {
    name: &'a str,
    r#type: &'a str,
    size: u64,
    /// `local`, or `awaited`: a future of its type, perhaps another one.
    again: &'static str,
    file: Option<&'a str>,
    line: Option<u32>,
}

#[derive(Serialize)]
struct TaskJson<'a> {
    name: &'a str,
    flavor: Option<&'a str>,
    /// Of the task's allocation.
    size: u64,
    align: u64,
    future_size: u64,
    /// Of the second allocation, where the future is boxed.
    boxed_size: Option<u64>,
}

/// `deps`: also what is not the user's own.
pub fn write(out: &mut impl Write, sizes: &Sizes, deps: bool) -> io::Result<()> {
    let futures: Vec<&FutureSize> = if deps { sizes.futures.iter().collect() } else { sizes.own().collect() };
    let json = SizesJson {
        schema: SCHEMA,
        futures: futures.into_iter().map(FutureJson::from).collect(),
        tasks: sizes.tasks.iter().map(TaskJson::from).collect(),
        bounds: bounds(&sizes.bounds),
    };
    finish(out, &json)
}

impl<'a> From<&'a FutureSize> for FutureJson<'a> {
    fn from(future: &'a FutureSize) -> FutureJson<'a> {
        let machine = &future.machine;
        FutureJson {
            function: &machine.function,
            kind: kind(machine.kind),
            file: machine.place.as_ref().map(|place| &*place.file),
            line: machine.place.as_ref().map(|place| place.line),
            size: machine.size,
            align: machine.align,
            padding: machine.padding,
            partial: machine.is_partial,
            made_with: machine.made_with.iter().map(PartJson::from).collect(),
            fullest: machine.fullest().map(|state| FullestJson {
                at: at(state.kind, state.place.as_ref()),
                in_use: state.in_use,
                parts: state.saved.iter().map(PartJson::from).collect(),
            }),
            holds: future.held.iter().map(HeldJson::from).collect(),
            kept_twice: future.twice.iter().map(TwiceJson::from).collect(),
        }
    }
}

fn at(state: StateKind, place: Option<&SourceLine>) -> AtJson<'_> {
    AtJson {
        state: state_word(state),
        suspend_point: suspend_point(state),
        file: place.map(|place| &*place.file),
        line: place.map(|place| place.line),
    }
}

impl<'a> From<&'a Held> for HeldJson<'a> {
    fn from(held: &'a Held) -> HeldJson<'a> {
        HeldJson {
            function: &held.function,
            name: held.name.as_deref(),
            kind: role_word(held.role),
            size: held.bytes,
            at: at(held.state, held.place.as_ref()),
        }
    }
}

impl<'a> From<&'a Twice> for TwiceJson<'a> {
    fn from(twice: &'a Twice) -> TwiceJson<'a> {
        TwiceJson {
            name: &twice.name,
            r#type: &twice.type_name,
            size: twice.bytes,
            again: role_word(twice.again),
            file: twice.place.as_ref().map(|place| &*place.file),
            line: twice.place.as_ref().map(|place| place.line),
        }
    }
}

impl<'a> From<&'a TaskSize> for TaskJson<'a> {
    fn from(task: &'a TaskSize) -> TaskJson<'a> {
        TaskJson {
            name: &task.future,
            flavor: task.flavor,
            size: task.bytes,
            align: task.align,
            future_size: task.future_bytes,
            boxed_size: task.boxed_bytes,
        }
    }
}

#[derive(Serialize)]
struct ChangesJson<'a> {
    schema: u32,
    before: &'a str,
    after: &'a str,
    in_both: usize,
    unchanged: usize,
    futures: Vec<ChangeJson<'a>>,
    tasks: Vec<ChangeJson<'a>>,
}

/// `before` or `after` is null where that build does not have it.
#[derive(Serialize)]
struct ChangeJson<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    name: &'a str,
    before: Option<u64>,
    after: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    parts: Vec<ChangeJson<'a>>,
}

/// `before` and `after`: as they were typed.
pub fn write_changes(
    out: &mut impl Write,
    changes: &SizeChanges,
    before: &str,
    after: &str,
) -> io::Result<()> {
    let json = ChangesJson {
        schema: SCHEMA,
        before,
        after,
        in_both: changes.in_both,
        unchanged: changes.unchanged,
        futures: changes.futures.iter().map(of_future).collect(),
        tasks: changes.tasks.iter().map(|change| of(change, &change.what)).collect(),
    };
    finish(out, &json)
}

fn of<'a, T>(change: &Change<T>, name: &'a str) -> ChangeJson<'a> {
    ChangeJson { kind: None, name, before: change.before, after: change.after, parts: Vec::new() }
}

fn of_future(change: &FutureChange) -> ChangeJson<'_> {
    let part = |part: &'_ Change<PartKey>| (role_word(part.what.role), part.before, part.after);
    let parts = change.parts.iter().map(|one| {
        let (kind, before, after) = part(one);
        ChangeJson { kind: Some(kind), name: &one.what.name, before, after, parts: Vec::new() }
    });
    ChangeJson { parts: parts.collect(), ..of(&change.function, &change.function.what) }
}

fn finish(out: &mut impl Write, json: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, json)?;
    out.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outline::machine_sample as sample;

    #[test]
    fn schema_1() {
        let (before, after) = (Sizes::default(), sample::sizes());
        let mut out = Vec::new();
        write(&mut out, &after, false).unwrap();
        write_changes(&mut out, &SizeChanges::of(&before, &after, false), "old/shop", "new/shop").unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap());
    }
}
