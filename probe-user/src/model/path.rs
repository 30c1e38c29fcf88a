//! Await paths: where a task stands, interned, with the one line that matters to the user.

use crate::decode::{FrameId, FrameKind, Frames, Node, place_of};
use std::collections::HashMap;
use std::sync::Arc;

/// The primary await chain of a task, outermost first.
#[derive(Debug, PartialEq, Eq)]
pub struct AwaitPath {
    pub frames: Arc<[FrameId]>,
    /// The innermost await in the user's own code; else the innermost with a line; else none.
    pub place: Option<FrameId>,
}

/// The chain of first branches of a tree, down to a collection: none of its futures is the first.
pub fn primary_chain(root: &Node, frames: &Frames) -> Vec<FrameId> {
    let mut chain = vec![root.frame];
    let mut at = root;
    while let Some(next) = at.awaiting.first()
        && frames.get(at.frame).kind != FrameKind::Collection
    {
        chain.push(next.frame);
        at = next;
    }
    chain
}

/// Every path seen, each allocated once.
#[derive(Clone, Debug, Default)]
pub(super) struct Paths {
    known: HashMap<Arc<[FrameId]>, Arc<AwaitPath>>,
    limit: usize,
}

impl Paths {
    pub fn new(limit: usize) -> Paths {
        Paths { known: HashMap::new(), limit }
    }

    pub fn intern(&mut self, chain: &[FrameId], frames: &Frames) -> Arc<AwaitPath> {
        if let Some(path) = self.known.get(chain) {
            return path.clone();
        }
        if self.known.len() >= self.limit {
            // Keep what some task still stands at.
            self.known.retain(|_, path| Arc::strong_count(path) > 1);
        }
        let path = Arc::new(AwaitPath { frames: chain.into(), place: place_of(chain, frames) });
        if self.known.len() < self.limit {
            self.known.insert(path.frames.clone(), path.clone());
        }
        path
    }
}
