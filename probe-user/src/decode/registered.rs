//! Where a future has left its task's waker: of all the sockets and channels in it, these are what it waits for.

use super::waits::{MAX_WAITS, RawWait};
use super::walk::Walker;
use super::{FrameId, FrameKind, ResourceKind, Wait, place_of};
use crate::runtime::{Look, Part, Seen, Through, receiver_wakes, registered_waker};
use crate::target::{Avma, Memory};

/// Receivers and wakers of one future that are looked at.
const MAX_PLACES: usize = 64;

impl<M: Memory + ?Sized> Walker<'_, '_, '_, M> {
    /// Tells what a future that awaits others waits for beside them, and how many things that are: whatever in its own
    /// fields keeps this task's waker. `before`: where the waits of the others begin.
    pub(super) fn registered_beside(&mut self, before: usize) -> usize {
        let Some(above) = self.above.last().copied().filter(|_| self.in_held == 0 && self.task.is_some())
        else {
            return 0;
        };
        let program = self.recipes().program;
        let frame = self.recipes().frames.get(above.frame);
        // A coroutine polls what it awaits and nothing else, and so does a macro.
        let by_hand = matches!(frame.kind, FrameKind::Future | FrameKind::Combinator | FrameKind::Leaf);
        let Some(die) = self.recipes().subject(above.recipe) else { return 0 };
        if !by_hand
            || frame.function.ends_with('!')
            || !self.recipes().leads.to_things(program, die, Through::References)
        {
            return 0;
        }
        let reflect = self.reflect();
        let look = Look::new(&self.recipes().leads, &reflect, self.bias(), Through::References);
        let seen = look.except(&self.told).see(above.at, die, "");
        let mut own = self.registered(&seen, above.frame);
        let known = &self.waits[before..];
        own.retain(|raw| !known.iter().any(|other| same_thing(&raw.wait, &other.wait)));
        own.truncate(MAX_WAITS.saturating_sub(self.waits.len()));
        let count = own.len();
        if count > 0 {
            let at = self.place();
            own.iter_mut().for_each(|raw| raw.wait.at = at);
        }
        self.waits.extend(own);
        count
    }

    /// [`Wait::at`] of what the innermost future of `above` waits for.
    pub(super) fn place(&self) -> Option<FrameId> {
        let chain: Vec<FrameId> = self.above.iter().map(|above| above.frame).collect();
        place_of(&chain, &self.recipes().frames)
    }

    /// A wait for each descriptor, mpsc channel and waker's place among `seen` that would wake this task. A task that was
    /// woken left its waker nowhere.
    pub(super) fn registered(&self, seen: &[Seen], leaf: FrameId) -> Vec<RawWait> {
        let mut waits: Vec<RawWait> = Vec::new();
        for seen in seen.iter().take(MAX_PLACES) {
            let raw = match seen.thing.part {
                Part::Descriptor => {
                    self.descriptor(seen, leaf).filter(|(_, registered)| *registered).map(|(raw, _)| raw)
                }
                Part::Receiver if seen.thing.kind == ResourceKind::Mpsc => self.receives_from(seen, leaf),
                Part::Waker => self.woken_by(seen, leaf),
                _ => None,
            };
            waits.extend(raw.filter(|raw| !waits.iter().any(|other| same_thing(&raw.wait, &other.wait))));
        }
        waits
    }

    fn receives_from(&self, receiver: &Seen, leaf: FrameId) -> Option<RawWait> {
        let reflect = self.reflect();
        let channel = receiver.shared(reflect.memory)?;
        let woken: Avma = receiver_wakes(&reflect, channel.address, channel.ty?)?;
        let wait = Wait { address: Some(channel.address), ..Wait::of_kind(ResourceKind::Mpsc, leaf) };
        (Some(woken) == self.task).then(|| RawWait::new(wait))
    }

    fn woken_by(&self, place: &Seen, leaf: FrameId) -> Option<RawWait> {
        let woken = registered_waker(&self.reflect(), place.at, place.ty.die)?;
        let detail = Some("an AtomicWaker".into());
        let wait = Wait { address: Some(place.at), detail, ..Wait::of_kind(place.thing.kind, leaf) };
        (Some(woken) == self.task).then(|| RawWait::new(wait))
    }
}

fn same_thing(one: &Wait, other: &Wait) -> bool {
    let same_fd = one.fd.is_some() && one.fd == other.fd;
    same_fd || (one.address.is_some() && (one.kind, one.address) == (other.kind, other.address))
}
