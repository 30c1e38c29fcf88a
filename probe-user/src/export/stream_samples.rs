//! What looks add to the stream: with `attach --sample --json`, or while the probes are out.

use super::stream::{About, PathPlace};
use crate::decode::Frame;
use crate::sample::{Estimate, Z_95};
use serde::Serialize;

/// Some looks in a row.
#[derive(Serialize)]
pub(super) struct Looked {
    pub t_ns: u64,
    pub event: &'static str,
    pub looks: u32,
    pub missed: u32,
    pub period_ns: u64,
    pub threads: u32,
}

/// Polls that looks fell into; how many there were nobody counted.
#[derive(Serialize)]
pub(super) struct SampledPoll<'a> {
    #[serde(flatten)]
    about: About,
    tid: u32,
    count: u64,
    duration_ns: u64,
    end: &'static str,
    sampled: bool,
    /// Where they began.
    at: Option<PathPlace<'a>>,
}

impl<'a> SampledPoll<'a> {
    pub fn new(about: About, tid: u32, busy_ns: u64, at: Option<&'a Frame>) -> Self {
        let at = at.map(PathPlace::from);
        SampledPoll { about, tid, count: 0, duration_ns: busy_ns, end: "unseen", sampled: true, at }
    }
}

/// How long a task ran and rested at one place; its last word on that, or the stream's.
#[derive(Serialize)]
pub(super) struct Time<'a> {
    #[serde(flatten)]
    pub about: About,
    pub name: &'a str,
    /// Null before its first await, and of the sum of places that are not told apart.
    pub at: Option<PathPlace<'a>>,
    pub elsewhere: bool,
    pub busy: Length,
    pub wait: Length,
}

/// The likeliest length, and the interval that holds the true one in 95 of 100 cases, all ns; made of `hits` in `looks`, where
/// `missed` more should have been.
#[derive(Serialize)]
pub(super) struct Length {
    ns: u64,
    low_ns: u64,
    high_ns: u64,
    hits: u64,
    looks: u64,
    missed: u64,
}

impl From<Estimate> for Length {
    fn from(estimate: Estimate) -> Length {
        let (low_ns, high_ns) = estimate.interval(Z_95);
        let Estimate { hits, looks, missed, .. } = estimate;
        Length { ns: estimate.ns(), low_ns, high_ns, hits, looks, missed }
    }
}
