//! What was written is what is read; and what is damaged is missing, and nothing else.

use super::format::{CHUNK, HEADER, Header, Kind, START};
use super::*;
use crate::decode::{DebugInfoLevel, FrameId, Frames, Node, Snapshot, Task};
use crate::model::sample::{MS, SECOND, Shop, tokio};
use crate::model::{Cost, End, Event, Limits, Mode, Model, Update};
use crate::model::{sample_cpu, sample_long_poll};
use crate::sample::{Round, Run};
use crate::target::Avma;
use crate::trace::{Doer, Histogram, LongPoll, OffCpu, PollEnd, Timed, TraceEvent};
use proptest::prelude::*;
use std::io::Cursor;
use std::sync::Arc;

pub(super) fn head() -> Head {
    Head {
        tool: env!("CARGO_PKG_VERSION").into(),
        pid: 4242,
        exe: "/srv/shop/target/release/shop".into(),
        built_ns: Some(SECOND),
        mode: Mode::Session,
        because: None,
        t_ns: SECOND,
        began_at_ns: 1_767_225_600 * SECOND,
        has_first: true,
    }
}

fn timed(t_ns: u64, at: Option<crate::trace::Path>) -> TraceEvent {
    let (polls, delays) = (Histogram::of([MS, 2 * MS, 2000]), Histogram::of([MS]));
    let name = "shop::api::fetch_user".into();
    TraceEvent::Timed { t_ns, of: Box::new(Timed { name, at, polls, delays, idle_ns: 7 }) }
}

/// Some of everything that can be recorded.
pub(super) fn day(shop: &Shop) -> Vec<Update> {
    let task = tokio(9);
    let t = 2 * SECOND;
    let name = "shop::api::fetch_user".into();
    let moved =
        |t_ns, from: Vec<_>, to: Vec<_>| TraceEvent::State { t_ns, task, from: from.into(), to: to.into() };
    let poll = |t_ns, end| TraceEvent::Poll {
        t_ns,
        task,
        tid: 7,
        count: 2,
        duration_ns: Some(MS),
        end,
        off_cpu: Some(OffCpu { blocked_ns: 2000, preempted_ns: 100 }),
    };
    let name_again = "shop::api::fetch_user".into();
    let long = Arc::new(LongPoll { cpu: sample_cpu(2, 1), ..sample_long_poll(t + 4 * MS) });
    vec![
        Update::Snapshot(Box::new(shop.busy_day(SECOND))),
        Update::Trace(vec![
            TraceEvent::Watches { t_ns: t, wakes: true, off_cpu: true },
            TraceEvent::Spawn { t_ns: t, task, name, parent: Some(Doer::Task(tokio(1))) },
            poll(t + MS, PollEnd::Pending),
            moved(t + MS, shop.unresumed(), shop.sleeping()),
        ]),
        Update::Note("one line".into()),
        Update::Tick(t + 2 * MS),
        Update::Samples(Round {
            t_ns: t + 2 * MS,
            period_ns: MS,
            looks: 5,
            missed: 1,
            threads: 2,
            runs: vec![Run { task: task.id, tid: 7, path: Some(shop.sleeping().into()), hits: 3 }],
        }),
        Update::Cost(Cost {
            hits: 3,
            target_ns: Some(5),
            cpu_ns: None,
            out_ns: 0,
            own_ns: Some(9),
            limit: Some(2),
        }),
        Update::Trace(vec![
            TraceEvent::Paused { t_ns: t + 3 * MS },
            TraceEvent::Resumed { t_ns: t + 4 * MS },
            TraceEvent::Lost { t_ns: t + 4 * MS, count: 12 },
            TraceEvent::Wake { t_ns: t + 4 * MS, task, by: Doer::Thread(3) },
            TraceEvent::Delays {
                t_ns: t + 5 * MS,
                task,
                count: 1,
                sum_ns: MS,
                max_ns: MS,
                idle_ns: Some(7),
                poll_max_ns: Some(9),
            },
            timed(t + 5 * MS, Some(shop.sleeping().into())),
            timed(t + 5 * MS, None),
            TraceEvent::LongPoll { t_ns: t + 5 * MS, task, tid: 7, name: name_again, poll: long },
            TraceEvent::LongPollLasts {
                t_ns: t + 5 * MS,
                task,
                tid: 7,
                since_ns: t,
                off_cpu: None,
                over: true,
                cpu: sample_cpu(3, 0),
            },
            moved(t + 5 * MS, shop.sleeping(), shop.reading()),
        ]),
        Update::Snapshot(Box::new(shop.deadlock(t + SECOND))),
        Update::Trace(vec![poll(t + SECOND + MS, PollEnd::Panicked)]),
        Update::End {
            t_ns: t + 2 * SECOND,
            end: End::TargetExited { status: Some("exit status: 0".into()) },
        },
    ]
}

