//! Rankings of where the time goes, and a critical path, as JSON; parts of DIAGNOSIS.

use super::json::Text;
use crate::analysis::{Bottlenecks, CriticalPath, Doing, FoundPlace, LockRank, LongAt, WaitRank};
use crate::decode::SourceLine;
use crate::model::AwaitPoint;
use crate::target::Avma;
use crate::trace::Histogram;
use serde::Serialize;

#[derive(Serialize)]
pub struct BottlenecksJson<'a> {
    waits: Vec<WaitJson<'a>>,
    polls: Vec<PollJson<'a>>,
    locks: Vec<LockJson<'a>>,
    /// Whether the times of `waits` are by snapshots.
    by_snapshots: bool,
    /// Stays, and histograms of polls, that there was no room for.
    not_kept: u64,
}

#[derive(Serialize)]
pub struct PointJson<'a> {
    task: &'a str,
    function: &'a str,
    /// Null before the first await.
    file: Option<&'a str>,
    line: Option<u32>,
    ordinal: u32,
}

#[derive(Serialize)]
struct WaitJson<'a> {
    #[serde(flatten)]
    point: PointJson<'a>,
    tasks: u64,
    waited_ns: u64,
    stays: TimesJson,
    waits_for: Vec<&'static str>,
}

#[derive(Serialize)]
struct PollJson<'a> {
    #[serde(flatten)]
    point: PointJson<'a>,
    polls: TimesJson,
    delays: TimesJson,
    long: Option<LongJson<'a>>,
}

#[derive(Serialize)]
pub struct TimesJson {
    count: u64,
    sum_ns: u64,
    p50_ns: Option<u64>,
    p95_ns: Option<u64>,
    p99_ns: Option<u64>,
    max_ns: u64,
}

#[derive(Serialize)]
struct LockJson<'a> {
    kind: &'static str,
    address: Text<Avma>,
    waiters: u64,
    most_waiters: u64,
    waited_ns: u64,
    holder: Option<Text<u64>>,
    /// The most that were known in any snapshot.
    holders: u32,
    acquired_at: Option<PlaceJson<'a>>,
    /// The await at which the function that holds it stood.
    held_at: Option<PlaceJson<'a>>,
    wanted_at: Option<PlaceJson<'a>>,
    task: &'a str,
}

#[derive(Serialize)]
struct PlaceJson<'a> {
    #[serde(flatten)]
    line: LineJson<'a>,
    function: &'a str,
}

/// Where polls from there were when they took long.
#[derive(Serialize)]
struct LongJson<'a> {
    doing: &'static str,
    function: &'a str,
    #[serde(flatten)]
    at: Option<LineJson<'a>>,
    polls: u64,
    total_ns: u64,
}

#[derive(Serialize)]
struct LineJson<'a> {
    file: &'a str,
    line: u32,
}

#[derive(Serialize)]
pub struct PathJson<'a> {
    task: Text<u64>,
    chains: Vec<ChainJson<'a>>,
    /// In chains beyond those that are told apart.
    elsewhere_ns: u64,
}

#[derive(Serialize)]
struct ChainJson<'a> {
    lasted_ns: u64,
    steps: Vec<StepJson<'a>>,
}

#[derive(Serialize)]
struct StepJson<'a> {
    task: Text<u64>,
    name: &'a str,
    function: &'a str,
    #[serde(flatten)]
    at: Option<LineJson<'a>>,
    doing: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    waits_for: Option<&'static str>,
}

impl<'a> From<&'a SourceLine> for LineJson<'a> {
    fn from(line: &'a SourceLine) -> LineJson<'a> {
        LineJson { file: &line.file, line: line.line }
    }
}

impl<'a> From<&'a AwaitPoint> for PointJson<'a> {
    fn from(point: &'a AwaitPoint) -> PointJson<'a> {
        let placed = point.line > 0;
        PointJson {
            task: &point.task,
            function: &point.function,
            file: placed.then_some(&*point.file),
            line: placed.then_some(point.line),
            ordinal: point.ordinal,
        }
    }
}

