//! One coroutine as the state machine that the compiler made of it.

use super::layout::{Layout, Part, covered};
use super::{Coroutine, FunctionKind, Origin};
use crate::decode::{Arm, FrameState, Recipe, Recipes, SourceLine};
use crate::dwarf::{CoroutineKind, Variant};
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StateKind {
    /// Not polled yet.
    Start,
    /// At an await; its number in the function, from 0.
    Await(u32),
    Returned,
    /// A panic went through it, or it was dropped within.
    Panicked,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    pub kind: StateKind,
    /// Its value in the discriminant.
    pub value: Option<u64>,
    /// Of an await the user's place, of one in a macro the invocation; else where the function begins or ends.
    pub place: Option<SourceLine>,
    /// The macro's own place.
    pub expanded_from: Option<SourceLine>,
    /// What it keeps beside [`Machine::made_with`]: what is awaited first, then in the order of debug information.
    pub saved: Vec<Part>,
    /// Bytes of the future that hold something in this state, with what it was made with and the discriminant; at least so
    /// many where a part is not described.
    pub in_use: u64,
}

/// Where it is told from what can follow what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// A poll that begins in the first can end in the second: every way through the code was followed.
    ControlFlow,
    /// The compiler's numbers of the awaits, which are in the order of the source; branches and loops are not known. Why the
    /// code was not followed, for people.
    Source(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// `shop::api::fetch_user<u32>`; blocks keep `{async_block#0}`.
    pub function: Arc<str>,
    pub kind: FunctionKind,
    pub origin: Origin,
    /// Where it is declared.
    pub place: Option<SourceLine>,
    /// Bytes.
    pub size: u64,
    pub align: u64,
    /// Offset and width of what tells the state.
    pub discriminant: Option<(u64, u8)>,
    /// Arguments of a function, captures of a block.
    pub made_with: Vec<Part>,
    /// Start, awaits by number, returned, panicked.
    pub states: Vec<State>,
    pub order: Order,
    /// Pairs of indices into `states`; sorted, each once.
    pub steps: Vec<(usize, usize)>,
    /// Bytes that no state uses; at most so many where a part is not described.
    pub padding: u64,
    /// Of some part of some state it is not known where it lies.
    pub is_partial: bool,
}

impl Machine {
    /// None where the types of the coroutine cannot be read.
    pub fn of(recipes: &Recipes<'_, '_>, coroutine: &Coroutine) -> Option<Machine> {
        let ty = recipes.program.ty(*coroutine.types.first()?)?;
        let variants = ty.variants()?;
        let recipe = recipes.get(coroutine.recipe);
        let Recipe::Switch { arms, .. } = &*recipe else { return None };
        let layout = Layout::of(recipes, &ty, variants, coroutine.kind);
        let pairs = variants.list.iter().zip(arms);
        let mut states: Vec<State> =
            pairs.filter_map(|(variant, arm)| state(recipes, &layout, variant, arm)).collect();
        states.sort_by_key(|state| state.kind);
        let mut spans = Vec::new();
        states.iter().for_each(|state| layout.spans(&state.saved, &mut spans));
        // What lies nobody knows where is in use as well.
        let most = states.iter().map(|state| state.in_use).max().unwrap_or(0);
        let used = covered(spans, ty.size).max(most);
        let mut parts = states.iter().flat_map(|state| &state.saved).chain(layout.made_with());
        Some(Machine {
            function: coroutine.name.clone(),
            kind: function_kind(coroutine.kind),
            origin: coroutine.origin,
            place: coroutine.place.clone(),
            size: ty.size,
            align: ty.align,
            discriminant: variants.discriminant.map(|d| (d.offset, d.width)),
            made_with: layout.made_with().to_vec(),
            order: Order::Source(String::new()),
            steps: in_order(&states),
            padding: ty.size.saturating_sub(used),
            is_partial: parts.any(|part| part.offset().is_none()),
            states,
        })
    }

    /// Indices of the states that can follow one.
    pub fn next(&self, state: usize) -> impl Iterator<Item = usize> + '_ {
        self.steps.iter().filter(move |(from, _)| *from == state).map(|(_, to)| *to)
    }

    pub fn awaits(&self) -> impl Iterator<Item = &State> {
        self.states.iter().filter(|state| matches!(state.kind, StateKind::Await(_)))
    }

    /// The state with most bytes in use; the first of several.
    pub fn fullest(&self) -> Option<&State> {
        self.states.iter().rev().max_by_key(|state| state.in_use)
    }
}

fn state(
    recipes: &Recipes<'_, '_>,
    layout: &Layout<'_, '_, '_>,
    variant: &Variant,
    arm: &Arm,
) -> Option<State> {
    let frame = recipes.frames.get(arm.frame?);
    let kind = match frame.state {
        FrameState::Unresumed => StateKind::Start,
        FrameState::Suspended => StateKind::Await(frame.suspend_point?),
        FrameState::Returned => StateKind::Returned,
        FrameState::Panicked => StateKind::Panicked,
        FrameState::Running | FrameState::Unknown => return None,
    };
    let is_await = matches!(kind, StateKind::Await(_));
    let saved = if is_await { layout.saved(variant, arm) } else { Vec::new() };
    let in_use = match kind {
        StateKind::Start | StateKind::Await(_) => layout.in_use(&saved),
        // Nothing but the discriminant.
        StateKind::Returned | StateKind::Panicked => 0,
    };
    let value = match &*variant.values {
        [(low, high)] if low == high => Some(*low),
        _ => None,
    };
    Some(State {
        kind,
        value,
        place: frame.line.clone(),
        expanded_from: frame.expanded_from.clone(),
        saved,
        in_use,
    })
}

/// The awaits one after the other.
fn in_order(states: &[State]) -> Vec<(usize, usize)> {
    let ways = states.iter().enumerate().filter(|(_, state)| state.kind != StateKind::Panicked);
    let indices: Vec<usize> = ways.map(|(i, _)| i).collect();
    indices.windows(2).map(|pair| (pair[0], pair[1])).collect()
}

fn function_kind(kind: CoroutineKind) -> FunctionKind {
    match kind {
        CoroutineKind::Fn => FunctionKind::AsyncFn,
        CoroutineKind::Block => FunctionKind::AsyncBlock,
        CoroutineKind::Closure => FunctionKind::AsyncClosure,
    }
}