/// As a recorder that flushes after each update would.
pub(super) fn record(frames: &Arc<Frames>, updates: &[Update]) -> Vec<u8> {
    let mut writer = Writer::begin(Vec::new(), &head(), frames.clone()).unwrap();
    for update in updates {
        writer.update(update).unwrap();
        writer.flush().unwrap();
    }
    let (bytes, written) = writer.finish().unwrap();
    assert_eq!(written.bytes, bytes.len() as u64);
    bytes
}

fn read(bytes: &[u8]) -> Vec<Update> {
    Reader::open(Cursor::new(bytes)).unwrap().collect()
}

/// Everything an update says, but for where its frames are kept.
fn words(update: &Update) -> String {
    match update {
        Update::Snapshot(snapshot) => {
            let Snapshot {
                tasks,
                frames: _,
                pid,
                exe,
                taken_at_ns,
                t_ns,
                debuginfo,
                runtimes,
                coverage,
                polls,
            } = &**snapshot;
            format!(
                "{pid} {exe} {taken_at_ns} {t_ns:?} {debuginfo:?} {runtimes:?} {coverage:?} {tasks:?} {polls:?}"
            )
        }
        other => format!("{other:?}"),
    }
}

fn all_words(updates: &[Update]) -> Vec<String> {
    updates.iter().map(words).collect()
}

/// What a model makes of it.
fn events(frames: &Arc<Frames>, updates: Vec<Update>) -> Vec<Event> {
    let mut model = Model::new(Mode::Session, frames.clone(), SECOND, Limits::default());
    let mut out = Vec::new();
    for update in updates {
        model.apply(update, &mut out);
    }
    out
}

/// The headers of a whole file, and where they begin.
fn chunks(bytes: &[u8]) -> Vec<(usize, Header)> {
    let mut at = START;
    let mut found = Vec::new();
    while at < bytes.len() {
        let header = Header::from_bytes(bytes[at..at + HEADER].try_into().unwrap()).unwrap();
        found.push((at, header));
        at += HEADER + header.stored as usize;
    }
    found
}

#[test]
fn what_was_written_is_read() {
    let shop = Shop::new();
    let updates = day(&shop);
    let bytes = record(&shop.frames, &updates);
    let mut reader = Reader::open(Cursor::new(&bytes)).unwrap();
    assert_eq!(reader.head(), &head());
    let again: Vec<Update> = reader.by_ref().collect();
    assert_eq!(all_words(&again), all_words(&updates));
    let frames = reader.frames().clone();
    for index in 0..shop.frames.len() {
        let id = FrameId(index as u32);
        assert_eq!(frames.get(id), shop.frames.get(id));
    }
    let (live, replayed) = (events(&shop.frames, updates), events(&frames, again));
    assert_eq!(format!("{live:?}"), format!("{replayed:?}"), "the same to a model");
}

#[test]
fn many_events_take_many_chunks_and_few_bytes() {
    let shop = Shop::new();
    let paths: [crate::trace::Path; 2] = [shop.sleeping().into(), shop.reading().into()];
    let event = |n: u64| {
        let (t_ns, task) = (SECOND + n * 16_384 + n * n % 4_000, tokio(n % 50));
        if n.is_multiple_of(2) {
            return TraceEvent::Poll {
                t_ns,
                task,
                tid: 7,
                count: 1,
                duration_ns: Some(9_000 + n % 512),
                end: PollEnd::Pending,
                off_cpu: None,
            };
        }
        if n.is_multiple_of(101) {
            return TraceEvent::Stands { t_ns, task, at: paths[(n / 2 % 2) as usize].clone() };
        }
        let (from, to) = (paths[(n / 2 % 2) as usize].clone(), paths[(n / 2 % 2) as usize ^ 1].clone());
        TraceEvent::State { t_ns, task, from, to }
    };
    let all: Vec<TraceEvent> = (0..100_000).map(event).collect();
    let bytes =
        record(&shop.frames, &[Update::Trace(all.clone()), Update::End { t_ns: SECOND, end: End::Duration }]);
    let again = read(&bytes).into_iter().filter_map(|update| match update {
        Update::Trace(events) => Some(events),
        _ => None,
    });
    assert_eq!(again.flatten().collect::<Vec<_>>(), all);
    let headers = chunks(&bytes);
    assert!(headers.len() > 4 && headers.iter().all(|(_, header)| header.raw as usize <= CHUNK + (1 << 19)));
    assert!(bytes.len() < 8 * all.len(), "{} bytes for {} events", bytes.len(), all.len());
}

