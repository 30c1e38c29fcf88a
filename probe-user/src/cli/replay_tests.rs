use super::*;
use crate::decode::{Certainty, Snapshot, TaskState};
use crate::model::Mode;
use crate::model::sample::{MS, SECOND, Shop, tokio};
use crate::record::{Head, Writer};
use crate::trace::{PollEnd, TraceEvent};
use clap::Parser;

fn head() -> Head {
    Head {
        tool: "0.1.0".into(),
        pid: 4242,
        exe: "/srv/shop".into(),
        built_ns: None,
        mode: Mode::Session,
        because: None,
        t_ns: SECOND,
        began_at_ns: 1_767_225_600 * SECOND,
        has_first: true,
    }
}

/// #1 sleeps and reads from 2.5 s on, #2 reads and ends at 3 s, #9 is born at 2 s; the trace tells 100 ms late.
fn updates(shop: &Shop) -> Vec<Update> {
    let first = vec![shop.fetching(1, &shop.sleeping()), shop.fetching(2, &shop.reading())];
    let poll = |t_ns, id, end| TraceEvent::Poll {
        t_ns,
        task: tokio(id),
        tid: 7,
        count: 1,
        duration_ns: Some(MS),
        end,
        off_cpu: None,
    };
    let moved = |t_ns, id, from: Vec<_>, to: Vec<_>| TraceEvent::State {
        t_ns,
        task: tokio(id),
        from: from.into(),
        to: to.into(),
    };
    let born = TraceEvent::Spawn {
        t_ns: 2 * SECOND,
        task: tokio(9),
        name: "shop::api::fetch_user".into(),
        parent: None,
    };
    vec![
        Update::Snapshot(Box::new(shop.snapshot(SECOND + MS, first))),
        Update::Tick(2 * SECOND + 50 * MS),
        Update::Trace(vec![
            born,
            poll(2 * SECOND, 9, PollEnd::Pending),
            moved(2 * SECOND, 9, shop.unresumed(), shop.sleeping()),
        ]),
        Update::Tick(3 * SECOND + 50 * MS),
        Update::Note("one line".into()),
        Update::Trace(vec![
            poll(2 * SECOND + 500 * MS, 1, PollEnd::Pending),
            moved(2 * SECOND + 500 * MS, 1, shop.sleeping(), shop.reading()),
            poll(3 * SECOND, 2, PollEnd::Complete),
        ]),
        Update::End { t_ns: 8 * SECOND, end: End::Duration },
    ]
}

fn recorded(shop: &Shop, updates: Vec<Update>) -> (tempfile::TempDir, Recording) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("one.rec");
    let mut writer = Writer::begin(File::create(&path).unwrap(), &head(), shop.frames.clone()).unwrap();
    for update in updates {
        writer.update(&update).unwrap();
    }
    writer.finish().unwrap();
    (directory, open(&path, "replaying").unwrap())
}

fn quiet() -> Say {
    Say::new(&crate::cli::Cli::try_parse_from(["async-inspect", "-q", "ps"]).unwrap().common)
}

/// `id state stale line` of each task, as of this long after the beginning.
fn moment(ms: u64) -> (Snapshot, Vec<String>) {
    let shop = Shop::new();
    let (_directory, mut recording) = recorded(&shop, updates(&shop));
    let begun = begin(&mut recording);
    let frames = begun.frames.clone();
    let (snapshot, _) =
        replay_at::dump_at(&mut recording, begun, Duration::from_millis(ms), &quiet()).unwrap();
    let word = |state| if state == TaskState::Idle { "idle" } else { "not idle" };
    let line = |task: &crate::decode::Task| task.location(&frames).map_or(0, |line| line.line);
    let tasks = snapshot.tasks.iter();
    let words = tasks
        .map(|task| format!("{} {} {} {}", task.id.id, word(task.state), task.stale, line(task)))
        .collect();
    (snapshot, words)
}

