//! The lines of `attach --json` about how long polls took: what is new each second, and all of it at the end.

use super::stream::PathPlace;
use crate::decode::Frame;
use crate::model::{KindTimes, PlaceTimes, Spot};
use crate::trace::Histogram;
use serde::Serialize;
use std::sync::Arc;

/// Polls since the last such line of the same name and place.
#[derive(Serialize)]
pub(super) struct HistogramLine<'a> {
    t_ns: u64,
    event: &'static str,
    name: &'a str,
    at: Option<PathPlace<'a>>,
    elsewhere: bool,
    polls: Classes,
    delays: Classes,
    /// How long the tasks were idle before them.
    idle_ns: u64,
}

impl<'a> HistogramLine<'a> {
    pub fn new(t_ns: u64, of: &'a PlaceTimes, frame: Option<&'a Frame>) -> Self {
        HistogramLine {
            t_ns,
            event: "histogram",
            name: &of.name,
            at: frame.map(PathPlace::from),
            elsewhere: of.at == Spot::Elsewhere,
            polls: Classes::from(&of.polls),
            delays: Classes::from(&of.delays),
            idle_ns: of.idle_ns,
        }
    }
}

#[derive(Serialize)]
struct Classes {
    count: u64,
    sum_ns: u64,
    /// Up to now, not only of these.
    max_ns: u64,
    /// Where a class begins, and how many are in it.
    classes: Vec<(u64, u64)>,
}

impl From<&Histogram> for Classes {
    fn from(histogram: &Histogram) -> Classes {
        let Histogram { sum_ns, max_ns, .. } = *histogram;
        Classes { count: histogram.count(), sum_ns, max_ns, classes: histogram.classes().collect() }
    }
}

/// All polls of one name, before the stream ends.
#[derive(Serialize)]
pub(super) struct KindLine<'a> {
    t_ns: u64,
    event: &'static str,
    name: &'a str,
    polls: Spread,
    delays: Spread,
    idle_ns: u64,
    places: Vec<PlaceJson<'a>>,
}

/// Those of them that began at one place.
#[derive(Serialize)]
struct PlaceJson<'a> {
    at: Option<PathPlace<'a>>,
    elsewhere: bool,
    polls: Spread,
    delays: Spread,
    idle_ns: u64,
}

/// Polls that began at a place, and the frame of that, if it is one.
pub(super) type At<'a> = (&'a PlaceTimes, Option<Arc<Frame>>);

impl<'a> KindLine<'a> {
    pub fn new(t_ns: u64, of: &'a KindTimes, places: &'a [At<'a>]) -> Self {
        let place = |(of, frame): &'a At<'a>| PlaceJson {
            at: frame.as_deref().map(PathPlace::from),
            elsewhere: of.at == Spot::Elsewhere,
            polls: Spread::from(&of.polls),
            delays: Spread::from(&of.delays),
            idle_ns: of.idle_ns,
        };
        KindLine {
            t_ns,
            event: "kind",
            name: &of.name,
            polls: Spread::from(&of.polls),
            delays: Spread::from(&of.delays),
            idle_ns: of.idle_ns,
            places: places.iter().map(place).collect(),
        }
    }
}

/// Each percentile is no less than the true one, and at most a quarter more; null where there is nothing.
#[derive(Serialize)]
struct Spread {
    count: u64,
    sum_ns: u64,
    p50_ns: Option<u64>,
    p95_ns: Option<u64>,
    p99_ns: Option<u64>,
    max_ns: Option<u64>,
}

impl From<&Histogram> for Spread {
    fn from(histogram: &Histogram) -> Spread {
        Spread {
            count: histogram.count(),
            sum_ns: histogram.sum_ns,
            p50_ns: histogram.percentile(50),
            p95_ns: histogram.percentile(95),
            p99_ns: histogram.percentile(99),
            max_ns: histogram.percentile(100),
        }
    }
}
