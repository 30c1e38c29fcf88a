//! Watching a target: threads that take snapshots and drain the trace, and one queue of [`Update`]s that views read.
//!
//! A view that is slow (a pager on stdout) must not make us grow: the queue is bounded by not reading more.
//! The kernel's ring buffer then overflows, and says how much it lost.

use super::feed::Feed;
use super::sampled::{MEANWHILE_HZ, Sampled, Switch};
use super::source::{EventStream, ProbeMode, ProcessInfo, Source, TraceOptions};
use super::{Exit, Failure, clock};
use crate::decode::{Frames, Snapshot};
use crate::model::{Cost, End, Mode, Update};
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

pub struct WatchOptions {
    pub trace: TraceOptions,
    /// Looks a second, instead of probes.
    pub sample: Option<u32>,
    /// Between two snapshots; None: what suits the mode.
    pub interval: Option<Duration>,
    /// From `ready` on.
    pub duration: Option<Duration>,
    /// Set by Ctrl-C.
    pub stop: Arc<AtomicBool>,
    /// The target, where we started it.
    pub child: Option<Child>,
}

/// What is known once the links are live.
pub struct Begun {
    pub process: ProcessInfo,
    pub mode: Mode,
    /// Why there are no probes.
    pub because: Option<String>,
    /// The same with what to do about it, where that can still be done.
    pub fallen_back: Option<Failure>,
    pub frames: Arc<Frames>,
    /// CLOCK_MONOTONIC.
    pub t_ns: u64,
    pub first: Option<Box<Snapshot>>,
}

/// The queue of updates.
pub struct Updates {
    queue: Receiver<Update>,
    gate: Arc<Gate>,
}

/// What lies in the queue.
#[derive(Default)]
pub(super) struct Gate {
    events: AtomicUsize,
    snapshots: AtomicUsize,
    /// Rounds of looks.
    pub rounds: AtomicUsize,
}

/// Trace events waiting for a view: about 100 MB.
const QUEUED: usize = 1_000_000;
/// How often the ring buffer is drained; it holds several times what a busy server makes in this time.
const DRAIN: Duration = Duration::from_millis(10);
/// While the probes are out: each time that we wake up takes a CPU from somebody.
const DRAIN_QUIET: Duration = Duration::from_millis(100);
/// How often exit, deadline and Ctrl-C are looked for, before it has begun and after.
const LOOK: Duration = Duration::from_millis(25);
const LOOK_ON: Duration = Duration::from_millis(50);
const TICK: Duration = Duration::from_millis(100);
const COST: Duration = Duration::from_secs(1);
/// Snapshots take at most this share of the time, however many tasks there are.
const TRACED_SHARE: u32 = 20;
const ALONE_SHARE: u32 = 4;
/// How long a command that we started may take until its runtime exists.
const RUNTIME: Duration = Duration::from_secs(10);

/// Opens the target on a thread of its own and watches it there. `None`: interrupted before it was ready.
///
/// # Errors
/// What `open` said, or the first snapshot where there are no probes either.
pub fn begin(
    open: impl FnOnce() -> Result<Box<dyn Source>, Failure> + Send + 'static,
    options: WatchOptions,
) -> Result<Option<(Begun, Updates)>, Failure> {
    let (begun_in, begun_out) = channel();
    let (queue_in, queue) = channel();
    let gate = Arc::new(Gate::default());
    let stop = options.stop.clone();
    let theirs = gate.clone();
    let thread = thread::Builder::new().name("watch".into()).spawn(move || {
        let mut watcher = match Watcher::open(open, options, queue_in, theirs) {
            Ok((watcher, begun)) => {
                if begun_in.send(Ok(begun)).is_err() {
                    return;
                }
                watcher
            }
            Err(failure) => {
                let _ = begun_in.send(Err(failure));
                return;
            }
        };
        watcher.run();
    });
    let thread = thread.map_err(|error| super::output::plain("starting a thread", &error))?;
    loop {
        match begun_out.recv_timeout(LOOK) {
            Ok(Ok(begun)) => return Ok(Some((begun, Updates { queue, gate }))),
            Ok(Err(failure)) => return Err(failure),
            Err(RecvTimeoutError::Timeout) if stop.load(Ordering::Relaxed) => return Ok(None),
            Err(RecvTimeoutError::Timeout) => {}
            // It can only have panicked: let it be ours.
            Err(RecvTimeoutError::Disconnected) => match thread.join() {
                Err(panic) => std::panic::resume_unwind(panic),
                Ok(()) => return Ok(None),
            },
        }
    }
}

