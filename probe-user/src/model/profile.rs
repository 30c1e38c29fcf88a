//! How long tasks stay at each await point, how long polls from there take, and how both vary over time.
//!
//! Points are told by function, file, line and ordinal: the same in another build or another run of the program, which makes
//! two profiles comparable.

use super::{AwaitPath, Event, Model, Spot, TaskEntry};
use crate::decode::{FrameId, TaskId};
use crate::trace::Histogram;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// A stretch of time that is an observation of its own, ns: what varies within a run varies from one to the next.
const BLOCK_NS: u64 = 1_000_000_000;
/// Of a longer run they are longer.
const BLOCKS: usize = 64;
/// Points that are kept.
const POINTS: usize = 10_000;
/// Tasks whose stay is followed at once.
const STAYS: usize = 1_000_000;

/// An await in one kind of task. Without a line: before the first await of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AwaitPoint {
    /// Name of the task.
    pub task: Arc<str>,
    pub function: Arc<str>,
    pub file: Arc<str>,
    pub line: u32,
    /// Which await of the function.
    pub ordinal: u32,
}

/// Times of one kind at one point.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Series {
    pub all: Histogram,
    /// By block of a second times 2 to the `doubled`, those without any left out: how many, and their sum in ns.
    blocks: BTreeMap<u64, (u64, u64)>,
    doubled: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PointTimes {
    /// From arrival at the await until the task moved on.
    pub stays: Series,
    /// Of stays whose beginning was not seen, as it was before we looked, what lay within the watch; ns.
    pub cut_ns: u64,
    /// Polls that began there.
    pub polls: Series,
    /// From a wake there to its poll.
    pub delays: Series,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    points: BTreeMap<AwaitPoint, PointTimes>,
    stays: HashMap<TaskId, Stay>,
    /// Stays, and histograms of polls, that there was no room for.
    pub not_kept: u64,
}

/// Of a task that has come to an await.
#[derive(Clone, Debug)]
struct Stay {
    since_ns: u64,
    place: FrameId,
    name: Arc<str>,
}

impl Series {
    fn add(&mut self, t_ns: u64, more: &Histogram) {
        if more.is_empty() {
            return;
        }
        self.all.add(more);
        self.add_to((t_ns / BLOCK_NS) >> self.doubled, (more.count(), more.sum_ns));
        while self.blocks.len() > BLOCKS {
            self.doubled += 1;
            for (block, sums) in std::mem::take(&mut self.blocks) {
                self.add_to(block >> 1, sums);
            }
        }
    }

    fn add_to(&mut self, block: u64, (count, sum_ns): (u64, u64)) {
        let sums = self.blocks.entry(block).or_default();
        *sums = (sums.0.saturating_add(count), sums.1.saturating_add(sum_ns));
    }

    /// The mean of each block, ns.
    pub fn means(&self) -> Vec<f64> {
        self.blocks.values().map(|(count, sum)| *sum as f64 / (*count).max(1) as f64).collect()
    }
}

impl Profile {
    /// Takes an event of the model that it has just come from.
    pub fn take(&mut self, event: &Event, model: &Model) {
        match event {
            Event::State { t_ns, task, from, to } => {
                let left = from.as_ref().and_then(|from| from.place);
                self.moved(*t_ns, *task, left, to, model);
            }
            Event::Ended { t_ns, task, .. } => self.leaves(*t_ns, *task, None, model),
            // Nobody sees what moves until they are in again.
            Event::Budget { .. } | Event::Lost { .. } => self.stays.clear(),
            Event::Timed { t_ns, of } => {
                if let Some(times) = self.point(&of.name, of.at, model) {
                    times.polls.add(*t_ns, &of.polls);
                    times.delays.add(*t_ns, &of.delays);
                }
            }
            _ => {}
        }
    }

