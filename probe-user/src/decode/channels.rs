//! Who keeps the ends of channels, and whether somebody else may keep one, too.
//!
//! An end that no task keeps may be a thread's, or lie in a static. It is known that there is none where an end is the only one
//! of its kind (a receiver of tokio's mpsc, both ends of a oneshot) or where the channel counts its senders and all were found.
//!
//! Arguments and captures are listed in every state, also once they were moved away (see `kept.rs`), to a thread perhaps: what
//! rests on one of those is only possible.

use super::holds::RawHold;
use super::relations::Claims;
use super::waits::RawWait;
use super::{Certainty, HoldRole, ResourceKind, TaskId, TaskState};
use crate::dwarf::DieRef;
use crate::runtime::{Reflect, part};
use crate::target::{Avma, Memory};
use foldhash::HashMap;

/// Holders named per wait; a channel may have thousands of senders.
pub(super) const MAX_HOLDERS: usize = 16;

/// Ends that can be neither cloned nor shared: as long as one is seen it is the only one.
const SOLE: [&str; 3] =
    ["tokio::sync::mpsc::chan::Rx<", "tokio::sync::oneshot::Sender<", "tokio::sync::oneshot::Receiver<"];

/// Tasks that keep ends of one kind of one channel.
#[derive(Debug, Default)]
struct Side {
    /// In order, each once.
    tasks: Vec<TaskId>,
    /// Ends that were read.
    ends: u64,
    /// One of them may be a local that was moved away.
    unsure: bool,
    /// There is no other than these.
    all: bool,
}

#[derive(Debug, Default)]
struct Ends {
    senders: Side,
    receivers: Side,
}

/// Ends of channels by what the ends share.
#[derive(Debug, Default)]
pub(super) struct Channels(HashMap<Avma, Ends>);

impl Channels {
    /// After the slots of all claims were read again.
    pub fn of<M: Memory + ?Sized>(reflect: &Reflect<'_, '_, M>, all: &[Claims]) -> Channels {
        let mut known: HashMap<Avma, Ends> = HashMap::default();
        let mut shared = HashMap::default();
        for claims in all {
            let steady = !claims.task.stale && claims.task.state != TaskState::Running;
            for raw in claims.holds.iter().filter(|raw| !raw.hold.role.is_guard()) {
                let ends = known.entry(raw.hold.address).or_default();
                let sender = raw.hold.role == HoldRole::Sender;
                let side = if sender { &mut ends.senders } else { &mut ends.receivers };
                side.tasks.push(claims.task.id);
                side.ends += 1;
                side.unsure |= !(raw.certain && raw.still_there && steady);
                side.all |= is_sole(reflect, raw);
                if sender && raw.hold.kind == ResourceKind::Mpsc {
                    shared.insert(raw.hold.address, raw.ty);
                }
            }
        }
        for (address, ty) in shared {
            if let (Some(ends), Some(ty)) = (known.get_mut(&address), ty) {
                let number = |member: &str| {
                    let place = part(reflect.program, ty, &|name, _| name == member)?;
                    reflect.number(address.offset(place.offset), u8::try_from(place.ty.size).ok()?)
                };
                // A weak one may become a sender while there is another.
                ends.senders.all |=
                    number("tx_count") == Some(ends.senders.ends) && number("tx_weak_count") == Some(0);
            }
        }
        for side in known.values_mut().flat_map(|ends| [&mut ends.senders, &mut ends.receivers]) {
            side.tasks.sort_unstable();
            side.tasks.dedup();
        }
        Channels(known)
    }

    /// Who waits at one end of a channel waits for those who keep the other.
    pub fn wait(&self, raw: &mut RawWait, task: TaskId) {
        let receivers = match raw.wait.kind {
            ResourceKind::Mpsc if raw.lock.is_some() => true,
            _ if raw.for_close => true,
            ResourceKind::Mpsc | ResourceKind::Oneshot | ResourceKind::Watch | ResourceKind::Broadcast => {
                false
            }
            _ => return,
        };
        let Some(ends) = raw.wait.address.and_then(|address| self.0.get(&address)) else { return };
        let side = if receivers { &ends.receivers } else { &ends.senders };
        let proven = side.all && !side.unsure;
        let alone = side.all && side.tasks == [task];
        let holders = side.tasks.iter().copied().filter(|id| alone || *id != task).take(MAX_HOLDERS);
        raw.wait.holders = holders.collect();
        let certainty = if proven { Certainty::Proven } else { Certainty::Possible };
        raw.wait.certainty = (!raw.wait.holders.is_empty()).then_some(certainty);
    }
}

/// Tells of each receiver of a channel without a bound how many messages lie in it.
///
/// Such a channel counts them where one with a bound has its semaphore, times two
/// (<https://github.com/tokio-rs/tokio/blob/tokio-1.54.1/tokio/src/sync/mpsc/unbounded.rs>).
pub(super) fn count_backlogs<M: Memory + ?Sized>(reflect: &Reflect<'_, '_, M>, all: &mut [Claims]) {
    let holds = all.iter_mut().flat_map(|claims| &mut claims.holds);
    let mut counts: HashMap<DieRef, Option<(u64, u8)>> = HashMap::default();
    for raw in holds.filter(|raw| raw.hold.role == HoldRole::Receiver && raw.hold.kind == ResourceKind::Mpsc)
    {
        let Some(ty) = raw.ty else { continue };
        let count = counts.entry(ty).or_insert_with(|| {
            let count = part(reflect.program, ty, &|name, _| name == "semaphore")?;
            let unbounded = reflect.program.path(&count.ty).ends_with("mpsc::unbounded::Semaphore");
            Some((count.offset, u8::try_from(count.ty.size).ok()?)).filter(|_| unbounded)
        });
        let read = |(offset, width)| reflect.number(raw.hold.address.offset(offset), width);
        raw.hold.backlog = count.and_then(read).map(|count| count >> 1);
    }
}

fn is_sole<M: Memory + ?Sized>(reflect: &Reflect<'_, '_, M>, raw: &RawHold) -> bool {
    let ty = raw.guard.and_then(|guard| reflect.program.ty(guard));
    ty.is_some_and(|ty| {
        let path = reflect.program.path(&ty);
        SOLE.iter().any(|sole| path.starts_with(sole))
    })
}
