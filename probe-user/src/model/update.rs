//! What reaches a view from the side that watches the target.

use super::{Event, Model};
use crate::decode::{RuntimeKind, Snapshot, TaskId};
use crate::sample::Round;
use crate::trace::TraceEvent;
use serde::{Deserialize, Serialize};

/// How a target is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// uprobe session links: entry and return of each poll.
    Session,
    /// uprobe_multi links, entry and return.
    Multi,
    /// One perf event per probe (kernels before 6.6).
    PerfEvents,
    /// Entry probes only: poll counts are exact, durations unknown.
    EntryOnly,
    /// No probes: snapshots, and the differences between them.
    Snapshots,
    /// No probes: looks from outside at what each thread polls, so many a second, and snapshots.
    Sample { hz: u32 },
}

impl Mode {
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Session => "session",
            Mode::Multi => "multi",
            Mode::PerfEvents => "perf",
            Mode::EntryOnly => "entry-only",
            Mode::Snapshots => "snapshots",
            Mode::Sample { .. } => "sample",
        }
    }

    /// How one task is watched: only tokio's are probed.
    pub fn of(self, task: TaskId) -> Mode {
        if task.runtime == RuntimeKind::Tokio { self } else { Mode::Snapshots }
    }

    /// Whether polls are seen at all.
    pub fn counts_polls(self) -> bool {
        !matches!(self, Mode::Snapshots | Mode::Sample { .. })
    }

    /// Whether times are estimates out of looks.
    pub fn samples(self) -> bool {
        matches!(self, Mode::Sample { .. })
    }

    /// Whether the length of a poll is seen.
    pub fn times_polls(self) -> bool {
        self.counts_polls() && self != Mode::EntryOnly
    }
}

/// What watching has cost so far. Absent where it was not measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Probe hits in the target.
    pub hits: u64,
    /// CPU time those hits cost the target, ns: hits times the calibrated cost of one.
    pub target_ns: Option<u64>,
    /// CPU time that the target has used meanwhile, ns; `target_ns` is a part of it.
    pub cpu_ns: Option<u64>,
    /// How long the probes were out to keep their cost within the budget, ns.
    pub out_ns: u64,
    /// CPU time of our own process, ns.
    pub own_ns: Option<u64>,
    /// `--max-overhead`, where it is kept: percent of the target's CPU time.
    #[serde(default)]
    pub limit: Option<u8>,
}

/// Why watching ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// `status`: in words, where the target was our child.
    TargetExited {
        status: Option<String>,
    },
    /// `-d` ran out.
    Duration,
    /// Ctrl-C, or SIGTERM.
    Interrupted,
    Failed(String),
    /// It runs another program now.
    Execed,
    /// `q` on the screen. Never recorded.
    Left,
}

impl End {
    /// Nothing more will come of what was watched.
    pub fn is_over(&self) -> bool {
        matches!(self, End::TargetExited { .. } | End::Execed)
    }

    /// The `reason` of the stream's last object.
    pub fn reason(&self) -> &str {
        match self {
            End::TargetExited { .. } => "target exited",
            End::Duration => "duration over",
            End::Interrupted => "interrupted",
            End::Left => "left",
            End::Failed(why) => why,
            End::Execed => "exec",
        }
    }
}

#[derive(Debug)]
pub enum Update {
    Trace(Vec<TraceEvent>),
    Snapshot(Box<Snapshot>),
    Samples(Round),
    /// One line that people should read: a snapshot failed, a fallback was taken.
    Note(String),
    Cost(Cost),
    /// Time passed and nothing else: CLOCK_MONOTONIC ns.
    Tick(u64),
    /// The last one.
    End {
        t_ns: u64,
        end: End,
    },
}

/// What an update says beside what it changes in the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Aside {
    Note(String),
    Cost(Cost),
    End { t_ns: u64, end: End },
}

impl Model {
    /// Takes an update; what it meant for the tasks is appended to `out`.
    pub fn apply(&mut self, update: Update, out: &mut Vec<Event>) -> Option<Aside> {
        match update {
            Update::Trace(events) => events.into_iter().for_each(|event| self.trace(event, out)),
            Update::Snapshot(snapshot) => self.snapshot_taken(snapshot, out),
            Update::Samples(round) => self.sampled(&round, out),
            Update::Tick(t_ns) => self.tick(t_ns),
            Update::Note(text) => return Some(Aside::Note(text)),
            Update::Cost(cost) => {
                self.cost = Some(cost);
                return Some(Aside::Cost(cost));
            }
            Update::End { t_ns, end } => {
                self.tick(t_ns);
                return Some(Aside::End { t_ns, end });
            }
        }
        None
    }
}
