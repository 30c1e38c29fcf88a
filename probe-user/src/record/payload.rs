//! Updates as a recording has them. Field by field they are the model's own; only await paths, which repeat, are written
//! once per chunk and referred to.
//!
//! Enum variants are written by name, struct fields by position: a later version may add variants, and fields at the end
//! with `#[serde(default)]`.

use crate::decode::{FrameId, TaskId};
use crate::model::{Cost, End};
use crate::sample::Round;
use crate::trace::{Path, TraceEvent};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// `T` is [`Traced`], or [`TracedRef`] which looks the same in the file.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Item<T> {
    Trace(Vec<T>),
    Note(String),
    Cost(Cost),
    Samples(Round),
    Tick(u64),
    End { t_ns: u64, end: End },
}

#[derive(Debug, Deserialize)]
pub(super) enum Traced {
    /// [`TraceEvent::State`], with indices of this chunk's paths.
    Moved {
        t_ns: u64,
        task: TaskId,
        from: u32,
        to: u32,
    },
    /// [`TraceEvent::Stands`], likewise.
    Stands {
        t_ns: u64,
        task: TaskId,
        at: u32,
    },
    Event(TraceEvent),
}

#[derive(Debug, Serialize)]
#[serde(rename = "Traced")]
pub(super) enum TracedRef<'a> {
    Moved { t_ns: u64, task: TaskId, from: u32, to: u32 },
    Stands { t_ns: u64, task: TaskId, at: u32 },
    Event(&'a TraceEvent),
}

/// The paths of one chunk. Its own, so that no damage elsewhere makes them unknown.
#[derive(Debug, Default)]
pub(super) struct PathTable {
    known: HashMap<Path, u32>,
    list: Vec<Path>,
    /// Frames in all of them.
    frames: usize,
}

impl PathTable {
    pub fn put<'a>(&mut self, event: &'a TraceEvent) -> TracedRef<'a> {
        match event {
            TraceEvent::State { t_ns, task, from, to } => {
                let (from, to) = (self.index(from), self.index(to));
                TracedRef::Moved { t_ns: *t_ns, task: *task, from, to }
            }
            TraceEvent::Stands { t_ns, task, at } => {
                TracedRef::Stands { t_ns: *t_ns, task: *task, at: self.index(at) }
            }
            other => TracedRef::Event(other),
        }
    }

    fn index(&mut self, path: &Path) -> u32 {
        if let Some(index) = self.known.get(path) {
            return *index;
        }
        let index = self.list.len() as u32;
        self.known.insert(path.clone(), index);
        self.list.push(path.clone());
        self.frames += path.len();
        index
    }

    /// What the table will take in the payload, at most.
    pub fn bytes(&self) -> usize {
        5 * (self.list.len() + self.frames)
    }

    pub fn take(&mut self) -> Vec<Path> {
        self.known.clear();
        self.frames = 0;
        std::mem::take(&mut self.list)
    }
}

impl Traced {
    /// The event again; None if it names a path that is not there.
    pub fn resolve(self, paths: &[Path]) -> Option<TraceEvent> {
        let path = |index: u32| paths.get(index as usize).cloned();
        Some(match self {
            Traced::Moved { t_ns, task, from, to } => {
                TraceEvent::State { t_ns, task, from: path(from)?, to: path(to)? }
            }
            Traced::Stands { t_ns, task, at } => TraceEvent::Stands { t_ns, task, at: path(at)? },
            Traced::Event(event) => event,
        })
    }
}

/// Frames a chunk refers to must be in the table.
pub(super) fn within(frames: &[FrameId], known: usize) -> bool {
    frames.iter().all(|frame| (frame.0 as usize) < known)
}
