use super::*;
use crate::cli::source::{EventStream, LookStream, ProbeMode, ProcessInfo, Source};
use crate::decode::{Frames, Snapshot};
use crate::model::sample::{MS, Shop, tokio};
use crate::sample::{Round, Run};
use crate::trace::{PollEnd, TraceEvent};
use std::collections::VecDeque;
use std::sync::atomic::Ordering;

/// A made-up target.
struct Scripted {
    shop: Shop,
    /// What each snapshot finds; the last one repeats.
    snapshots: VecDeque<Result<Vec<u64>, Failure>>,
    trace: Result<Vec<TraceEvent>, Failure>,
    /// Looks at it until it has ended.
    looks: u32,
    /// Its threads do not tell what they poll.
    silent: bool,
}

struct ScriptedStream(Option<Vec<TraceEvent>>);

impl EventStream for ScriptedStream {
    fn mode(&self) -> Mode {
        Mode::Session
    }
    /// Its probes are out from the first event on that says so.
    fn when_turning(&mut self, mut turn: Box<dyn FnMut(bool) + Send>) {
        let paused = |event: &TraceEvent| matches!(event, TraceEvent::Paused { .. });
        turn(self.0.iter().flatten().any(paused));
    }
    fn drain(&mut self, out: &mut Vec<TraceEvent>) -> Result<(), Failure> {
        out.extend(self.0.take().into_iter().flatten());
        Ok(())
    }
}

/// Each look finds task 1 running.
struct ScriptedLooks(u32);

impl LookStream for ScriptedLooks {
    fn round(&mut self, _: &dyn Fn() -> bool) -> Option<Round> {
        std::thread::sleep(Duration::from_millis(40));
        let looks = self.0 / 25;
        let runs = vec![Run { task: 1, tid: 7, path: None, hits: looks }];
        let period_ns = 1_000_000_000 / u64::from(self.0);
        let t_ns = crate::cli::clock::monotonic_ns();
        Some(Round { t_ns, period_ns, looks, missed: 0, threads: 1, runs })
    }
}

impl Source for Scripted {
    fn process(&self) -> ProcessInfo {
        ProcessInfo { pid: 4242, exe: "/srv/shop".into(), built: None }
    }
    fn frames(&self) -> Arc<Frames> {
        self.shop.frames.clone()
    }
    fn snapshot(&mut self) -> Result<Snapshot, Failure> {
        let next = if self.snapshots.len() > 1 { self.snapshots.pop_front() } else { None };
        let ids = next.unwrap_or_else(|| self.snapshots[0].clone())?;
        let tasks = ids.iter().map(|id| self.shop.fetching(*id, &self.shop.sleeping())).collect();
        Ok(self.shop.snapshot(crate::cli::clock::monotonic_ns(), tasks))
    }
    fn start_trace(&mut self, _: TraceOptions) -> Result<Box<dyn EventStream>, Failure> {
        self.trace.clone().map(|events| Box::new(ScriptedStream(Some(events))) as Box<dyn EventStream>)
    }
    fn start_sampling(&mut self, hz: u32, _: &Snapshot) -> Result<Box<dyn LookStream>, Failure> {
        if self.silent {
            return Err(failure(Exit::NothingUsable));
        }
        self.trace.clone().map(|_| Box::new(ScriptedLooks(hz)) as Box<dyn LookStream>)
    }
    fn has_exited(&mut self) -> bool {
        self.looks = self.looks.saturating_sub(1);
        self.looks == 0
    }
}

fn failure(exit: Exit) -> Failure {
    Failure { exit, tried: "trying".into(), why: "it cannot be".into(), next: "sudo it".into() }
}

fn scripted(trace: Result<Vec<TraceEvent>, Failure>) -> Scripted {
    Scripted { shop: Shop::new(), snapshots: [Ok(vec![1, 2])].into(), trace, looks: 50, silent: false }
}

fn options() -> WatchOptions {
    WatchOptions {
        trace: TraceOptions::default(),
        sample: None,
        interval: Some(Duration::from_millis(20)),
        duration: None,
        stop: Arc::default(),
        child: None,
    }
}

fn quiet() -> Say {
    use clap::Parser;
    let cli = crate::cli::Cli::try_parse_from(["async-inspect", "-q", "ps"]).unwrap();
    Say::new(&cli.common)
}

fn events() -> Vec<TraceEvent> {
    let t_ns = crate::cli::clock::monotonic_ns() + 1000 * MS;
    let task = tokio(3);
    let end = PollEnd::Complete;
    vec![
        TraceEvent::Spawn { t_ns, task, name: "shop::api::fetch_user".into(), parent: None },
        TraceEvent::Poll { t_ns: t_ns + 1, task, tid: 7, count: 1, duration_ns: Some(5), end, off_cpu: None },
    ]
}

