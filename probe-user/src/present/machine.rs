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
            // Not where it is only in an option, or one of several in a tuple.
            Some(future) if part.role == Role::Awaited || future.bytes == described.bytes => {
                names::fit(&future.function, TYPE)
            }
            _ => names::type_name(&described.type_name, TYPE),
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

fn row(part: &Part) -> PartRow {
    let (name, ty) = self::part(part);
    PartRow { name, ty, bytes: bytes(part.bytes()) }
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
    fn kept<'m>(&'m self, state: &'m State) -> Vec<&'m Part> {
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

    /// Of what a state keeps; temporaries of one type are one row.
    pub fn rows(&self, state: &State) -> Vec<PartRow> {
        let mut rows: Vec<(PartRow, usize)> = Vec::new();
        for part in self.kept(state) {
            let row = row(part);
            match rows.iter_mut().find(|(other, _)| part.name.is_none() && *other == row) {
                Some((_, times)) => *times += 1,
                None => rows.push((row, 1)),
            }
        }
        let counted = |(row, times): (PartRow, usize)| match times {
            1 => row,
            _ => PartRow { name: format!("{times} × {}", row.name), ..row },
        };
        rows.into_iter().map(counted).collect()
    }

    /// `awaits` and what, with its bytes.
    pub fn awaited(&self, state: &State) -> Option<PartRow> {
        let part = state.saved.iter().find(|part| part.role == Role::Awaited)?;
        let mut row = row(part);
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
                _ if i == index => "stays".into(),
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
        let rows = self.rows(state);
        let shown = rows.iter().take(IN_DIAGRAM);
        lines.extend(shown.map(|PartRow { name, ty, bytes }| format!("{name}: {ty}, {bytes}")));
        if rows.len() > IN_DIAGRAM {
            lines.push(format!("and {} more", rows.len() - IN_DIAGRAM));
        }
        lines.extend(self.in_use(state));
        lines
    }

    /// Steps that a diagram draws, as indices of states: every await can also stay, and what others lead to over an await that
    /// did not have to wait is left out.
    pub fn arrows(&self) -> Vec<(usize, usize)> {
        let steps = &self.machine.steps;
        let is_step = |from: usize, to: usize| steps.binary_search(&(from, to)).is_ok();
        let forward = |from: usize, to: usize| from < to && is_step(from, to);
        let back = |from: usize, to: usize| from > to && is_step(from, to);
        let leads_over = |from: usize, to: usize, over: usize| match from < to {
            true => forward(from, over) && forward(over, to),
            false => forward(from, over) && back(over, to) || back(from, over) && forward(over, to),
        };
        let states = 0..self.machine.states.len();
        let drawn = |(from, to): &(usize, usize)| {
            from != to && !states.clone().any(|over| leads_over(*from, *to, over))
        };
        steps.iter().copied().filter(drawn).collect()
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
                "What can follow is from the code: in which states a poll can end that begins in this one."
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
                "A state has several locals of one name: where the others than the first lie debug information does not tell.".into(),
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

#[cfg(test)]
pub mod sample {
    use super::MachineWords;
    use crate::decode::SourceLine;
    use crate::outline::machine_sample;
    use crate::present::places::Places;
    use crate::present::source::SourceText;
    use std::io;

    /// Source that no format may take for its own words.
    struct Quote;

    impl SourceText for Quote {
        fn text(&self, _: &SourceLine) -> Option<String> {
            Some("let posts = \"a & <b>\"; # fetch(&user).await?;".into())
        }
    }

    /// What a format makes of the sample.
    pub fn written(write: impl FnOnce(&mut Vec<u8>, &MachineWords<'_>) -> io::Result<()>) -> String {
        let (machine, places) = (machine_sample::fetch_user(), Places::default());
        let mut out = Vec::new();
        write(&mut out, &MachineWords { machine: &machine, places: &places, sources: &Quote }).unwrap();
        String::from_utf8(out).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outline::machine_sample as sample;
    use crate::present::source::NoSource;

    #[test]
    fn a_diagram_leaves_out_what_others_lead_to() {
        let mut machine = sample::fetch_user();
        machine.order = Order::ControlFlow;
        let arrows = |machine: &Machine| {
            let words = MachineWords { machine, places: &Places::default(), sources: &NoSource };
            words.arrows()
        };
        // A chain: each await may be over at once.
        machine.steps = vec![(0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (1, 3), (2, 2), (2, 3)];
        assert_eq!(arrows(&machine), [(0, 1), (1, 2), (2, 3)]);
        // A loop of both.
        machine.steps = vec![(0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3)];
        assert_eq!(arrows(&machine), [(0, 1), (1, 2), (2, 1), (2, 3)]);
        // Either of two.
        machine.steps = vec![(0, 1), (0, 2), (0, 3), (1, 1), (1, 3), (2, 2), (2, 3)];
        assert_eq!(arrows(&machine), [(0, 1), (0, 2), (1, 3), (2, 3)]);
    }
}