impl Feed for Updates {
    fn next(&mut self, timeout: Duration) -> Option<Update> {
        let update = match self.queue.recv_timeout(timeout) {
            Ok(update) => update,
            Err(RecvTimeoutError::Timeout) => return None,
            // It sends an end before it goes, unless it panicked.
            Err(RecvTimeoutError::Disconnected) => panic!("the watching thread ended early"),
        };
        match &update {
            Update::Trace(events) => drop(self.gate.events.fetch_sub(events.len(), Ordering::Relaxed)),
            Update::Snapshot(_) => drop(self.gate.snapshots.fetch_sub(1, Ordering::Relaxed)),
            Update::Samples(_) => drop(self.gate.rounds.fetch_sub(1, Ordering::Relaxed)),
            _ => {}
        }
        Some(update)
    }
}

struct Watcher {
    source: Box<dyn Source>,
    options: WatchOptions,
    queue: Sender<Update>,
    gate: Arc<Gate>,
    drained: Option<Drained>,
    sampled: Option<Sampled>,
    /// On while the probes are out, until it was tried to look meanwhile.
    meanwhile: Option<Arc<Switch>>,
    took: Duration,
    /// 0 to 999, anew for each snapshot.
    drawn: u32,
    noted: String,
}

/// The thread that drains the trace.
struct Drained {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<(), Failure>>,
}

impl Watcher {
    fn open(
        open: impl FnOnce() -> Result<Box<dyn Source>, Failure>,
        mut options: WatchOptions,
        queue: Sender<Update>,
        gate: Arc<Gate>,
    ) -> Result<(Watcher, Begun), Failure> {
        let mut source = match (open(), options.child.as_mut()) {
            (Ok(source), _) => source,
            (Err(failure), None) => return Err(failure),
            // A child that ends makes opening fail in many ways, and this is the one to tell.
            (Err(failure), Some(child)) => {
                let told = ends_soon(child).map(|status| ended_early(child.id(), Some(status)));
                return Err(told.unwrap_or(failure));
            }
        };
        let pid = source.process().pid;
        let t_ns = clock::monotonic_ns();
        let traced = match options.sample {
            None => source.start_trace(options.trace).map(Some),
            Some(_) => Ok(None),
        };
        if let Some(status) = exited(&mut *source, options.child.as_mut()) {
            return Err(ended_early(pid, status));
        }
        let (stream, mut because) = match traced {
            Ok(stream) => (stream, None),
            Err(failure) if may_fall_back(&failure, options.trace) => (None, Some(failure)),
            Err(failure) => return Err(failure),
        };
        let mut mode = stream.as_ref().map_or(Mode::Snapshots, |stream| stream.mode());
        for note in stream.iter().flat_map(|stream| stream.notes()) {
            let _ = queue.send(Update::Note(note));
        }
        let (stream, meanwhile) = switched(stream);
        let drained = stream.map(|stream| Drained::start(stream, queue.clone(), gate.clone())).transpose()?;
        let began = Instant::now();
        let first = loop {
            let error = match source.snapshot() {
                Ok(snapshot) => break Some(Box::new(snapshot)),
                Err(error) => error,
            };
            if let Some(status) = exited(&mut *source, options.child.as_mut()) {
                return Err(ended_early(pid, status));
            }
            // A program that has just begun has no runtime yet.
            let young = options.child.is_some() && error.exit == Exit::NothingUsable;
            match () {
                () if drained.is_some() && error.exit != Exit::NoTarget => {
                    let _ = queue.send(Update::Note(error.to_string()));
                    break None;
                }
                () if young && began.elapsed() < RUNTIME => thread::sleep(LOOK),
                () => return Err(error),
            }
        };
        if let Some(status) = exited(&mut *source, options.child.as_mut()) {
            return Err(ended_early(pid, status));
        }
        let took = began.elapsed();
        let mut sampled = None;
        if let (Some(hz), Some(first)) = (options.sample, &first) {
            match source.start_sampling(hz, first) {
                Ok(stream) => {
                    let always = Arc::new(Switch::default());
                    always.turn(true);
                    sampled = Some(Sampled::start(stream, queue.clone(), gate.clone(), always)?);
                }
                Err(failure) => because = Some(failure),
            }
            mode = if sampled.is_some() { Mode::Sample { hz } } else { Mode::Snapshots };
        }
        let (process, frames) = (source.process(), source.frames());
        let (why, fallen_back) = (because.as_ref().map(|failure: &Failure| failure.why.clone()), because);
        let begun = Begun { process, mode, because: why, fallen_back, frames, t_ns, first };
        let noted = String::new();
        let mut watcher =
            Watcher { source, options, queue, gate, drained, sampled, meanwhile, took, drawn: 500, noted };
        watcher.notes();
        Ok((watcher, begun))
    }

