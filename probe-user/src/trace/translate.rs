//! The kernel's records → events: names for sites, frames for arms, ends for polls.
//!
//! Nothing depends on an earlier record, except with entry probes only: so a lost record costs what it
//! said and nothing more.

use super::{Path, PollEnd, TraceEvent, TracePlan};
use crate::decode::{FrameId, RuntimeKind, TaskId};
use async_inspect_ebpf::{
    EVENT_GONE, EVENT_MOVED, EVENT_START_ONLY, EVENT_UNREADABLE, NONE, PATH_BAD_TABLE, PATH_UNKNOWN_STATE,
    PATH_UNREADABLE, PollEvent,
};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use zerocopy::FromBytes;

/// Bits of tokio's `Header::state`.
/// <https://github.com/tokio-rs/tokio/blob/tokio-1.48.0/tokio/src/runtime/task/state.rs#L17>
const RUNNING: u64 = 1;
const COMPLETE: u64 = 2;
const CANCELLED: u64 = 0x20;
const REFS_SHIFT: u32 = 6;
/// More references than a live task has: what stands there is an allocator's, not a state word.
const MAX_REFS: u64 = 1 << 24;

/// Bounds on what a target can make us remember. Beyond, the table starts anew: a path is allocated again, a
/// task counts as seen for the first time.
const MAX_PATHS: usize = 1 << 16;
const MAX_TASKS: usize = 1 << 20;

/// One record of the ring buffer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Record<'a> {
    pub event: PollEvent,
    pub to: &'a [u32],
    pub from: &'a [u32],
}

impl<'a> Record<'a> {
    /// None if these bytes are no record.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (event, arms) = PollEvent::read_from_prefix(bytes).ok()?;
        let (to, arms) = <[u32]>::ref_from_prefix_with_elems(arms, event.to_len as usize).ok()?;
        let (from, _) = <[u32]>::ref_from_prefix_with_elems(arms, event.from_len as usize).ok()?;
        Some(Record { event, to, from })
    }
}

pub(super) struct Translator {
    names: Vec<Arc<str>>,
    /// For each site, whether it is known where its tasks keep their id.
    has_id: Vec<bool>,
    arm_frames: Vec<Option<FrameId>>,
    arm_ends: Vec<Option<PollEnd>>,
    by_arms: HashMap<Box<[u32]>, Path>,
    paths: HashSet<Path>,
    /// Tasks seen and not ended, with the path at their last poll start where only starts are seen.
    tasks: HashMap<u64, Option<Path>>,
    /// Polls of tasks whose id could not be read.
    unidentified: u64,
    /// Polls of tasks that are known not to be told apart.
    anonymous: u64,
}

impl Translator {
    pub fn new(plan: &TracePlan) -> Self {
        Translator {
            names: plan.sites.iter().map(|site| site.name.clone()).collect(),
            has_id: plan.sites.iter().map(|site| site.id_offset != NONE).collect(),
            arm_frames: plan.arm_frames.clone(),
            arm_ends: plan.arm_ends.clone(),
            by_arms: HashMap::new(),
            paths: HashSet::new(),
            tasks: HashMap::new(),
            unidentified: 0,
            anonymous: 0,
        }
    }

    pub fn unidentified(&self) -> u64 {
        self.unidentified
    }

    pub fn anonymous(&self) -> u64 {
        self.anonymous
    }

    pub fn name(&self, site: u32) -> Option<Arc<str>> {
        self.names.get(site as usize).cloned()
    }

    /// Adds the events of one record. `tid` is the thread as the user knows it.
    pub fn translate(&mut self, record: Record<'_>, tid: u32, out: &mut Vec<TraceEvent>) {
        let event = record.event;
        if self.has_id.get(event.site as usize) == Some(&false) {
            self.anonymous += 1;
            return;
        }
        let Some(name) = self.name(event.site).filter(|_| event.flags & EVENT_UNREADABLE == 0) else {
            self.unidentified += 1;
            return;
        };
        let task = TaskId { runtime: RuntimeKind::Tokio, id: event.task };
        if self.tasks.len() >= MAX_TASKS {
            self.tasks.clear();
        }
        if let Entry::Vacant(first_sight) = self.tasks.entry(event.task) {
            first_sight.insert(None);
            out.push(TraceEvent::Spawn { t_ns: event.start_ns, task, name, parent: None });
        }
        if event.flags & EVENT_START_ONLY != 0 {
            self.start(record, task, tid, out);
        } else {
            self.whole(record, task, tid, out);
        }
    }

