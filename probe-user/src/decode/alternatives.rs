//! Which waits of a task are alternatives: any one of them may let it go on.

use super::walk::Walker;
use super::{Frame, FrameKind};
use crate::runtime::{FUTURES_UNORDERED, needs_all};
use crate::target::Memory;

impl<M: Memory + ?Sized> Walker<'_, '_, '_, M> {
    /// The innermost future of `above` waits for `count` things at once, all that is in `waits` from `before` on.
    ///
    /// What a hand-written future needs of them nobody knows, so all but those that are known to need all may go on
    /// with any: `select!` and `Timeout`, but also `try_join!`, which ends with the first error.
    pub(super) fn alternatives(&mut self, before: usize, count: usize) {
        if count > 1 && before < self.waits.len() && !self.needs_all() {
            self.waits[before..].iter_mut().for_each(|raw| raw.wait.any = true);
        }
    }

    /// A list of futures is polled as whatever it is in needs it.
    fn needs_all(&self) -> bool {
        let frames = &self.recipes().frames;
        let mut around = self.above.iter().rev().map(|above| frames.get(above.frame));
        around.find(|frame| !is_list(frame)).is_some_and(|frame| needs_all(&frame.function))
    }

    /// Whether a set of tasks is waited for until none is left.
    pub(super) fn joins_all(&self) -> bool {
        let frames = &self.recipes().frames;
        let around = self.above.iter().rev().map(|above| frames.get(above.frame));
        around.take_while(|frame| !frame.own_code).any(|frame| joins_all(&frame))
    }
}

fn is_list(frame: &Frame) -> bool {
    let lists = [FUTURES_UNORDERED, "futures_util::stream::futures_ordered::FuturesOrdered<"];
    frame.kind == FrameKind::Collection && lists.iter().any(|list| frame.function.starts_with(list))
}

/// `JoinSet::join_all` and `JoinSet::shutdown` take one task after another.
fn joins_all(frame: &Frame) -> bool {
    frame.kind == FrameKind::AsyncFn
        && frame.function.starts_with("tokio::task::join_set::JoinSet<")
        && matches!(super::doing::own_name(&frame.function), "join_all" | "shutdown")
}