    fn run(&mut self) {
        let deadline = self.options.duration.map(|duration| Instant::now() + duration);
        let (mut snapshot, mut tick) = (Instant::now(), Instant::now());
        let end = loop {
            if let Some(status) = exited(&mut *self.source, self.options.child.as_mut()) {
                break End::TargetExited { status };
            }
            if self.options.stop.load(Ordering::Relaxed) {
                break End::Interrupted;
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                break End::Duration;
            }
            if self.drained.as_ref().is_some_and(|drained| drained.thread.is_finished()) {
                break End::Failed("draining the trace ended early".into());
            }
            if self.sampled.as_ref().is_some_and(Sampled::has_ended) && !self.source.has_exited() {
                let failed = "the target's threads could no longer be looked at";
                if self.drained.is_none() {
                    break End::Failed(failed.into());
                }
                self.sampled = None;
                let _ = self.queue.send(Update::Note(failed.into()));
            }
            if snapshot.elapsed() >= self.pause() && self.gate.snapshots.load(Ordering::Relaxed) == 0 {
                self.snapshot();
                snapshot = Instant::now();
            }
            if tick.elapsed() >= TICK {
                if self.source.has_execed() {
                    break End::Execed;
                }
                if self.queue.send(Update::Tick(clock::monotonic_ns())).is_err() {
                    return; // no one watches any more
                }
                tick = Instant::now();
            }
            thread::sleep(LOOK_ON);
        };
        self.sampled = None;
        let end = match self.drained.take().map(Drained::finish) {
            Some(Err(failure)) if !end.is_over() => End::Failed(failure.to_string()),
            _ => end,
        };
        let _ = self.queue.send(Update::End { t_ns: clock::monotonic_ns(), end });
    }

    /// Time between two snapshots.
    fn pause(&self) -> Duration {
        let (usual, share) = match (&self.drained, &self.sampled) {
            (Some(_), _) => (1000, TRACED_SHARE),
            (None, Some(_)) => (250, TRACED_SHARE),
            (None, None) => (250, ALONE_SHARE),
        };
        let pause = self.options.interval.unwrap_or(Duration::from_millis(usual)).max(self.took * share);
        if self.meanwhile.as_ref().is_some_and(|switch| switch.is_on()) {
            // Looks wait for it.
            return pause.min(TICK);
        }
        if self.sampled.is_none() {
            return pause;
        }
        // How long tasks rest is told by counting snapshots: they must not keep step with the target.
        pause / 2 + pause * self.drawn / 1000
    }

    /// The first time that the probes are out: from then on there are looks whenever they are.
    fn look_meanwhile(&mut self, snapshot: &Snapshot) {
        let Some(switch) = self.meanwhile.take_if(|switch| switch.is_on()) else { return };
        let started = self
            .source
            .start_sampling(MEANWHILE_HZ, snapshot)
            .and_then(|stream| Sampled::start(stream, self.queue.clone(), self.gate.clone(), switch));
        match started {
            Ok(sampled) => self.sampled = Some(sampled),
            Err(failure) => {
                let why = failure.why;
                let words = format!("while the probes are out there are snapshots only, no looks: {why}");
                let _ = self.queue.send(Update::Note(words));
            }
        }
    }

    fn notes(&mut self) {
        for note in self.source.notes() {
            let _ = self.queue.send(Update::Note(note));
        }
    }