impl From<&Histogram> for TimesJson {
    fn from(times: &Histogram) -> TimesJson {
        let Histogram { sum_ns, max_ns, .. } = *times;
        let [p50_ns, p95_ns, p99_ns] = [50, 95, 99].map(|percent| times.percentile(percent));
        TimesJson { count: times.count(), sum_ns, p50_ns, p95_ns, p99_ns, max_ns }
    }
}

/// Null where no line is known.
fn place(place: Option<&FoundPlace>) -> Option<PlaceJson<'_>> {
    let place = place?;
    Some(PlaceJson { line: LineJson::from(place.line.as_ref()?), function: &place.function })
}

impl<'a> From<&'a LongAt> for LongJson<'a> {
    fn from(long: &'a LongAt) -> LongJson<'a> {
        LongJson {
            doing: if long.asleep { "asleep" } else { "runs" },
            function: &long.place.function,
            at: long.place.line.as_ref().map(LineJson::from),
            polls: long.count,
            total_ns: long.total_ns,
        }
    }
}

impl<'a> From<&'a LockRank> for LockJson<'a> {
    fn from(rank: &'a LockRank) -> LockJson<'a> {
        let lock = &rank.waits;
        LockJson {
            kind: lock.kind.as_str(),
            address: Text(lock.address),
            waiters: lock.waiters,
            most_waiters: lock.most,
            waited_ns: lock.waited_ns,
            holder: lock.holder.map(|task| Text(task.id)),
            holders: lock.holders,
            acquired_at: place(rank.acquired.as_ref()),
            held_at: place(rank.held.as_ref()),
            wanted_at: place(rank.wanted.as_ref()),
            task: &lock.name,
        }
    }
}

impl<'a> From<&'a Bottlenecks> for BottlenecksJson<'a> {
    fn from(all: &'a Bottlenecks) -> BottlenecksJson<'a> {
        let waits = all.waits.iter().map(|WaitRank { point, waits: rank }| WaitJson {
            point: PointJson::from(point),
            tasks: rank.tasks,
            waited_ns: rank.waited_ns,
            stays: TimesJson::from(&rank.times.stays.all),
            waits_for: rank.waits_for.iter().copied().collect(),
        });
        let polls = all.polls.iter().map(|rank| PollJson {
            point: PointJson::from(&rank.point),
            polls: TimesJson::from(&rank.times.polls.all),
            delays: TimesJson::from(&rank.times.delays.all),
            long: rank.long.as_ref().map(LongJson::from),
        });
        let (waits, polls) = (waits.collect(), polls.collect());
        let locks = all.locks.iter().map(LockJson::from).collect();
        BottlenecksJson { waits, polls, locks, by_snapshots: all.by_snapshots, not_kept: all.not_kept }
    }
}

impl<'a> From<&'a CriticalPath> for PathJson<'a> {
    fn from(path: &'a CriticalPath) -> PathJson<'a> {
        let step = |step: &'a crate::analysis::Step| StepJson {
            task: Text(step.task.id),
            name: &step.name,
            function: &step.place.function,
            at: step.place.line.as_ref().map(LineJson::from),
            doing: match step.doing {
                Doing::Waits(_) => "waits",
                Doing::Idle => "idle",
                Doing::Runs => "runs",
                Doing::Scheduled => "scheduled",
                Doing::Ended => "ended",
                Doing::Again => "again",
            },
            waits_for: match step.doing {
                Doing::Waits(kind) => Some(kind.as_str()),
                _ => None,
            },
        };
        let chains = path.chains().into_iter();
        let chains =
            chains.map(|(steps, lasted_ns)| ChainJson { lasted_ns, steps: steps.iter().map(step).collect() });
        PathJson { task: Text(path.task.id), chains: chains.collect(), elsewhere_ns: path.elsewhere_ns }
    }
}
