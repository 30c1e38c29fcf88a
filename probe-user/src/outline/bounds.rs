//! What an outline leaves out because a file has more of it than is followed, and how much.

use std::collections::BTreeMap;

/// Something that is followed up to a bound only. No program that was tried comes near one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Bound {
    /// Coroutine types.
    Coroutines,
    /// Futures that an await waits for: too many, or one in another too deep.
    Awaited,
    /// Futures around one that is spawned, waited for or behind a trait object.
    Around,
    /// Awaits of a `dyn Future` that may be too many to be told.
    Candidates,
    /// Inlined calls of one function.
    Inlined,
    /// Functions and inlined calls in too many pieces of code.
    Pieces,
    /// Functions whose code was not read.
    Unread,
    /// Functions of others between one of the user's own and what they call for it.
    Between,
    /// Blocking calls that one async function leads to.
    BlockingCalls,
    /// Edges that lead through folded functions.
    FoldedEdges,
}

impl Bound {
    /// As JSON has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Bound::Coroutines => "coroutines",
            Bound::Awaited => "awaited",
            Bound::Around => "around",
            Bound::Candidates => "candidates",
            Bound::Inlined => "inlined",
            Bound::Pieces => "pieces",
            Bound::Unread => "unread",
            Bound::Between => "between",
            Bound::BlockingCalls => "blocking_calls",
            Bound::FoldedEdges => "folded_edges",
        }
    }
}

/// How much was left out at each bound; of one that was not reached nothing is here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bounds(BTreeMap<Bound, u64>);

impl Bounds {
    pub fn cut(&mut self, at: Bound, many: u64) {
        if many > 0 {
            let count = self.0.entry(at).or_default();
            *count = count.saturating_add(many);
        }
    }

    pub fn add(&mut self, others: &Bounds) {
        others.iter().for_each(|(at, many)| self.cut(at, many));
    }

    pub fn iter(&self) -> impl Iterator<Item = (Bound, u64)> + '_ {
        self.0.iter().map(|(at, many)| (*at, *many))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
