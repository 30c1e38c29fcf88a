//! A coroutine's states, in words.

use super::escape::escape;
use super::names;
use super::places::Places;
use super::source::SourceText;
use super::units::{count, counted};
use crate::outline::{FunctionKind, Machine, Order, Part, Role, State, StateKind};

/// Widest type of a local.
const TYPE: usize = 48;

/// Locals of one state that a diagram names.
const IN_DIAGRAM: usize = 8;

/// How one machine is shown; what is read from source files comes from `sources`.
#[derive(Clone, Copy)]
pub struct MachineWords<'a> {
    pub machine: &'a Machine,
    pub places: &'a Places,
    pub sources: &'a dyn SourceText,
}

/// A thing that is kept, as a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartRow {
    pub name: String,
    pub ty: String,
    /// `120`, or `?` where debug information does not tell.
    pub bytes: String,
}

/// `async fn`, `async block`, `async closure`.
pub fn kind(kind: FunctionKind) -> &'static str {
    match kind {
        FunctionKind::AsyncFn => "async fn",
        FunctionKind::AsyncBlock => "async block",
        FunctionKind::AsyncClosure => "async closure",
        FunctionKind::Future => "future",
        FunctionKind::Sync => "fn",
    }
}

/// `start`, `await 0`, `returned`, `panicked`.
pub fn state(kind: StateKind) -> String {
    match kind {
        StateKind::Start => "start".into(),
        StateKind::Await(number) => format!("await {number}"),
        StateKind::Returned => "returned".into(),
        StateKind::Panicked => "panicked".into(),
    }
}

/// A part's name and type in a line of text, without its bytes.
pub fn part(part: &Part) -> (String, String) {
    let name = match (part.role, &part.name) {
        (Role::Awaited, _) => "awaits".into(),
        (_, Some(name)) => local(name),
        (_, None) => "(temporary)".into(),
    };
    let ty = match &part.described {
        Some(described) => match &described.future {
            Some(future) => names::fit(&future.function, TYPE),
            None => names::fit(&described.type_name, TYPE),
        },
        None => "another of this name".into(),
    };
    (name, ty)
}

/// rustc names what a block borrows `_ref__x`.
pub fn local(name: &str) -> String {
    match name.strip_prefix("_ref__") {
        Some(borrowed) => format!("&{}", escape(borrowed)),
        None => escape(name).into_owned(),
    }
}

pub fn bytes(bytes: Option<u64>) -> String {
    bytes.map_or("?".into(), count)
}

/// What the future has before its first poll.
pub fn made_with(machine: &Machine) -> &'static str {
    if machine.kind == FunctionKind::AsyncFn { "arguments" } else { "captures" }
}