    fn start(&mut self, record: Record<'_>, task: TaskId, tid: u32, out: &mut Vec<TraceEvent>) {
        let t_ns = record.event.start_ns;
        if let Some(to) = self.path(record.to, record.event.to_flags) {
            let before = self.tasks.insert(task.id, Some(to.clone())).flatten();
            if let Some(from) = before.filter(|from| *from != to) {
                out.push(TraceEvent::State { t_ns, task, from, to });
            }
        }
        out.push(TraceEvent::Poll { t_ns, task, tid, count: 1, duration_ns: None, end: PollEnd::Unseen });
    }

    fn whole(&mut self, record: Record<'_>, task: TaskId, tid: u32, out: &mut Vec<TraceEvent>) {
        let event = record.event;
        let end = self.end(&record);
        if end == PollEnd::Pending && event.flags & EVENT_MOVED != 0 {
            let from = self.path(record.from, event.from_flags);
            let to = self.path(record.to, event.to_flags);
            if let (Some(from), Some(to)) = (from, to)
                && from != to
            {
                out.push(TraceEvent::State { t_ns: event.end_ns, task, from, to });
            }
        }
        if end != PollEnd::Pending {
            self.tasks.remove(&task.id);
        }
        let duration_ns = Some(event.end_ns.saturating_sub(event.start_ns));
        out.push(TraceEvent::Poll { t_ns: event.end_ns, task, tid, count: 1, duration_ns, end });
    }

    fn end(&self, record: &Record<'_>) -> PollEnd {
        let event = record.event;
        if event.flags & EVENT_GONE != 0 {
            return PollEnd::Gone;
        }
        let arm_end = record.to.iter().rev().find_map(|arm| *self.arm_ends.get(*arm as usize)?);
        match arm_end {
            None => PollEnd::Pending,
            Some(PollEnd::Complete) if was_cancelled(&event) => PollEnd::Cancelled,
            Some(end) => end,
        }
    }

    /// The frames of a path; None where it was not read to its end.
    fn path(&mut self, arms: &[u32], flags: u16) -> Option<Path> {
        if flags as u32 & (PATH_UNREADABLE | PATH_UNKNOWN_STATE | PATH_BAD_TABLE) != 0 {
            return None;
        }
        if let Some(path) = self.by_arms.get(arms) {
            return Some(path.clone());
        }
        if self.by_arms.len() >= MAX_PATHS {
            self.by_arms.clear();
            self.paths.clear();
        }
        let frames: Path = arms.iter().filter_map(|arm| *self.arm_frames.get(*arm as usize)?).collect();
        let path = self.paths.get(&frames).cloned().unwrap_or(frames);
        self.paths.insert(path.clone());
        self.by_arms.insert(arms.into(), path.clone());
        Some(path)
    }
}