#[test]
fn a_torn_tail_loses_only_itself() {
    let shop = Shop::new();
    let updates = day(&shop);
    let bytes = record(&shop.frames, &updates);
    let whole = all_words(&updates);
    let headers = chunks(&bytes);
    let first = headers[1].0;
    for cut in 0..bytes.len() {
        if cut < first {
            assert!(Reader::open(Cursor::new(&bytes[..cut])).is_err(), "cut at {cut}");
            continue;
        }
        let mut read = all_words(&read(&bytes[..cut]));
        let end = read.pop().unwrap();
        assert!(end.contains("the recording ends early"), "cut at {cut}: {end}");
        // Each of these chunks is one update; frames and tasks come with the chunk that needs them.
        let ends = |at: usize, header: &Header| at + HEADER + header.stored as usize <= cut;
        let kept = headers.iter().filter(|(at, header)| {
            matches!(header.kind, Kind::Updates | Kind::Snapshot) && ends(*at, header)
        });
        assert_eq!(read, whole[..kept.count()], "cut at {cut}");
    }
}

#[test]
fn a_damaged_chunk_loses_only_itself_and_is_said() {
    let shop = Shop::new();
    let updates = day(&shop);
    let bytes = record(&shop.frames, &updates);
    let whole = all_words(&updates);
    let headers = chunks(&bytes);
    // The first two of the trace: 4 events, then 6.
    let traced: Vec<usize> =
        headers.iter().filter(|(_, h)| h.kind == Kind::Updates).map(|(at, _)| *at).collect();
    for (at, flipped) in [(traced[0], 0), (traced[0], 9), (traced[0], HEADER + 3)] {
        let mut bytes = bytes.clone();
        bytes[at + flipped] ^= 0x10;
        let read = all_words(&read(&bytes));
        assert!(read[1].contains("damaged"), "{}", read[1]);
        // The header of the chunk that follows knows how many were before it.
        assert!(read[2].contains("Lost") && read[2].contains("count: 4"), "{}", read[2]);
        assert_eq!((&read[..1], &read[3..]), (&whole[..1], &whole[2..]));
    }
    // Where the chunk itself is cut out, the same.
    let header = headers.iter().find(|(at, _)| *at == traced[0]).unwrap().1;
    let cut = [&bytes[..traced[0]], &bytes[traced[0] + HEADER + header.stored as usize..]].concat();
    assert!(all_words(&read(&cut))[1].contains("count: 4"));
}

#[test]
fn a_snapshot_that_lacks_tasks_is_left_out_and_lost_frames_are_unknown() {
    let shop = Shop::new();
    let updates = day(&shop);
    let bytes = record(&shop.frames, &updates);
    let flip = |kind: Kind| {
        let at = chunks(&bytes).iter().find(|(_, header)| header.kind == kind).unwrap().0;
        let mut bytes = bytes.clone();
        bytes[at + HEADER] ^= 1;
        bytes
    };
    let without = all_words(&read(&flip(Kind::Tasks)));
    assert!(without[1].contains("a snapshot is left out"), "{without:?}");
    assert_eq!(without[2..], all_words(&updates)[1..]);

    // Frames that nobody knows: what refers to them is refused until later frames tell how many there were.
    let mut reader = Reader::open(Cursor::new(flip(Kind::Frames))).unwrap();
    let updates: Vec<Update> = reader.by_ref().collect();
    assert!(matches!(updates.last(), Some(Update::End { end: End::TargetExited { .. }, .. })));
    events(&reader.frames().clone(), updates);
}

#[test]
fn a_chunk_of_a_later_version_is_skipped() {
    let shop = Shop::new();
    let updates = day(&shop);
    let bytes = record(&shop.frames, &updates);
    let (at, _) = chunks(&bytes)[2];
    let header = Header {
        kind: Kind::Unknown,
        stored: 3,
        raw: 9,
        events_before: 0,
        checksum: crc32fast::hash(b"new"),
    };
    let with = [&bytes[..at], &header.to_bytes(), b"new", &bytes[at..]].concat();
    assert_eq!(all_words(&read(&with)), all_words(&updates));
    let mut newer = bytes.clone();
    newer[8] = VERSION as u8 + 1;
    assert!(matches!(Reader::open(Cursor::new(newer)), Err(Unreadable::Newer(2))));
    assert!(matches!(Reader::open(Cursor::new(b"\x7fELF, no recording")), Err(Unreadable::NotOne)));
}

/// A chunk that says what it should not, with all checksums right.
fn forged(frames: &Arc<Frames>, update: &Update) -> Vec<Update> {
    let none = Arc::new(Frames::default());
    let mut writer = Writer::begin(Vec::new(), &head(), none).unwrap();
    writer.update(update).unwrap();
    let (bytes, _) = writer.finish().unwrap();
    assert!(!frames.is_empty());
    read(&bytes)
}