fn watch_json(source: Scripted, options: WatchOptions) -> (End, Vec<serde_json::Value>) {
    let open = || Ok(Box::new(source) as Box<dyn Source>);
    let (begun, mut updates) = send(open, options).unwrap().unwrap();
    let mut out = vec![];
    let end = json(&mut out, begun, &mut updates, &quiet(), true).unwrap();
    let lines = String::from_utf8(out).unwrap();
    (end, lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

/// Everything `Scripted` holds may move to another thread.
fn send(
    open: impl FnOnce() -> Result<Box<dyn Source>, Failure> + Send + 'static,
    options: WatchOptions,
) -> Result<Option<(Begun, Updates)>, Failure> {
    watch::begin(open, options)
}

fn words(lines: &[serde_json::Value]) -> Vec<&str> {
    lines.iter().filter_map(|line| line["event"].as_str()).collect()
}

#[test]
fn a_traced_target_that_ends() {
    let (end, lines) = watch_json(scripted(Ok(events())), options());
    assert_eq!(end, End::TargetExited { status: None });
    assert_eq!(words(&lines), ["start", "ready", "spawn", "spawn", "spawn", "poll", "complete", "end"]);
    assert_eq!((&lines[0]["mode"], &lines[0]["schema"]), (&"session".into(), &1.into()));
    let last = lines.last().unwrap();
    assert_eq!((&last["reason"], &last["totals"]["polls"]), (&"target exited".into(), &1.into()));
    assert!(matches!(finish(end), Ok(Exit::Fine)));
}

#[test]
fn without_rights_it_falls_back_to_snapshots_and_says_so() {
    let mut source = scripted(Err(failure(Exit::NotPermitted)));
    source.snapshots = [Ok(vec![1]), Ok(vec![1, 2])].into();
    let (_, lines) = watch_json(source, options());
    assert_eq!(words(&lines), ["start", "ready", "spawn", "spawn", "end"]);
    assert_eq!((&lines[0]["mode"], &lines[0]["because"]), (&"snapshots".into(), &"it cannot be".into()));
    assert_eq!((&lines[2]["existing"], &lines[3]["existing"]), (&true.into(), &false.into()));
    assert_eq!(lines[4]["totals"]["polls"], serde_json::Value::Null, "unknown, not zero");
    assert!(fallback(&failure(Exit::NotPermitted), false).contains("snapshots instead"));
}

#[test]
fn a_probe_mode_asked_for_by_name_does_not_fall_back() {
    let source = scripted(Err(failure(Exit::Kernel)));
    let trace = TraceOptions { probe_mode: ProbeMode::Session, ..TraceOptions::default() };
    let open = || Ok(Box::new(source) as Box<dyn Source>);
    let error = watch::begin(open, WatchOptions { trace, ..options() }).err().unwrap();
    assert_eq!(error.exit, Exit::Kernel);
}

#[test]
fn a_target_that_ends_before_ready_is_no_target() {
    let mut source = scripted(Ok(vec![]));
    source.looks = 1;
    let error = watch::begin(|| Ok(Box::new(source) as Box<dyn Source>), options()).err().unwrap();
    assert_eq!(error.exit, Exit::NoTarget);
}

#[test]
fn errors_of_opening_and_of_the_first_snapshot_are_told() {
    let error = watch::begin(|| Err(failure(Exit::NothingUsable)), options()).err().unwrap();
    assert_eq!(error.exit, Exit::NothingUsable);
    let mut source = scripted(Err(failure(Exit::Kernel)));
    source.snapshots = [Err(failure(Exit::NotPermitted))].into();
    let error = watch::begin(|| Ok(Box::new(source) as Box<dyn Source>), options()).err().unwrap();
    assert_eq!(error.exit, Exit::NotPermitted);
}

#[test]
fn duration_and_ctrl_c_end_it() {
    let mut source = scripted(Ok(vec![]));
    source.looks = u32::MAX;
    let duration = Some(Duration::from_millis(50));
    let (end, lines) = watch_json(source, WatchOptions { duration, ..options() });
    assert_eq!((end, &lines.last().unwrap()["reason"]), (End::Duration, &"duration over".into()));

    let mut source = scripted(Ok(vec![]));
    source.looks = u32::MAX;
    let stop = Arc::new(AtomicBool::new(false));
    let open = || Ok(Box::new(source) as Box<dyn Source>);
    let (begun, mut updates) =
        watch::begin(open, WatchOptions { stop: stop.clone(), ..options() }).unwrap().unwrap();
    stop.store(true, Ordering::Relaxed);
    let mut out = vec![];
    let end = plain(&mut out, begun, &mut updates, Paint { color: false }).unwrap();
    assert_eq!(end, End::Interrupted);
    let text = String::from_utf8(out).unwrap();
    assert!(text.starts_with("watching pid 4242 by probes: /srv/shop\n"), "{text}");
    assert!(text.contains("2 tasks: 2 idle") && text.contains("; interrupted\n"), "{text}");
}

#[test]
fn a_reader_that_leaves_ends_it_quietly() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }
    let source = scripted(Ok(vec![]));
    let (begun, mut updates) =
        watch::begin(|| Ok(Box::new(source) as Box<dyn Source>), options()).unwrap().unwrap();
    assert!(matches!(json(Closed, begun, &mut updates, &quiet(), true), Err(Quit::PipeClosed)));
}