/// Whether a task that has ended was cancelled. At the poll's start its state word was certainly still its
/// own; at the end its memory may have been freed, and only a word that a task can have is believed.
fn was_cancelled(event: &PollEvent) -> bool {
    let at_end = event.state_at_end;
    let a_tasks = at_end & (COMPLETE | RUNNING) == COMPLETE && at_end >> REFS_SHIFT < MAX_REFS;
    event.state_at_start & CANCELLED != 0 || a_tasks && at_end & CANCELLED != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::FileOffset;
    use crate::trace::{SitePlan, WalkArm};
    use async_inspect_ebpf::{MAX_EVENT, PATH_TRUNCATED};
    use proptest::prelude::*;
    use std::mem::offset_of;
    use zerocopy::IntoBytes;

    /// Arms 0 pending without a frame, 1 and 2 frames, 3 complete, 4 panicked within 3.
    fn translator() -> Translator {
        let end = WalkArm { child_node: NONE, child_off: 0, flags: 0 };
        Translator::new(&TracePlan {
            sites: vec![SitePlan {
                offset: FileOffset(1),
                name: "app::serve".into(),
                root: NONE,
                id_offset: 8,
            }],
            arms: vec![end; 5],
            arm_frames: vec![None, Some(FrameId(10)), Some(FrameId(20)), None, None],
            arm_ends: vec![None, None, None, Some(PollEnd::Complete), Some(PollEnd::Panicked)],
            ..TracePlan::default()
        })
    }

    fn poll() -> PollEvent {
        PollEvent { task: 7, start_ns: 100, end_ns: 150, tid: 3, ..PollEvent::default() }
    }

    fn events(over: &mut Translator, event: PollEvent, to: &[u32], from: &[u32]) -> Vec<TraceEvent> {
        let mut out = Vec::new();
        over.translate(Record { event, to, from }, event.tid, &mut out);
        out
    }

    fn end_of(event: PollEvent, to: &[u32]) -> PollEnd {
        match events(&mut translator(), event, to, &[]).pop() {
            Some(TraceEvent::Poll { end, .. }) => end,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_poll_that_moved_the_task() {
        let mut over = translator();
        let moved = PollEvent { flags: EVENT_MOVED, ..poll() };
        let task = TaskId { runtime: RuntimeKind::Tokio, id: 7 };
        let (one, two): (Path, Path) = ([FrameId(10)].into(), [FrameId(10), FrameId(20)].into());
        let poll = TraceEvent::Poll {
            t_ns: 150,
            task,
            tid: 3,
            count: 1,
            duration_ns: Some(50),
            end: PollEnd::Pending,
        };
        let first = events(&mut over, moved, &[0, 1, 2], &[0, 1]);
        let state = TraceEvent::State { t_ns: 150, task, from: one.clone(), to: two.clone() };
        let spawn = TraceEvent::Spawn { t_ns: 100, task, name: "app::serve".into(), parent: None };
        assert_eq!(first, [spawn, state, poll.clone()]);
        // Other arms, the same frames: nothing that people see has changed.
        assert_eq!(events(&mut over, moved, &[1, 2], &[0, 1, 2]), std::slice::from_ref(&poll));
        // A path cut short in a known way is what is known; one that could not be read is not told.
        let truncated = PollEvent { to_flags: PATH_TRUNCATED as u16, ..moved };
        assert_eq!(events(&mut over, truncated, &[1], &[0, 1, 2]).len(), 2);
        let unreadable = PollEvent { to_flags: PATH_UNREADABLE as u16, ..moved };
        assert_eq!(events(&mut over, unreadable, &[1], &[0, 1, 2]), [poll]);
    }

    #[test]
    fn equal_paths_share_one_allocation() {
        let mut over = translator();
        let (a, b) = (over.path(&[0, 1], 0), over.path(&[1], 0));
        assert!(Arc::ptr_eq(&a.expect("readable"), &b.expect("readable")));
    }

    #[test]
    fn how_a_poll_ended() {
        assert_eq!(end_of(poll(), &[0, 1]), PollEnd::Pending);
        assert_eq!(end_of(poll(), &[3]), PollEnd::Complete);
        assert_eq!(end_of(poll(), &[3, 4]), PollEnd::Panicked);
        assert_eq!(end_of(PollEvent { flags: EVENT_GONE, ..poll() }, &[]), PollEnd::Gone);
        let start = PollEvent { state_at_start: CANCELLED | RUNNING, ..poll() };
        assert_eq!(end_of(start, &[3]), PollEnd::Cancelled);
        assert_eq!(end_of(start, &[1]), PollEnd::Pending);
        let end = |state_at_end| end_of(PollEvent { state_at_end, ..poll() }, &[3]);
        assert_eq!(end(COMPLETE | CANCELLED | 2 << REFS_SHIFT), PollEnd::Cancelled);
        assert_eq!(end(COMPLETE | 2 << REFS_SHIFT), PollEnd::Complete);
        // An allocator's pointer in freed memory, bits and all.
        assert_eq!(end(0x7f12_3456_7000 | COMPLETE | CANCELLED), PollEnd::Complete);
    }

    #[test]
    fn an_ended_task_is_forgotten_and_an_unknown_one_counted() {
        let mut over = translator();
        assert_eq!(events(&mut over, poll(), &[3], &[]).len(), 2);
        assert_eq!(events(&mut over, poll(), &[1], &[]).len(), 2, "spawned again under the same id");
        assert_eq!(events(&mut over, poll(), &[1], &[]).len(), 1);
        assert_eq!(events(&mut over, PollEvent { flags: EVENT_UNREADABLE, ..poll() }, &[1], &[]), []);
        assert_eq!(events(&mut over, PollEvent { site: 1, ..poll() }, &[1], &[]), []);
        assert_eq!(over.unidentified(), 2);
        over.has_id[0] = false;
        assert_eq!(events(&mut over, poll(), &[1], &[]), [], "id 0 would be one task for all");
        assert_eq!((over.anonymous(), over.unidentified()), (1, 2));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_record_or_none(bytes in prop::collection::vec(any::<u8>(), 0..MAX_EVENT + 8)) {
            // Aligned as in the ring buffer.
            let mut words = vec![0u64; bytes.len().div_ceil(8)];
            words.as_mut_bytes()[..bytes.len()].copy_from_slice(&bytes);
            let mut over = translator();
            let record = Record::parse(&words.as_bytes()[..bytes.len()]);
            let arms = |at: usize| bytes.get(at).copied().map_or(0, usize::from);
            // The lengths stand where the ABI puts them.
            let arms = arms(offset_of!(PollEvent, to_len)) + arms(offset_of!(PollEvent, from_len));
            prop_assert_eq!(record.is_some(), size_of::<PollEvent>() + 4 * arms <= bytes.len());
            if let Some(record) = record {
                prop_assert_eq!(record.to.len() + record.from.len(), arms);
                over.translate(record, 1, &mut Vec::new());
            }
        }
    }
}
