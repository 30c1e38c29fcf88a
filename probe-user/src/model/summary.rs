//! Totals since watching began.

use super::Delays;
use crate::decode::FrameId;
use crate::trace::OffCpu;
use std::sync::Arc;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Distinct tasks seen, living and ended.
    pub tasks_seen: u64,
    /// Of these, the ones that were there before we looked.
    pub existing: u64,
    /// Tasks whose birth fell into the watch.
    pub spawned: u64,
    pub completed: u64,
    pub cancelled: u64,
    pub panicked: u64,
    /// Ended while nobody saw how.
    pub gone: u64,
    /// None where polls are not seen.
    pub polls: Option<u64>,
    /// Sum of measured poll durations, ns; None where they are not measured.
    pub busy_ns: Option<u64>,
    /// Part of `busy_ns`; None where it is not watched.
    pub off_cpu: Option<OffCpu>,
    /// None where they are not watched.
    pub wakes: Option<u64>,
    pub delays: Delays,
    pub transitions: u64,
    /// Trace events lost.
    pub lost: u64,
    /// Tasks not kept one by one because there were more than [`super::Limits::live`].
    pub not_kept: u64,
    /// Arrivals at places beyond [`super::Limits::places`].
    pub places_not_kept: u64,
}

/// How often tasks of one name came to one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaceTotals {
    pub task_name: Arc<str>,
    pub place: FrameId,
    pub arrivals: u64,
    /// Time spent there by tasks that have left again, ns.
    pub spent_ns: u64,
    /// Arrivals whose departure was seen: what `spent_ns` sums over.
    pub departures: u64,
}