    fn moved(&mut self, t_ns: u64, task: TaskId, left: Option<FrameId>, to: &AwaitPath, model: &Model) {
        if left.is_some() && left == to.place {
            return;
        }
        self.leaves(t_ns, task, left, model);
        let Some(place) = to.place else { return };
        // Of many that ended at once the model has forgotten some.
        let Some(entry) = model.get(task).filter(|_| self.stays.len() < STAYS) else {
            self.not_kept += 1;
            return;
        };
        self.stays.insert(task, Stay { since_ns: t_ns, place, name: entry.name.clone() });
    }

    /// `left`: the place, where the event tells it.
    fn leaves(&mut self, t_ns: u64, task: TaskId, left: Option<FrameId>, model: &Model) {
        let Some(Stay { since_ns, place, name }) = self.stays.remove(&task) else {
            return self.leaves_uncounted(t_ns, task, left, model);
        };
        let stay = Histogram::of([t_ns.saturating_sub(since_ns)]);
        if let Some(times) = self.point(&name, Spot::Await(place), model) {
            times.stays.add(t_ns, &stay);
        }
    }

    /// Its coming was not seen, or other events were lost since.
    fn leaves_uncounted(&mut self, t_ns: u64, task: TaskId, left: Option<FrameId>, model: &Model) {
        let Some(entry) = model.get(task) else { return };
        let stood = entry.stood_until(t_ns).filter(|(place, _)| left.is_none_or(|left| left == *place));
        let Some((place, since_ns)) = stood else { return };
        let name = entry.name.clone();
        if let Some(times) = self.point(&name, Spot::Await(place), model) {
            let within = t_ns.saturating_sub(since_ns.max(model.started_ns()));
            times.cut_ns = times.cut_ns.saturating_add(within);
        }
    }

    /// Where a living task stands now, and since when, CLOCK_MONOTONIC ns: not before the watch.
    pub fn stands(&self, entry: &TaskEntry, model: &Model) -> Option<(FrameId, u64)> {
        let (place, since_ns) = entry.stood_until(u64::MAX)?;
        let known = self.stays.get(&entry.id).filter(|stay| stay.place == place);
        Some((place, known.map_or(since_ns, |stay| stay.since_ns).max(model.started_ns())))
    }

    fn point(&mut self, name: &Arc<str>, at: Spot, model: &Model) -> Option<&mut PointTimes> {
        let point = AwaitPoint::of(name, at, model)?;
        if !self.points.contains_key(&point) && self.points.len() >= POINTS {
            self.not_kept += 1;
            return None;
        }
        Some(self.points.entry(point).or_default())
    }

    pub fn points(&self) -> impl Iterator<Item = (&AwaitPoint, &PointTimes)> {
        self.points.iter()
    }

    pub fn get(&self, point: &AwaitPoint) -> Option<&PointTimes> {
        self.points.get(point)
    }
}

impl AwaitPoint {
    /// None of what is no place.
    pub fn of(task: &Arc<str>, at: Spot, model: &Model) -> Option<AwaitPoint> {
        let nowhere = || AwaitPoint {
            task: task.clone(),
            function: task.clone(),
            file: "".into(),
            line: 0,
            ordinal: 0,
        };
        let id = match at {
            Spot::Await(id) => id,
            Spot::Start => return Some(nowhere()),
            Spot::Elsewhere => return None,
        };
        let frame = model.frames().get(id);
        let mut point = AwaitPoint { function: frame.function.clone(), ..nowhere() };
        point.ordinal = frame.suspend_point.unwrap_or(0);
        if let Some(line) = &frame.line {
            (point.file, point.line) = (line.file.clone(), line.line);
        }
        Some(point)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_run_has_longer_blocks_and_loses_nothing() {
        let mut series = Series::default();
        for second in 0..1000_u64 {
            series.add(second * BLOCK_NS, &Histogram::of([1000, 3000]));
        }
        assert!((BLOCKS / 2..=BLOCKS).contains(&series.blocks.len()), "{}", series.blocks.len());
        assert_eq!(series.blocks.values().map(|(count, _)| count).sum::<u64>(), 2000);
        assert!(series.means().iter().all(|mean| (mean - 2000.0).abs() < 1e-9));
        assert_eq!(series.all.count(), 2000);
    }
}