#[test]
fn a_moment_is_the_snapshot_and_what_the_trace_told_since() {
    assert_eq!(moment(0).1, ["1 idle false 155", "2 idle false 171"], "no earlier than the first snapshot");
    assert_eq!(moment(900).1, ["1 idle false 155", "2 idle false 171"]);
    assert!(moment(900).0.coverage.issues.is_empty(), "nothing has changed since it was read");
    assert_eq!(moment(1_200).1, ["1 idle false 155", "2 idle false 171", "9 idle true 155"]);
    assert_eq!(moment(1_700).1, ["1 idle true 171", "2 idle false 171", "9 idle true 155"]);
    let (snapshot, tasks) = moment(2_500);
    assert_eq!(tasks, ["1 idle true 171", "9 idle true 155"]);
    assert_eq!(
        (snapshot.t_ns, snapshot.taken_at_ns % (60 * SECOND)),
        (Some(3 * SECOND + 500 * MS), 2_500 * MS)
    );
    let issue = snapshot.coverage.issues.last().unwrap();
    assert!(issue.contains("2.4 s before") && issue.contains("1 ended") && !issue.contains(" 0 "), "{issue}");
    assert_eq!(moment(60_000).0.t_ns, Some(8 * SECOND), "no later than its end");
    let mut json = vec![];
    crate::export::json::write(&mut json, &snapshot, snapshot.tasks.iter(), &[]).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    let born = &json["tasks"][1];
    assert_eq!(
        (&born["id"], &born["address"], &born["holds"]),
        (&"9".into(), &().into(), &().into()),
        "{born}"
    );
    assert_eq!(born["waiting_on"][0]["kind"], "timer");
}

/// Lint and certainty of what is told of this long after the beginning.
fn told_at(ms: u64) -> Vec<(&'static str, Certainty)> {
    let shop = Shop::new();
    let polled = TraceEvent::Poll {
        t_ns: 3 * SECOND,
        task: tokio(3),
        tid: 7,
        count: 1,
        duration_ns: Some(MS),
        end: PollEnd::Pending,
        off_cpu: None,
    };
    let updates = vec![
        Update::Snapshot(Box::new(shop.deadlock(SECOND + MS))),
        Update::Tick(SECOND + 500 * MS),
        Update::Snapshot(Box::new(shop.deadlock(2 * SECOND))),
        Update::Trace(vec![polled]),
        Update::Tick(6 * SECOND),
        Update::End { t_ns: 8 * SECOND, end: End::Duration },
    ];
    let (_directory, mut recording) = recorded(&shop, updates);
    let begun = begin(&mut recording);
    let (_, diagnosis) =
        replay_at::dump_at(&mut recording, begun, Duration::from_millis(ms), &quiet()).unwrap();
    diagnosis.findings().iter().map(|finding| (finding.lint, finding.certainty)).collect()
}

#[test]
fn a_moment_has_the_findings_of_all_readings_until_then() {
    assert_eq!(told_at(900), [], "read once");
    assert_eq!(told_at(1_500), [("deadlock", Certainty::Proven)]);
    assert_eq!(told_at(2_500), [], "one of them was polled since");
}

#[test]
fn at_once_and_at_its_own_speed_it_is_the_same() {
    let shop = Shop::new();
    let (_directory, mut recording) = recorded(&shop, updates(&shop));
    let begun = begin(&mut recording);
    assert_eq!(begun.first.as_ref().map(|first| first.tasks.len()), Some(2));
    let mut out = vec![];
    let stop = Arc::new(AtomicBool::new(false));
    let end =
        attach::json(&mut out, begun, &mut AtOnce { recording, stop: stop.clone() }, &quiet(), true).unwrap();
    assert_eq!(end, End::Duration);
    let text = String::from_utf8(out).unwrap();
    let words = [
        "start", "ready", "spawn", "spawn", "spawn", "poll", "state", "poll", "state", "poll", "complete",
        "end",
    ];
    let event = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["event"].clone();
    assert_eq!(text.lines().map(event).collect::<Vec<_>>(), words);

    let (_directory, mut recording) = recorded(&shop, updates(&shop));
    let begun = begin(&mut recording);
    // As if begun 7 s ago: all but the end is due.
    let began = Instant::now().checked_sub(Duration::from_secs(6)).unwrap();
    let mut paced =
        Paced { recording, stop: stop.clone(), began, first_ns: begun.t_ns, due_ns: begun.t_ns, next: None };
    let due = std::iter::from_fn(|| paced.next(Duration::ZERO)).count();
    assert_eq!(due, updates(&shop).len() - 2, "but the first snapshot and the end");
    let rest = paced.next(Duration::from_secs(30));
    assert!(matches!(rest, Some(Update::Note(text)) if text.contains("duration over")), "the screen stays");
    assert!(paced.next(Duration::ZERO).is_none());
    stop.store(true, Ordering::Relaxed);
    assert!(matches!(paced.next(Duration::ZERO), Some(Update::End { end: End::Interrupted, .. })));
}
