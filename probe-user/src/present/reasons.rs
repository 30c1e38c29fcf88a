//! What a task waits for, in words: which thing, who keeps it, how long still.

use super::escape::escape;
use super::names;
use super::places::Places;
use super::units::{count, span};
use crate::decode::{Certainty, Frames, ResourceKind, RuntimeKind, TaskId, Wait};

/// Reasons shown of one task.
const REASONS: usize = 4;
/// Holders named of one thing.
const HOLDERS: usize = 4;

/// What is needed to say it.
#[derive(Clone, Copy)]
pub struct Reasons<'a> {
    pub frames: &'a Frames,
    pub places: &'a Places,
    /// CLOCK_MONOTONIC: what "left" of a timer counts from. None: not known, and nothing is said.
    pub now_ns: Option<u64>,
}

impl Reasons<'_> {
    /// Of one task.
    pub fn of(&self, waits: &[Wait]) -> Vec<String> {
        shortened(waits.iter().filter_map(|wait| Some((wait.any, self.reason(wait)?))).collect())
    }

    /// Of several tasks at one place, each with its waits in the same order. What differs is told of the first.
    pub fn of_many(&self, all: &[&[Wait]]) -> Vec<String> {
        let Some(first) = all.first().filter(|_| all.len() > 1) else {
            return all.first().map(|waits| self.of(waits)).unwrap_or_default();
        };
        let alike = |i: usize, wait: &Wait| {
            let others = all.iter().skip(1).filter_map(|waits| waits.get(i));
            let mut same = others.filter(|other| other.kind == wait.kind);
            same.all(|other| (other.address, other.fd) == (wait.address, wait.fd))
        };
        let reason = |(i, wait): (usize, &Wait)| {
            let words = if wait.kind == ResourceKind::Timer {
                self.timers(all.iter().filter_map(|waits| waits.get(i)))
            } else if alike(i, wait) {
                // Each has a place in line of its own.
                self.reason(&Wait { detail: None, ..wait.clone() })?
            } else {
                format!("{} (so the first; each waits for its own)", self.reason(wait)?)
            };
            Some((wait.any, words))
        };
        shortened(first.iter().enumerate().filter_map(reason).collect())
    }

    fn reason(&self, wait: &Wait) -> Option<String> {
        let detail = wait.detail.as_deref().map(escape);
        if wait.kind == ResourceKind::Timer {
            return Some(self.timers(std::iter::once(wait)));
        }
        if let (ResourceKind::Io, Some(detail)) = (wait.kind, &detail) {
            return Some(detail.to_string());
        }
        if let (ResourceKind::Join, Some(task)) = (wait.kind, wait.task) {
            return Some(format!("waits for task {} to end", name(task)));
        }
        let mut words = match wait.address {
            Some(address) => format!("{} {address}", noun(wait.kind)?),
            None => {
                let leaf = names::without_parameters(&self.frames.get(wait.leaf).function);
                format!("{} ({})", noun(wait.kind)?, names::function(&leaf))
            }
        };
        if !wait.holders.is_empty() {
            words += &self.holders(wait);
        }
        if let Some(detail) = detail {
            words += &format!(", {detail}");
        }
        Some(words)
    }

    fn holders(&self, wait: &Wait) -> String {
        let mut names: Vec<String> = wait.holders.iter().take(HOLDERS).map(|id| name(*id)).collect();
        if wait.holders.len() > HOLDERS {
            names.push(format!("{} more", wait.holders.len() - HOLDERS));
        }
        let names = names.join(", ");
        let possibly = if wait.certainty == Some(Certainty::Possible) { "possibly " } else { "" };
        let since = wait.acquired_at.as_ref().map(|line| format!(" since {}", self.places.show(line)));
        match wait.kind {
            ResourceKind::Mpsc | ResourceKind::Oneshot | ResourceKind::Watch | ResourceKind::Broadcast => {
                format!(", whose other end is {possibly}kept by {names}")
            }
            _ => format!(", {possibly}held by {names}{}", since.unwrap_or_default()),
        }
    }

    fn timers<'w>(&self, waits: impl Iterator<Item = &'w Wait>) -> String {
        let left = waits.filter_map(|wait| Some(wait.deadline_ns?.saturating_sub(self.now_ns?)));
        let (least, most) = left.fold((u64::MAX, 0), |(least, most), ns| (least.min(ns), most.max(ns)));
        match (least, most) {
            (u64::MAX, 0) => "sleeping".into(),
            (0, 0) => "sleeping, its time is over".into(),
            (least, most) if span(least) == span(most) => format!("sleeping, {} left", span(least)),
            (least, most) => format!("sleeping, {} to {} left", span(least), span(most)),
        }
    }
}

