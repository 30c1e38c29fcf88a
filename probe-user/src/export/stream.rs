//! `attach --json`: one object per line.

use super::findings::FindingJson;
use super::json::{Line, SCHEMA, runtime_word};
use super::stream_causes::{CausedJson, DelayJson, DoerJson};
use super::stream_off_cpu::{LongPollJson, OffCpuJson};
use super::stream_samples::{Looked, SampledPoll, Time};
use super::stream_times::{HistogramLine, KindLine};
use crate::analysis::Finding;
use crate::decode::{Frame, FrameId, TaskId};
use crate::model::{AwaitPath, End, Ending, Event, Looks, Mode, Model, Spot, TaskEntry};
use crate::trace::PollEnd;
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::Arc;

/// Paths kept in JSON for reuse.
const PATHS: usize = 10_000;

pub struct Stream<W> {
    out: W,
    paths: HashMap<usize, (Arc<AwaitPath>, Box<RawValue>)>,
    each_wake: bool,
}

#[derive(Serialize)]
struct Start<'a> {
    event: &'static str,
    schema: u32,
    pid: u32,
    exe: &'a str,
    mode: &'static str,
    /// Why no more than this mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    because: Option<&'a str>,
}

#[derive(Serialize)]
struct Ready {
    t_ns: u64,
    event: &'static str,
    tasks: usize,
}

#[derive(Serialize)]
struct Last<'a> {
    t_ns: u64,
    event: &'static str,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'a str>,
    totals: TotalsJson,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<CostJson>,
}

#[derive(Serialize)]
struct TotalsJson {
    tasks_seen: u64,
    existing: u64,
    spawned: u64,
    completed: u64,
    cancelled: u64,
    panicked: u64,
    gone: u64,
    polls: Option<u64>,
    wakes: Option<u64>,
    busy_ns: Option<u64>,
    /// An estimate of what `busy_ns` lacks, and of how long that was: while the probes were out.
    #[serde(skip_serializing_if = "Option::is_none")]
    sampled_busy_ns: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sampled_ns: Option<u64>,
    transitions: u64,
    lost: u64,
    not_kept: u64,
    #[serde(flatten)]
    off_cpu: Option<OffCpuJson>,
}

/// What every event about a task begins with.
#[derive(Serialize)]
pub(super) struct About {
    t_ns: u64,
    event: &'static str,
    task: String,
    runtime: &'static str,
    /// Of an end: `unseen` where the task is gone and nobody saw how it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    how: Option<&'static str>,
}

#[derive(Serialize)]
struct Spawn<'a> {
    #[serde(flatten)]
    about: About,
    name: &'a str,
    #[serde(flatten)]
    parent: Option<DoerJson>,
    /// It was there before we looked.
    existing: bool,
    /// It was born some time between two snapshots; `t_ns` is when the second was taken.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    by_snapshot: bool,
}

#[derive(Serialize)]
struct Poll {
    #[serde(flatten)]
    about: About,
    tid: u32,
    count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ns: Option<u64>,
    end: &'static str,
    #[serde(flatten)]
    off_cpu: Option<OffCpuJson>,
}

#[derive(Serialize)]
struct State<'a> {
    #[serde(flatten)]
    about: About,
    from: Option<&'a RawValue>,
    to: &'a RawValue,
}

/// A task that was cancelled or panicked: where it stood when its last poll began.
#[derive(Serialize)]
struct EndedAt<'a> {
    #[serde(flatten)]
    about: About,
    at: &'a RawValue,
}

#[derive(Serialize)]
struct Found<'a> {
    t_ns: u64,
    event: &'static str,
    #[serde(flatten)]
    finding: FindingJson<'a>,
}

#[derive(Serialize)]
struct Lost {
    t_ns: u64,
    event: &'static str,
    count: u64,
}

#[derive(Serialize)]
struct Budget {
    t_ns: u64,
    event: &'static str,
    probes: &'static str,
    /// Looks a second meanwhile. Null where there are none, or were none yet.
    sampling_hz: Option<u64>,
}

/// What watching cost from `ready` on, ns of CPU time each but for `hits` and `probes_out_ns`.
#[derive(Serialize)]
struct CostJson {
    hits: u64,
    /// Of the target: hits times the price of one, tried on a child of ours.
    probes_ns: Option<u64>,
    /// Of the target, in all.
    target_ns: Option<u64>,
    own_ns: Option<u64>,
    /// For how long the probes were out to keep their cost within `--max-overhead`.
    probes_out_ns: u64,
}

#[derive(Serialize)]
pub(super) struct PathPlace<'a> {
    function: &'a str,
    suspend_point: Option<u32>,
    #[serde(flatten)]
    line: Option<Line<'a>>,
}

#[derive(Serialize)]
struct PathJson<'a> {
    #[serde(flatten)]
    place: Option<PathPlace<'a>>,
    path: Vec<PathPlace<'a>>,
}