#[test]
fn a_panic_while_opening_is_ours() {
    let result = std::panic::catch_unwind(|| watch::begin(|| panic!("a bug"), options()).map(|_| ()));
    assert!(result.is_err());
}

#[test]
fn looks_become_estimates_in_the_stream() {
    let mut source = scripted(Ok(vec![]));
    source.looks = 40;
    let (end, lines) = watch_json(source, WatchOptions { sample: Some(1000), ..options() });
    assert_eq!(end, End::TargetExited { status: None });
    assert_eq!(lines[0]["mode"], "sample");
    let looked: u64 =
        lines.iter().filter(|line| line["event"] == "sample").filter_map(|line| line["looks"].as_u64()).sum();
    let polls: Vec<_> = lines.iter().filter(|line| line["event"] == "poll").collect();
    assert!(
        looked >= 10
            && polls.iter().all(|poll| poll["task"] == "1" && poll["sampled"] == true && poll["count"] == 0)
    );
    let busy: u64 = polls.iter().filter_map(|poll| poll["duration_ns"].as_u64()).sum();
    assert_eq!(busy, looked * MS, "it ran all the time");
    let time = lines.iter().find(|line| line["event"] == "time" && line["task"] == "1").unwrap();
    assert_eq!(time["busy"]["hits"], looked);
    assert_eq!(lines.last().unwrap()["totals"]["busy_ns"], busy);
    assert_eq!(lines.last().unwrap()["totals"]["polls"], serde_json::Value::Null);
}

#[test]
fn without_looks_there_are_snapshots() {
    let source = scripted(Err(failure(Exit::NothingUsable)));
    let (_, lines) = watch_json(source, WatchOptions { sample: Some(1000), ..options() });
    assert_eq!((&lines[0]["mode"], &lines[0]["because"]), (&"snapshots".into(), &"it cannot be".into()));
    assert!(!lines.iter().any(|line| line["event"] == "sample"));
}

#[test]
fn while_the_probes_are_out_looks_are_estimates_beside_what_was_measured() {
    let poll = |t_ns| TraceEvent::Poll {
        t_ns,
        task: tokio(1),
        tid: 7,
        count: 3,
        duration_ns: Some(5),
        end: PollEnd::Pending,
        off_cpu: None,
    };
    let t_ns = crate::cli::clock::monotonic_ns();
    let (end, lines) = watch_json(scripted(Ok(vec![poll(t_ns), TraceEvent::Paused { t_ns }])), options());
    assert_eq!(end, End::TargetExited { status: None });
    assert_eq!(lines[0]["mode"], "session");
    let out = lines.iter().position(|line| line["event"] == "budget").unwrap();
    let looks: u64 = lines[out..].iter().filter_map(|line| line["looks"].as_u64()).sum();
    assert!(looks > 5 && lines[..out].iter().all(|line| line["event"] != "sample"), "{lines:?}");
    let totals = &lines.last().unwrap()["totals"];
    let period_ns = 1_000_000_000 / u64::from(crate::cli::sampled::MEANWHILE_HZ);
    assert_eq!((&totals["polls"], &totals["busy_ns"]), (&3.into(), &5.into()), "what was measured");
    assert_eq!(
        (&totals["sampled_ns"], &totals["sampled_busy_ns"]),
        (&(looks * period_ns).into(), &(looks * period_ns).into())
    );
}

#[test]
fn where_there_are_no_looks_while_the_probes_are_out_it_is_said_once() {
    let t_ns = crate::cli::clock::monotonic_ns();
    let source = Scripted { silent: true, ..scripted(Ok(vec![TraceEvent::Paused { t_ns }])) };
    let (begun, mut updates) =
        watch::begin(|| Ok(Box::new(source) as Box<dyn Source>), options()).unwrap().unwrap();
    let mut out = vec![];
    plain(&mut out, begun, &mut updates, Paint { color: false }).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert_eq!(text.matches("snapshots only, no looks: it cannot be").count(), 1, "{text}");
}
