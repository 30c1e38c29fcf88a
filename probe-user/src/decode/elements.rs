//! The futures of collections: as many as memory says there are, up to a bound. How many there are stays exact.

use super::collections::{List, Ring, Tasks};
use super::recipe::{Recipe, RecipeId};
use super::waits::{MAX_WAITS, RawWait};
use super::walk::{Above, MAX_NODES, Walker};
use super::{FrameId, Node, ResourceKind, Wait};
use crate::target::{Avma, Memory};

/// Futures of one collection that are looked at.
const MAX_ELEMENTS: u64 = 1024;
/// Collections grow no further in a tree of this size, so that the rest of it still finds its place.
const CROWDED: usize = MAX_NODES / 4 * 3;
/// More elements than any memory holds: a torn read or a hostile target.
const MAX_LENGTH: u64 = 1 << 32;

/// A row as memory has it: elements `first`, `first + 1`, … modulo `capacity`.
struct Span {
    data: Avma,
    length: u64,
    first: u64,
    capacity: u64,
}

impl<M: Memory + ?Sized> Walker<'_, '_, '_, M> {
    fn has_room(&self) -> bool {
        self.nodes < CROWDED
    }

    /// Notes a row, and futures in it that were not looked at.
    fn note_row(&mut self, more: u64) {
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        self.row = Some(self.row.unwrap_or(0).saturating_add(more));
    }

    pub(super) fn slice(
        &mut self,
        [data, length]: [Avma; 2],
        ring: Option<[Avma; 2]>,
        stride: u64,
        element: RecipeId,
        depth: usize,
    ) -> Vec<Node> {
        let Some(span) = self.span(data, length, ring) else { return Vec::new() };
        let mut nodes = Vec::new();
        let mut seen = 0;
        while seen < span.length.min(MAX_ELEMENTS) && self.has_room() {
            let index = span.first.wrapping_add(seen);
            let index = if index >= span.capacity { index - span.capacity } else { index };
            let at = span.data.offset(index.wrapping_mul(stride));
            nodes.append(&mut self.walk(at, element, depth - 1));
            seen += 1;
        }
        self.note_row(span.length - seen);
        nodes
    }

    /// None, and the tree is not whole, where the numbers make no sense.
    fn span(&mut self, data: Avma, length: Avma, ring: Option<[Avma; 2]>) -> Option<Span> {
        let (data, length) = (Avma(self.number(data, 8)?), self.number(length, 8)?);
        let (first, capacity) = match ring {
            Some([first, capacity]) => (self.number(first, 8)?, self.number(capacity, 8)?),
            None => (0, MAX_LENGTH),
        };
        let sensible = length == 0 || (length <= capacity && first < capacity && capacity <= MAX_LENGTH);
        self.incomplete |= !sensible;
        sensible.then_some(Span { data, length, first, capacity })
    }

    pub(super) fn list(&mut self, at: Avma, recipe: RecipeId, list: &List, depth: usize) -> Vec<Node> {
        let outer = self.row.take();
        self.above.push(Above { at, recipe, frame: list.frame });
        let before = self.waits.len();
        let awaiting = self.linked(at, list, depth);
        let more = std::mem::replace(&mut self.row, outer).unwrap_or(0);
        self.alternatives(before, awaiting.len() + more as usize);
        self.above.pop();
        self.tell(at, recipe);
        self.nodes += 1;
        vec![Node { frame: list.frame, more, address: at, awaiting: awaiting.into(), held: Box::default() }]
    }

    /// The futures of a linked list. A node whose link back does not fit ends it: it is being linked at this moment (its
    /// `next_all` then is the queue's stub), or this is no list any more.
    fn linked(&mut self, at: Avma, list: &List, depth: usize) -> Vec<Node> {
        let mut nodes = Vec::new();
        let Some(first) = self.number(at.offset(list.head), 8).filter(|first| *first != 0) else {
            return nodes;
        };
        let Some(length) = self.number(Avma(first).offset(list.length), 8) else { return nodes };
        let (mut node, mut previous, mut seen) = (first, 0, 0);
        while node != 0 && seen < MAX_ELEMENTS && self.has_room() {
            if self.number(Avma(node).offset(list.previous), 8) != Some(previous) {
                self.incomplete = true;
                return nodes;
            }
            nodes.append(&mut self.listed(Avma(node), list, depth));
            seen += 1;
            previous = node;
            node = match self.number(Avma(node).offset(list.next), 8) {
                Some(next) => next,
                None => return nodes,
            };
        }
        let whole = if node == 0 { length == seen } else { (seen + 1..=MAX_LENGTH).contains(&length) };
        self.incomplete |= !whole;
        if whole {
            self.note_row(length.saturating_sub(nodes.len() as u64));
        }
        nodes
    }

    /// The future in a node; none while it is being polled or dropped.
    fn listed(&mut self, node: Avma, list: &List, depth: usize) -> Vec<Node> {
        let Recipe::Switch { discriminant, select, default, .. } = &*list.variants else { return Vec::new() };
        let variant = self.select(node.offset(list.option), *discriminant, select, *default);
        if variant.is_none_or(|variant| variant as usize != list.some) {
            return Vec::new();
        }
        self.child(node, list.future, depth)
    }

    /// A set of tasks: a leaf that knows how many there are, and waits for each of them.
    pub(super) fn tasks(&mut self, at: Avma, recipe: RecipeId, tasks: &Tasks) -> Vec<Node> {
        let joined = tasks.layout.joined(&self.reflect(), at);
        self.incomplete |= joined.length.is_none();
        self.joins(tasks.frame, &joined.headers);
        self.tell(at, recipe);
        self.nodes += 1;
        let more = joined.length.and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
        vec![Node { frame: tasks.frame, more, address: at, awaiting: Box::default(), held: Box::default() }]
    }

    fn joins(&mut self, frame: FrameId, headers: &[Avma]) {
        if self.in_held > 0 {
            return;
        }
        let room = MAX_WAITS.saturating_sub(self.waits.len());
        let any = headers.len() > 1 && !self.joins_all();
        let at = self.place();
        self.waits.extend(headers.iter().take(room).map(|header| {
            let wait = Wait { address: Some(*header), any, at, ..Wait::of_kind(ResourceKind::Join, frame) };
            RawWait { joins: true, ..RawWait::new(wait) }
        }));
    }
}

/// The places of a ring's numbers in a value at `at`.
pub(super) fn ring_at(at: Avma, ring: Option<Ring>) -> Option<[Avma; 2]> {
    ring.map(|ring| [at.offset(ring.first), at.offset(ring.capacity)])
}