#[test]
fn what_refers_to_frames_that_are_not_there_is_refused() {
    let shop = Shop::new();
    let deep = (0..300).fold(shop.chain(&shop.reading(), 0), |below, _| Node {
        awaiting: [below].into(),
        ..shop.chain(&shop.unresumed(), 0)
    });
    let deep = Task { tree: Some(deep), ..shop.fetching(1, &shop.reading()) };
    let huge = TraceEvent::Poll {
        t_ns: 1,
        task: tokio(1),
        tid: 1,
        count: u64::MAX,
        duration_ns: None,
        end: PollEnd::Pending,
        off_cpu: None,
    };
    let state = TraceEvent::State {
        t_ns: 1,
        task: tokio(1),
        from: shop.reading().into(),
        to: shop.sleeping().into(),
    };
    let stands = TraceEvent::Stands { t_ns: 1, task: tokio(1), at: shop.sleeping().into() };
    let endless = TraceEvent::Timed {
        t_ns: 1,
        of: Box::new(Timed {
            name: "shop".into(),
            at: None,
            polls: Histogram::new([1], u64::MAX, 1),
            delays: Histogram::default(),
            idle_ns: 0,
        }),
    };
    for update in [
        Update::Trace(vec![state]),
        Update::Trace(vec![stands]),
        Update::Trace(vec![huge]),
        Update::Trace(vec![endless]),
        Update::Trace(vec![timed(1, Some(shop.sleeping().into()))]),
        Update::Snapshot(Box::new(shop.busy_day(SECOND))),
        Update::Snapshot(Box::new(shop.snapshot(SECOND, vec![deep]))),
    ] {
        let read = forged(&shop.frames, &update);
        let notes = read.iter().filter(|update| matches!(update, Update::Note(_))).count();
        assert!(notes >= 1 && read.len() == notes + 1, "{read:?}");
    }
}

proptest! {
    /// Whatever the bytes: it ends, it does not panic, and what it gives can be given to a model.
    #[test]
    fn any_bytes_are_read_to_an_end(
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        cut in any::<prop::sample::Index>(),
        seal in any::<bool>(),
    ) {
        let shop = Shop::new();
        let mut bytes = record(&shop.frames, &day(&shop));
        let headers = chunks(&bytes);
        bytes.truncate(START + cut.index(bytes.len() - START));
        for (at, with) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= with;
        }
        if seal {
            // As if made so on purpose.
            for (at, header) in headers {
                let payload = at + HEADER..at + HEADER + header.stored as usize;
                if let Some(payload) = bytes.get(payload) {
                    let header = Header { checksum: crc32fast::hash(payload), ..header };
                    bytes[at..at + HEADER].copy_from_slice(&header.to_bytes());
                }
            }
        }
        if let Ok(mut reader) = Reader::open(Cursor::new(bytes)) {
            let updates: Vec<Update> = reader.by_ref().collect();
            prop_assert!(updates.len() < 200);
            let ended = matches!(updates.last(), Some(Update::End { .. }));
            prop_assert!(ended);
            events(&reader.frames().clone(), updates);
        }
    }
}

#[test]
fn what_is_unknown_and_what_is_deep_survives() {
    let shop = Shop::new();
    let deep = (0..128).fold(shop.chain(&shop.sleeping()[1..], 0), |below, _| Node {
        awaiting: [below].into(),
        ..shop.chain(&shop.unresumed(), 0)
    });
    let deep = Task { tree: Some(deep), ..shop.fetching(1, &shop.reading()) };
    let mut snapshot = shop.snapshot(SECOND, vec![deep]);
    snapshot.debuginfo = DebugInfoLevel::None;
    snapshot.t_ns = None;
    let updates = [Update::Snapshot(Box::new(snapshot))];
    assert_eq!(all_words(&read(&record(&shop.frames, &updates)))[0], words(&updates[0]));
}

#[test]
fn what_a_task_takes_in_memory_is_counted() {
    let shop = Shop::new();
    let snapshot = shop.deadlock(SECOND);
    let holder = snapshot.tasks.iter().find(|task| !task.holds.is_empty()).unwrap();
    let nothing_held = Task { holds: Box::default(), ..holder.clone() };
    let parts = sound::parts;
    assert_eq!(parts(holder), parts(&nothing_held) + 4 * holder.holds.len());
    let bare = Task { tree: None, waits: Box::default(), ..nothing_held };
    assert_eq!(parts(&bare), 0);
    let branch = |below: Vec<Node>| Node {
        frame: FrameId(0),
        more: 0,
        address: Avma(0),
        awaiting: below.into(),
        held: Box::default(),
    };
    let tree = branch(vec![branch(vec![]), branch(vec![branch(vec![])])]);
    assert_eq!(parts(&Task { tree: Some(tree), ..bare }), 4);
}
