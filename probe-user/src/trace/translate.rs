//! The kernel's records → events: names for sites, frames for arms, ends for polls.
//!
//! Nothing depends on an earlier record, except with entry probes only: so a lost record costs what it
//! said and nothing more.

use super::{Path, PollEnd, TraceEvent, TracePlan};
use crate::decode::{FrameId, RuntimeKind, TaskId};
use async_inspect_ebpf::{
    EVENT_GONE, EVENT_MOVED, EVENT_START_ONLY, EVENT_UNREADABLE, PATH_BAD_TABLE, PATH_UNKNOWN_STATE,
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
    arm_frames: Vec<Option<FrameId>>,
    arm_ends: Vec<Option<PollEnd>>,
    by_arms: HashMap<Box<[u32]>, Path>,
    paths: HashSet<Path>,
    /// Tasks seen and not ended, with the path at their last poll start where only starts are seen.
    tasks: HashMap<u64, Option<Path>>,
    /// Polls of tasks whose id could not be read.
    unidentified: u64,
}

impl Translator {
    pub fn new(plan: &TracePlan) -> Self {
        Translator {
            names: plan.sites.iter().map(|site| site.name.clone()).collect(),
            arm_frames: plan.arm_frames.clone(),
            arm_ends: plan.arm_ends.clone(),
            by_arms: HashMap::new(),
            paths: HashSet::new(),
            tasks: HashMap::new(),
            unidentified: 0,
        }
    }

    pub fn unidentified(&self) -> u64 {
        self.unidentified
    }

    pub fn name(&self, site: u32) -> Option<Arc<str>> {
        self.names.get(site as usize).cloned()
    }

    /// Adds the events of one record. `tid` is the thread as the user knows it.
    pub fn translate(&mut self, record: Record<'_>, tid: u32, out: &mut Vec<TraceEvent>) {
        let event = record.event;
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
