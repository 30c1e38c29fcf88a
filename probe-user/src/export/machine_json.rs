//! `analyze --state-machine -f json`, schema 1.

use super::json::SCHEMA;
use crate::decode::SourceLine;
use crate::outline::{FunctionKind, Machine, Order, Part, Role, State, StateKind};
use crate::present::source::SourceText;
use serde::Serialize;
use std::io::{self, Write};

#[derive(Serialize)]
struct MachineJson<'a> {
    schema: u32,
    function: &'a str,
    kind: &'static str,
    file: Option<&'a str>,
    line: Option<u32>,
    size: u64,
    align: u64,
    /// Bytes that no state uses.
    padding: u64,
    /// Some local of some state is not described: `padding` is then the most it can be.
    partial: bool,
    discriminant: Option<DiscriminantJson>,
    /// `control_flow` or `source`.
    order: &'static str,
    /// Why it is `source`.
    #[serde(skip_serializing_if = "Option::is_none")]
    order_reason: Option<&'a str>,
    made_with: Vec<PartJson<'a>>,
    states: Vec<StateJson<'a>>,
}

#[derive(Serialize)]
struct DiscriminantJson {
    offset: u64,
    width: u8,
}

#[derive(Serialize)]
struct StateJson<'a> {
    id: usize,
    state: &'static str,
    value: Option<u64>,
    suspend_point: Option<u32>,
    file: Option<&'a str>,
    line: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expanded_from: Option<PlaceJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    /// Bytes that hold something.
    in_use: u64,
    awaiting: Option<PartJson<'a>>,
    kept: Vec<PartJson<'a>>,
    next: Vec<usize>,
}

#[derive(Serialize)]
pub(super) struct PlaceJson<'a> {
    pub file: &'a str,
    pub line: u32,
}

/// `size`, `offset` and `type` are null where debug information has another local of this name instead.
#[derive(Serialize)]
pub(super) struct PartJson<'a> {
    kind: &'static str,
    name: Option<&'a str>,
    r#type: Option<&'a str>,
    size: Option<u64>,
    offset: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    future: Option<InsideJson<'a>>,
}

#[derive(Serialize)]
struct InsideJson<'a> {
    function: &'a str,
    size: u64,
    by_value: bool,
}

pub fn write(out: &mut impl Write, machine: &Machine, sources: &dyn SourceText) -> io::Result<()> {
    let (order, order_reason) = match &machine.order {
        Order::ControlFlow => ("control_flow", None),
        Order::Source(why) => ("source", Some(&**why).filter(|why| !why.is_empty())),
    };
    let states = machine.states.iter().enumerate().map(|(id, state)| of_state(machine, id, state, sources));
    let json = MachineJson {
        schema: SCHEMA,
        function: &machine.function,
        kind: kind(machine.kind),
        file: machine.place.as_ref().map(|place| &*place.file),
        line: machine.place.as_ref().map(|place| place.line),
        size: machine.size,
        align: machine.align,
        padding: machine.padding,
        partial: machine.is_partial,
        discriminant: machine.discriminant.map(|(offset, width)| DiscriminantJson { offset, width }),
        order,
        order_reason,
        made_with: machine.made_with.iter().map(PartJson::from).collect(),
        states: states.collect(),
    };
    serde_json::to_writer_pretty(&mut *out, &json)?;
    out.write_all(b"\n")
}

fn of_state<'a>(
    machine: &'a Machine,
    id: usize,
    state: &'a State,
    sources: &dyn SourceText,
) -> StateJson<'a> {
    let suspend_point = suspend_point(state.kind);
    let (awaited, kept): (Vec<&Part>, Vec<&Part>) =
        state.saved.iter().partition(|part| part.role == Role::Awaited);
    StateJson {
        id,
        state: state_word(state.kind),
        value: state.value,
        suspend_point,
        file: state.place.as_ref().map(|place| &*place.file),
        line: state.place.as_ref().map(|place| place.line),
        expanded_from: state.expanded_from.as_ref().map(PlaceJson::from),
        source: suspend_point.and_then(|_| sources.text(state.place.as_ref()?)),
        in_use: state.in_use,
        awaiting: awaited.first().map(|part| PartJson::from(*part)),
        kept: kept.into_iter().map(PartJson::from).collect(),
        next: machine.next(id).collect(),
    }
}

impl<'a> From<&'a Part> for PartJson<'a> {
    fn from(part: &'a Part) -> PartJson<'a> {
        let described = part.described.as_ref();
        PartJson {
            kind: role_word(part.role),
            name: part.name.as_deref(),
            r#type: described.map(|d| &*d.type_name),
            size: described.map(|d| d.bytes),
            offset: described.and_then(|d| d.offset),
            future: described.and_then(|d| d.future.as_ref()).map(|future| InsideJson {
                function: &future.function,
                size: future.bytes,
                by_value: future.by_value,
            }),
        }
    }
}

impl<'a> From<&'a SourceLine> for PlaceJson<'a> {
    fn from(place: &'a SourceLine) -> PlaceJson<'a> {
        PlaceJson { file: &place.file, line: place.line }
    }
}

pub(super) fn suspend_point(kind: StateKind) -> Option<u32> {
    match kind {
        StateKind::Await(number) => Some(number),
        StateKind::Start | StateKind::Returned | StateKind::Panicked => None,
    }
}

/// As `dump --json` calls them.
pub(super) fn state_word(kind: StateKind) -> &'static str {
    match kind {
        StateKind::Start => "unresumed",
        StateKind::Await(_) => "suspended",
        StateKind::Returned => "returned",
        StateKind::Panicked => "panicked",
    }
}

pub(super) fn role_word(role: Role) -> &'static str {
    match role {
        Role::Argument => "argument",
        Role::Capture => "capture",
        Role::Local => "local",
        Role::Temporary => "temporary",
        Role::Awaited => "awaited",
    }
}

pub(super) fn kind(kind: FunctionKind) -> &'static str {
    crate::present::machine::kind(kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outline::machine_sample as sample;
    use crate::present::source::NoSource;

    #[test]
    fn schema_1() {
        let mut out = Vec::new();
        write(&mut out, &sample::fetch_user(), &NoSource).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap());
    }
}