impl<W: Write> Stream<W> {
    /// `each_wake`: a line for every single one, too.
    pub fn new(out: W, each_wake: bool) -> Stream<W> {
        Stream { out, paths: HashMap::new(), each_wake }
    }

    pub fn start(&mut self, pid: u32, exe: &str, mode: Mode, because: Option<&str>) -> io::Result<()> {
        let start = Start { event: "start", schema: SCHEMA, pid, exe, mode: mode.as_str(), because };
        self.line(&start)?;
        self.flush()
    }

    /// The links are live, and `tasks` tasks are known.
    pub fn ready(&mut self, t_ns: u64, tasks: usize) -> io::Result<()> {
        self.line(&Ready { t_ns, event: "ready", tasks })?;
        self.flush()
    }

    pub fn event(&mut self, event: &Event, model: &Model) -> io::Result<()> {
        match event {
            Event::Spawn { t_ns, task, name, parent, existing, about: earlier } => self.line(&Spawn {
                about: about(*t_ns, "spawn", *task),
                name,
                parent: parent.map(DoerJson::parent),
                existing: *existing,
                by_snapshot: *earlier,
            }),
            Event::Poll { t_ns, task, tid, count, duration_ns, end, off_cpu } => self.line(&Poll {
                about: about(*t_ns, "poll", *task),
                tid: *tid,
                count: *count,
                duration_ns: *duration_ns,
                end: end_word(*end),
                off_cpu: off_cpu.map(OffCpuJson::from),
            }),
            Event::Sampled { t_ns, task, tid, at, busy_ns, .. } => {
                let frame = await_frame(*at, model);
                self.line(&SampledPoll::new(about(*t_ns, "poll", *task), *tid, *busy_ns, frame.as_deref()))
            }
            Event::Looked { t_ns, looks, missed, period_ns, threads } => self.line(&Looked {
                t_ns: *t_ns,
                event: "sample",
                looks: *looks,
                missed: *missed,
                period_ns: *period_ns,
                threads: *threads,
            }),
            Event::LongPoll { t_ns, task, tid, name, poll } => {
                let about = about(*t_ns, "blocked", *task);
                self.line(&LongPollJson::new(about, *t_ns, *tid, name, poll))
            }
            Event::State { t_ns, task, from, to } => {
                for path in from.iter().chain([to]) {
                    self.learn(path, model)?;
                }
                let known = |path: &Arc<AwaitPath>| &*self.paths[&key(path)].1;
                let from = from.as_ref().map(known);
                let about = about(*t_ns, "state", *task);
                let text = serde_json::to_string(&State { about, from, to: known(to) })?;
                writeln!(self.out, "{text}")
            }
            Event::Wake { t_ns, task, by } if self.each_wake => {
                self.line(&CausedJson { about: about(*t_ns, "wake", *task), by: DoerJson::waker(*by) })
            }
            Event::Wake { .. } => Ok(()),
            Event::Parent { t_ns, task, parent } => {
                self.line(&CausedJson { about: about(*t_ns, "parent", *task), by: DoerJson::parent(*parent) })
            }
            Event::Delays { t_ns, task, count, sum_ns, max_ns, idle_ns, poll_max_ns } => {
                self.line(&DelayJson {
                    about: about(*t_ns, "delay", *task),
                    count: *count,
                    sum_ns: *sum_ns,
                    max_ns: *max_ns,
                    idle_ns: *idle_ns,
                    poll_max_ns: *poll_max_ns,
                })
            }
            Event::Timed { t_ns, of } => {
                let frame = await_frame(of.at, model);
                self.line(&HistogramLine::new(*t_ns, of, frame.as_deref()))
            }
            Event::Ended { t_ns, task, how, at } => {
                if let Some(entry) = model.get(*task) {
                    self.times(*t_ns, entry, model)?;
                }
                let unseen = (*how == Ending::Unseen).then_some("unseen");
                let about = About { how: unseen, ..about(*t_ns, ending_word(*how), *task) };
                let at = at.as_ref().filter(|_| matches!(how, Ending::Cancelled | Ending::Panicked));
                let Some(at) = at else { return self.line(&about) };
                self.learn(at, model)?;
                let text = serde_json::to_string(&EndedAt { about, at: &self.paths[&key(at)].1 })?;
                writeln!(self.out, "{text}")
            }
            Event::Lost { t_ns, count } => self.line(&Lost { t_ns: *t_ns, event: "lost", count: *count }),
            Event::Budget { t_ns, probes_in } => {
                let probes = if *probes_in { "in" } else { "out" };
                let sampling_hz = model.looks().filter(|_| !probes_in).map(Looks::hz);
                self.line(&Budget { t_ns: *t_ns, event: "budget", probes, sampling_hz })
            }
        }
    }

