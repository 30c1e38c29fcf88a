//! What a task keeps that others may wait for: guards, permits, ends of channels.

use super::drop_glue::Verdict;
use super::recipe::{Arm, RecipeId};
use super::walk::Walker;
use super::{Certainty, FrameId, Hold, HoldRole};
use crate::dwarf::DieRef;
use crate::runtime::{Admits, Look, Part, Reflect, Seen, Shared, Through};
use crate::target::{Avma, Memory};

/// More than this of one task is not told.
const MAX_HOLDS: usize = 256;

/// A claim, before anybody has asked the lock.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RawHold {
    pub hold: Hold,
    /// Type of what `hold.address` leads to.
    pub ty: Option<DieRef>,
    pub permits: u64,
    /// The guard itself, and what it says, to be read once more.
    pub slot: Avma,
    pub word: u64,
    /// Bytes of the guard.
    pub size: u64,
    /// Number that tells the state of the future which keeps it, and its bytes; None where it has but one.
    pub state: Option<(Avma, u8)>,
    /// Nobody else owns it.
    pub owned: bool,
    /// What the task's own code says of it.
    pub verdict: Verdict,
    /// The type whose local it is.
    pub owner: Option<DieRef>,
    /// The await it is kept across.
    pub suspend_point: Option<u32>,
    /// Its own type.
    pub guard: Option<DieRef>,
    /// It is no guard any more.
    pub gone: bool,
    /// Its place is a guess: it is one only if the task's own code says so.
    pub guessed: bool,
    /// It is where debug information says, and not moved away.
    pub certain: bool,
    /// A second read said the same.
    pub still_there: bool,
}

impl RawHold {
    /// A guess of which nothing came.
    pub(super) fn is_mere_guess(&self) -> bool {
        self.guessed && self.verdict != Verdict::Keeps
    }

    /// Lets the task's own code overrule the drop flags. `all_kept`: claims that it confirms account for all that the lock
    /// has given out.
    pub(super) fn take_verdict(&mut self, all_kept: bool) {
        match self.verdict {
            Verdict::Keeps => self.hold.certainty = Certainty::Proven,
            Verdict::Gone => self.gone = true,
            Verdict::Unknown => self.gone = all_kept || self.guessed,
        }
    }
}

impl<M: Memory + ?Sized> Walker<'_, '_, '_, M> {
    /// Claims of a future in the state of this arm.
    pub(super) fn keeps(&mut self, at: Avma, recipe: RecipeId, frame: FrameId, arm: &Arm) {
        let reflect = self.reflect();
        let state = self.discriminant().map(|d| (at.offset(d.offset), d.width));
        let owner = self.recipes().subject(recipe);
        let suspend_point = self.recipes().frames.get(frame).suspend_point;
        for kept in &arm.kept {
            let cleared = kept.flags.iter().any(|flag| self.number(at.offset(*flag), 1) == Some(0));
            let look = Look::new(&self.recipes().leads, &reflect, self.bias(), Through::Owned);
            for seen in look.see(at.offset(kept.offset), kept.ty, &kept.name) {
                if self.holds.len() >= MAX_HOLDS {
                    return;
                }
                let certain = kept.certain && !cleared && !seen.in_arc;
                let claim = claim(&reflect, seen, frame, certain);
                let owner = owner.filter(|_| !kept.is_capture);
                let guessed = kept.guessed;
                let claim = claim.map(|claim| RawHold { owner, suspend_point, state, guessed, ..claim });
                let claim = claim.filter(|claim| !guessed || self.is_new(claim));
                self.holds.extend(claim);
            }
        }
    }

    /// Whether a guess is of a guard, and not one that was made before. Where guards of two types may lie in one place, and
    /// would be of the same lock, nothing tells which it is.
    fn is_new(&mut self, guess: &RawHold) -> bool {
        let mut new = guess.hold.role.is_guard();
        for known in self.holds.iter_mut().filter(|known| known.slot == guess.slot) {
            let same_lock = known.hold.address == guess.hold.address;
            known.gone |= known.guessed && same_lock && known.guard != guess.guard;
            new &= known.guessed && !same_lock;
        }
        new
    }
}

/// What a thing in a local says: that this task keeps it.
fn claim<M: Memory + ?Sized>(
    reflect: &Reflect<'_, '_, M>,
    seen: Seen,
    frame: FrameId,
    certain: bool,
) -> Option<RawHold> {
    let Seen { thing, at, ref ty, in_arc, .. } = seen;
    let (role, permits) = match thing.part {
        Part::Guard(Admits::One) => (HoldRole::Exclusive, 1),
        Part::Guard(Admits::Readers) => (HoldRole::Shared, 1),
        Part::Guard(Admits::Permit) => (HoldRole::Permits(1), 1),
        Part::Guard(Admits::Permits(member)) => {
            let member = crate::runtime::part(reflect.program, ty.die, &|name, _| name == member)?;
            let width = u8::try_from(member.ty.size).ok().filter(|w| matches!(w, 4 | 8))?;
            let permits = reflect.number(at.offset(member.offset), width)?;
            (HoldRole::Permits(u32::try_from(permits).ok().filter(|n| *n > 0)?), permits)
        }
        // An end in an Arc is everybody's.
        Part::Sender if !in_arc => (HoldRole::Sender, 0),
        Part::Receiver if !in_arc => (HoldRole::Receiver, 0),
        Part::Sender | Part::Receiver | Part::Descriptor | Part::Object | Part::Waker => return None,
    };
    let Shared { address, ty: shared } = seen.shared(reflect.memory)?;
    let certainty = if certain && role.is_guard() { Certainty::Proven } else { Certainty::Possible };
    let word = reflect.number(at, 8).unwrap_or(0);
    let local = seen.path;
    let hold = Hold {
        kind: thing.kind,
        role,
        address,
        certainty,
        local,
        frame,
        acquired_at: None,
        unpolled: None,
        blocks_threads: thing.blocks_threads(),
        backlog: None,
        word: None,
    };
    Some(RawHold {
        hold,
        ty: shared,
        permits,
        slot: at,
        word,
        size: ty.size,
        state: None,
        owned: !in_arc,
        verdict: Verdict::Unknown,
        owner: None,
        suspend_point: None,
        guard: Some(ty.die),
        gone: false,
        guessed: false,
        certain,
        still_there: false,
    })
}