impl MachineWords<'_> {
    /// `async fn shop::api::fetch_user`
    pub fn title(&self) -> String {
        format!("{} {}", kind(self.machine.kind), escape(&self.machine.function))
    }

    /// `312 bytes, aligned to 8; the byte at 304 tells the state`
    pub fn size(&self) -> String {
        let machine = self.machine;
        let tells = machine.discriminant.map(|(offset, width)| match width {
            1 => format!("; the byte at {} tells the state", count(offset)),
            width => format!("; the {width} bytes at {} tell the state", count(offset)),
        });
        format!(
            "{}, aligned to {}{}",
            counted(machine.size, "byte"),
            machine.align,
            tells.unwrap_or_default()
        )
    }

    /// `src/api.rs:155`, with the macro's place; empty where it is not known.
    pub fn place(&self, state: &State) -> String {
        match (&state.place, &state.expanded_from) {
            (Some(place), _) => self.places.show(place),
            (None, Some(inner)) => format!("in a macro ({})", self.places.show(inner)),
            (None, None) => String::new(),
        }
    }

    /// The line of source at an await.
    pub fn source(&self, state: &State) -> Option<String> {
        let is_await = matches!(state.kind, StateKind::Await(_));
        let text = self.sources.text(state.place.as_ref().filter(|_| is_await)?)?;
        Some(escape(&text).into_owned())
    }

    /// What a state keeps; temporaries without bytes are left out. What an await of a block may still have of its captures
    /// comes last.
    pub fn kept<'m>(&'m self, state: &'m State) -> Vec<&'m Part> {
        let machine = self.machine;
        let captures = state.kind == StateKind::Start || machine.kind != FunctionKind::AsyncFn;
        let is_live = matches!(state.kind, StateKind::Start | StateKind::Await(_));
        let made_with = machine.made_with.iter().filter(|_| captures && is_live);
        let says_something = |part: &&Part| part.name.is_some() || part.bytes() != Some(0);
        state
            .saved
            .iter()
            .filter(|part| part.role != Role::Awaited)
            .chain(made_with)
            .filter(says_something)
            .collect()
    }

    pub fn row(&self, part: &Part) -> PartRow {
        let (name, ty) = self::part(part);
        PartRow { name, ty, bytes: bytes(part.bytes()) }
    }

    /// `awaits` and what, with its bytes.
    pub fn awaited(&self, state: &State) -> Option<PartRow> {
        let part = state.saved.iter().find(|part| part.role == Role::Awaited)?;
        let mut row = self.row(part);
        let future = part.described.as_ref().and_then(|described| described.future.as_ref());
        if let Some(future) = future.filter(|future| !future.by_value) {
            row.ty = format!("{} (boxed, {})", row.ty, counted(future.bytes, "byte"));
        }
        Some(row)
    }

    /// `145 of 312 bytes in use`
    pub fn in_use(&self, state: &State) -> Option<String> {
        let at_least = state.saved.iter().any(|part| part.described.is_none());
        let lead = if at_least { "at least " } else { "" };
        let is_live = matches!(state.kind, StateKind::Start | StateKind::Await(_));
        is_live.then(|| {
            format!("{lead}{} of {} in use", count(state.in_use), counted(self.machine.size, "byte"))
        })
    }

    /// States that can follow: `await 1 (src/api.rs:156), returned`.
    pub fn next(&self, index: usize) -> String {
        let name = |i: usize| {
            let next = &self.machine.states[i];
            match next.kind {
                StateKind::Await(_) if next.place.is_some() => {
                    format!("{} ({})", state(next.kind), self.place(next))
                }
                kind => state(kind),
            }
        };
        self.machine.next(index).map(name).collect::<Vec<_>>().join(", ")
    }

    /// What a diagram says of a state.
    pub fn lines(&self, state: &State) -> Vec<String> {
        let mut lines = vec![self::state(state.kind)];
        if let StateKind::Await(_) = state.kind {
            lines.push(self.place(state));
            lines.extend(self.source(state));
        }
        if let Some(PartRow { ty, bytes, .. }) = self.awaited(state) {
            lines.push(format!("awaits {ty}, {bytes} bytes"));
        }
        let kept = self.kept(state);
        lines.extend(kept.iter().take(IN_DIAGRAM).map(|part| {
            let PartRow { name, ty, bytes } = self.row(part);
            format!("{name}: {ty}, {bytes}")
        }));
        if kept.len() > IN_DIAGRAM {
            lines.push(format!("and {} more", kept.len() - IN_DIAGRAM));
        }
        lines.extend(self.in_use(state));
        lines
    }

    /// Steps that a diagram draws, as indices of states.
    pub fn arrows(&self) -> Vec<(usize, usize)> {
        self.machine.steps.clone()
    }

    /// From where a panic can be reached.
    pub fn panics(&self) -> Vec<(usize, usize)> {
        let states = &self.machine.states;
        let Some(panicked) = states.iter().position(|state| state.kind == StateKind::Panicked) else {
            return Vec::new();
        };
        let live = |state: &State| matches!(state.kind, StateKind::Start | StateKind::Await(_));
        states.iter().enumerate().filter(|(_, s)| live(s)).map(|(from, _)| (from, panicked)).collect()
    }

    /// How it is known what can follow what.
    pub fn order(&self) -> String {
        match &self.machine.order {
            Order::ControlFlow => {
                "What can follow is from the code: a poll that begins in one state can end in the other."
                    .into()
            }
            Order::Source(why) if why.is_empty() => {
                "What can follow is in the order of the source: branches and loops are not known.".into()
            }
            Order::Source(why) => {
                format!(
                    "What can follow is in the order of the source, as {}: branches and loops are not known.",
                    escape(why)
                )
            }
        }
    }

    /// What is not to be believed, or to be known.
    pub fn notes(&self) -> Vec<String> {
        let machine = self.machine;
        let mut notes = Vec::new();
        if machine.awaits().next().is_none() {
            notes.push("It awaits nothing: it could be a plain function.".into());
        }
        if machine.is_partial {
            notes.push(
                "A state has several locals of one name: debug information describes the first of them, not the others (?).".into(),
            );
        }
        let again = machine.awaits().flat_map(|state| &state.saved).any(|part| {
            part.role == Role::Local && machine.made_with.iter().any(|made| made.name == part.name)
        });
        if again && machine.kind == FunctionKind::AsyncFn {
            notes.push("Arguments keep their place after they were moved into locals of their name.".into());
        }
        notes
    }
}