    pub fn end(&mut self, t_ns: u64, end: &End, model: &Model) -> io::Result<()> {
        let mut living: Vec<&TaskEntry> = model.tasks().filter(|task| !task.has_ended()).collect();
        living.sort_unstable_by_key(|task| (task.id.runtime as u8, task.id.id));
        for task in living {
            self.times(t_ns, task, model)?;
        }
        let all_places = model.place_times();
        for kind in model.kind_times() {
            let own = all_places.iter().filter(|place| place.name == kind.name);
            let places: Vec<_> = own.map(|place| (*place, await_frame(place.at, model))).collect();
            self.line(&KindLine::new(t_ns, &kind, &places))?;
        }
        let totals = model.totals();
        let cost = model.cost().map(|cost| CostJson {
            hits: cost.hits,
            probes_ns: cost.target_ns,
            target_ns: cost.cpu_ns,
            own_ns: cost.own_ns,
            probes_out_ns: cost.out_ns,
        });
        let status = match end {
            End::TargetExited { status } => status.as_deref(),
            _ => None,
        };
        let meanwhile = model.looks().filter(|_| !model.mode().samples());
        let totals = TotalsJson {
            tasks_seen: totals.tasks_seen,
            existing: totals.existing,
            spawned: totals.spawned,
            completed: totals.completed,
            cancelled: totals.cancelled,
            panicked: totals.panicked,
            gone: totals.gone,
            polls: totals.polls,
            wakes: totals.wakes,
            busy_ns: totals.busy_ns,
            sampled_busy_ns: meanwhile.map(|looks| looks.busy_ns),
            sampled_ns: meanwhile.map(Looks::span_ns),
            transitions: totals.transitions,
            lost: totals.lost,
            not_kept: totals.not_kept,
            off_cpu: totals.off_cpu.map(OffCpuJson::from),
        };
        self.line(&Last { t_ns, event: "end", reason: end.reason(), status, totals, cost })?;
        self.flush()
    }

    /// What a lint found, or is certain of now.
    pub fn finding(&mut self, t_ns: u64, finding: &Finding) -> io::Result<()> {
        self.line(&Found { t_ns, event: "finding", finding: finding.into() })
    }

    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// What looks say of a task at each place; nothing where it is not sampled.
    fn times(&mut self, t_ns: u64, task: &TaskEntry, model: &Model) -> io::Result<()> {
        for time in model.times(task) {
            let frame = await_frame(time.at, model);
            self.line(&Time {
                about: about(t_ns, "time", task.id),
                name: &task.name,
                at: frame.as_deref().map(PathPlace::from),
                elsewhere: time.at == Spot::Elsewhere,
                busy: time.busy.into(),
                wait: time.wait.into(),
            })?;
        }
        Ok(())
    }

    fn line(&mut self, object: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, object)?;
        self.out.write_all(b"\n")
    }

    fn learn(&mut self, path: &Arc<AwaitPath>, model: &Model) -> io::Result<()> {
        if self.paths.contains_key(&key(path)) {
            return Ok(());
        }
        // Room for the other path of the same event is kept.
        if self.paths.len() + 1 >= PATHS {
            self.paths.clear();
        }
        let frame = |id: &FrameId| model.frames().get(*id);
        let frames: Vec<_> = path.frames.iter().map(frame).collect();
        let place = path.place.as_ref().map(frame).or_else(|| frames.first().cloned());
        let text = serde_json::value::to_raw_value(&PathJson {
            place: place.as_ref().map(|frame| PathPlace::from(&**frame)),
            path: frames.iter().map(|frame| PathPlace::from(&**frame)).collect(),
        })?;
        self.paths.insert(key(path), (path.clone(), text));
        Ok(())
    }
}

impl<'a> From<&'a Frame> for PathPlace<'a> {
    fn from(frame: &'a Frame) -> PathPlace<'a> {
        PathPlace {
            function: &frame.function,
            suspend_point: frame.suspend_point,
            line: frame.line.as_ref().map(Line::from),
        }
    }
}

fn await_frame(at: Spot, model: &Model) -> Option<Arc<Frame>> {
    if let Spot::Await(id) = at { Some(model.frames().get(id)) } else { None }
}

/// The path's address; the map keeps the path alive, so it is not reused.
fn key(path: &Arc<AwaitPath>) -> usize {
    Arc::as_ptr(path).addr()
}

fn about(t_ns: u64, event: &'static str, task: TaskId) -> About {
    About { t_ns, event, task: task.id.to_string(), runtime: runtime_word(task.runtime), how: None }
}

fn end_word(end: PollEnd) -> &'static str {
    match end {
        PollEnd::Pending => "pending",
        PollEnd::Complete => "complete",
        PollEnd::Cancelled => "cancelled",
        PollEnd::Panicked => "panicked",
        PollEnd::Gone => "gone",
        PollEnd::Unseen => "unseen",
    }
}

fn ending_word(how: Ending) -> &'static str {
    match how {
        Ending::Complete => "complete",
        Ending::Cancelled => "cancel",
        Ending::Panicked => "panic",
        // It is no longer there; `how` says that nobody saw its end.
        Ending::Unseen => "complete",
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