    fn snapshot(&mut self) {
        let began = Instant::now();
        let update = match self.source.snapshot() {
            Ok(snapshot) => {
                self.look_meanwhile(&snapshot);
                self.notes();
                self.gate.snapshots.fetch_add(1, Ordering::Relaxed);
                Update::Snapshot(Box::new(snapshot))
            }
            // The next look will find that it has ended.
            Err(failure) if failure.exit == Exit::NoTarget => return,
            Err(failure) => {
                let text = failure.to_string();
                if self.noted == text {
                    return;
                }
                self.noted.clone_from(&text);
                Update::Note(text)
            }
        };
        self.took = began.elapsed();
        // Nanoseconds below a microsecond: as good as drawn.
        self.drawn = (clock::monotonic_ns() % 1000) as u32;
        let _ = self.queue.send(update);
        if self.drained.is_none() {
            let own_ns = Some(clock::own_cpu_ns());
            let _ = self.queue.send(Update::Cost(Cost { own_ns, ..Cost::default() }));
        }
    }
}

impl Drained {
    fn start(
        mut stream: Box<dyn EventStream>,
        queue: Sender<Update>,
        gate: Arc<Gate>,
    ) -> Result<Drained, Failure> {
        let stop = Arc::new(AtomicBool::new(false));
        let asked = stop.clone();
        let run = move || {
            let mut cost = Instant::now();
            loop {
                // Asked before the drain: what came before the end is drained once more.
                let last = asked.load(Ordering::Acquire);
                if gate.events.load(Ordering::Relaxed) < QUEUED || last {
                    let mut events = Vec::new();
                    if last { stream.finish(&mut events) } else { stream.drain(&mut events) }?;
                    if !events.is_empty() {
                        gate.events.fetch_add(events.len(), Ordering::Relaxed);
                        if queue.send(Update::Trace(events)).is_err() {
                            return Ok(());
                        }
                    }
                }
                if cost.elapsed() >= COST || last {
                    cost = Instant::now();
                    let cost = stream.cost().unwrap_or_default();
                    let own_ns = cost.own_ns.or_else(|| Some(clock::own_cpu_ns()));
                    let _ = queue.send(Update::Cost(Cost { own_ns, ..cost }));
                }
                if last {
                    return Ok(());
                }
                thread::sleep(if stream.is_quiet() { DRAIN_QUIET } else { DRAIN });
            }
        };
        let thread = thread::Builder::new().name("drain".into()).spawn(run);
        let thread = thread.map_err(|error| super::output::plain("starting a thread", &error))?;
        Ok(Drained { stop, thread })
    }

    fn finish(self) -> Result<(), Failure> {
        self.stop.store(true, Ordering::Release);
        match self.thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

/// The stream, and what it turns on while its probes are out.
fn switched(stream: Option<Box<dyn EventStream>>) -> (Option<Box<dyn EventStream>>, Option<Arc<Switch>>) {
    let Some(mut stream) = stream else { return (None, None) };
    let switch = Arc::new(Switch::default());
    let turned = switch.clone();
    stream.when_turning(Box::new(move |out| turned.turn(out)));
    (Some(stream), Some(switch))
}

/// Some(status in words, if it was our child) once the target has ended.
fn exited(source: &mut dyn Source, child: Option<&mut Child>) -> Option<Option<String>> {
    if let Some(child) = child
        && let Ok(Some(status)) = child.try_wait()
    {
        return Some(Some(status.to_string()));
    }
    source.has_exited().then_some(None)
}

/// The child's status in words, if it has ended: /proc may show that a moment before it can be waited for.
fn ends_soon(child: &mut Child) -> Option<String> {
    for _ in 0..10 {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status.to_string());
        }
        thread::sleep(LOOK);
    }
    None
}

/// `status`: in words, if it was our child.
fn ended_early(pid: u32, status: Option<String>) -> Failure {
    let (how, next) = match status {
        Some(status) => (format!(" ({status})"), ""),
        None => (String::new(), "async-inspect attach -- CMD…, which starts the program itself"),
    };
    Failure {
        exit: Exit::NoTarget,
        tried: format!("watching process {pid}"),
        why: format!("it ended before it could be watched{how}"),
        next: next.into(),
    }
}

/// Snapshots are better than nothing, unless one kind of probe was asked for by name.
fn may_fall_back(failure: &Failure, options: TraceOptions) -> bool {
    let without = matches!(failure.exit, Exit::NotPermitted | Exit::Kernel | Exit::NothingUsable);
    without && options.probe_mode == ProbeMode::Auto
}