/// A future in `block_on` goes by its thread.
fn name(task: TaskId) -> String {
    match task.runtime {
        RuntimeKind::BlockOn => format!("thread {}", task.id),
        _ => format!("#{}", task.id),
    }
}

fn noun(kind: ResourceKind) -> Option<&'static str> {
    Some(match kind {
        ResourceKind::Mutex => "waits for mutex",
        ResourceKind::RwLock => "waits for rwlock",
        ResourceKind::Semaphore => "waits for semaphore",
        ResourceKind::Mpsc => "waits for mpsc channel",
        ResourceKind::Oneshot => "waits for oneshot channel",
        ResourceKind::Watch => "waits for watch channel",
        ResourceKind::Broadcast => "waits for broadcast channel",
        ResourceKind::Notify => "waits to be notified by",
        ResourceKind::Barrier => "waits at barrier",
        ResourceKind::Join => "waits for a task to end",
        ResourceKind::Io => "waits for I/O",
        ResourceKind::OnceCell => "waits for once-cell",
        ResourceKind::Timer => "sleeping",
        ResourceKind::Unknown => return None,
    })
}

/// Each once, and not too many. Of the alternatives all but the first begin with "or".
fn shortened(mut reasons: Vec<(bool, String)>) -> Vec<String> {
    let mut seen = std::collections::HashSet::new();
    reasons.retain(|(_, reason)| seen.insert(reason.clone()));
    let more = reasons.len().saturating_sub(REASONS);
    reasons.truncate(REASONS);
    let mut alternatives = 0;
    let mut words: Vec<String> = Vec::new();
    for (any, reason) in reasons {
        alternatives += u32::from(any);
        words.push(if any && alternatives > 1 { format!("or {reason}") } else { reason });
    }
    if more > 0 {
        words.push(format!("{} more", count(more as u64)));
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::SourceLine;
    use crate::model::sample::{SECOND, Shop, tokio};
    use crate::target::Avma;

    #[test]
    fn words_for_every_kind() {
        let shop = Shop::new();
        let places = Places::of(&shop.frames);
        let says = Reasons { frames: &shop.frames, places: &places, now_ns: Some(5 * SECOND) };
        let leaf = shop.sleeping()[1];
        let wait = |kind| Wait::of_kind(kind, leaf);
        let unknown = wait(ResourceKind::Unknown);
        assert!(says.of(&[unknown]).is_empty());
        let sleeps = |seconds: u64| Wait { deadline_ns: Some(seconds * SECOND), ..wait(ResourceKind::Timer) };
        let locks = Wait {
            address: Some(Avma(0x10)),
            holders: Box::from([tokio(3)]),
            certainty: Some(Certainty::Possible),
            acquired_at: Some(SourceLine { file: "/srv/shop/src/cart.rs".into(), line: 4 }),
            detail: Some("number 2 of 3 in line".into()),
            ..wait(ResourceKind::Mutex)
        };
        let reads =
            Wait { fd: Some(7), detail: Some("reads fd 7, \x1b[2J".into()), ..wait(ResourceKind::Io) };
        let joins = Wait { task: Some(tokio(9)), ..wait(ResourceKind::Join) };
        let bare = wait(ResourceKind::Notify);
        insta::assert_snapshot!(
            says.of(&[sleeps(7), sleeps(1), locks.clone()]).join("\n")
                + "\n"
                + &says.of(&[reads, joins, bare]).join("\n")
        );
        let many = [[sleeps(7), locks.clone()], [sleeps(9), Wait { detail: None, ..locks.clone() }]];
        let other = [[sleeps(7), locks.clone()], [sleeps(7), Wait { address: Some(Avma(0x20)), ..locks }]];
        let many = says.of_many(&many.each_ref().map(|waits| &waits[..]));
        let other = says.of_many(&other.each_ref().map(|waits| &waits[..]));
        let either = |wait: Wait| Wait { any: true, ..wait };
        let or =
            says.of(&[either(sleeps(7)), wait(ResourceKind::Barrier), either(wait(ResourceKind::Mutex))]);
        assert!(or[2].starts_with("or waits for mutex") && or[1].starts_with("waits at barrier"), "{or:?}");
        insta::assert_snapshot!("many", many.join("\n") + "\n" + &other.join("\n"));
    }
}
