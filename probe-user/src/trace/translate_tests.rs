use super::*;
use crate::target::{Avma, FileOffset};
use crate::trace::{SitePlan, WalkArm};
use async_inspect_ebpf::{Account, MAX_EVENT, PATH_TRUNCATED, PATH_UNREADABLE, path_hash};
use proptest::prelude::*;
use std::mem::offset_of;
use zerocopy::IntoBytes;

/// Arms 0 pending without a frame, 1 and 2 frames, 3 complete, 4 panicked within 3, 5 over.
fn translator() -> Translator {
    Translator::new(&plan(), false, false)
}

fn plan() -> TracePlan {
    let end = WalkArm { child_node: NONE, child_off: 0, flags: 0 };
    TracePlan {
        sites: vec![SitePlan {
            offset: FileOffset(1),
            address: Avma(1),
            name: "app::serve".into(),
            root: NONE,
            id_offset: 8,
        }],
        arms: vec![end; 6],
        arm_frames: vec![None, Some(FrameId(10)), Some(FrameId(20)), None, None, None],
        arm_ends: vec![
            None,
            None,
            None,
            Some(PollEnd::Complete),
            Some(PollEnd::Panicked),
            Some(PollEnd::Gone),
        ],
        ..TracePlan::default()
    }
}

const TASK: TaskId = TaskId { runtime: RuntimeKind::Tokio, id: 7 };

/// The `number`th poll of task 7, the only one at its header; it begins at 100 × its number and takes 50 ns.
fn poll(number: u32) -> PollEvent {
    let sum = u64::from(number);
    let start_ns = 100 * sum;
    let end_ns = start_ns + 50;
    PollEvent {
        task: 7,
        start_ns,
        end_ns,
        tid: 3,
        number,
        polls: sum,
        busy_ns: 50 * sum,
        ..PollEvent::default()
    }
}

fn hash(arms: &[u32]) -> u64 {
    arms.iter().fold(0, |hash, arm| path_hash(hash, *arm))
}

/// Of a poll that found the task at `from` and left it at `to`; as the kernel tells it.
fn events(over: &mut Translator, event: PollEvent, to: &[u32], from: &[u32]) -> Vec<TraceEvent> {
    let mut out = Vec::new();
    let event = PollEvent { from: hash(from), to: hash(to), ..event };
    let from = if event.flags & EVENT_WALKED == 0 { &[] } else { from };
    let to = if event.flags & (EVENT_GONE | EVENT_DISTURBED) == 0 { to } else { &[] };
    over.translate(Record { event, to, from }, event.tid, &mut out);
    out
}

fn told(t_ns: u64, count: u64, duration: u64, end: PollEnd) -> TraceEvent {
    TraceEvent::Poll { t_ns, task: TASK, tid: 3, count, duration_ns: Some(duration), end, off_cpu: None }
}

fn path(ids: &[u32]) -> Path {
    ids.iter().map(|id| FrameId(*id)).collect()
}

fn state(t_ns: u64, from: &[u32], to: &[u32]) -> TraceEvent {
    TraceEvent::State { t_ns, task: TASK, from: path(from), to: path(to) }
}

fn spawn(t_ns: u64) -> TraceEvent {
    TraceEvent::Spawn { t_ns, task: TASK, name: "app::serve".into(), parent: None }
}

const FIRST: u16 = EVENT_FIRST | EVENT_WALKED;

#[test]
fn a_poll_that_moved_the_task() {
    let mut over = translator();
    let first = PollEvent { flags: FIRST, ..poll(1) };
    let seen = events(&mut over, first, &[0, 1, 2], &[0, 1]);
    assert_eq!(seen, [spawn(100), state(150, &[10], &[10, 20]), told(150, 1, 50, PollEnd::Pending)]);
    // Other arms, the same frames: nothing that people see has changed.
    let seen = events(&mut over, poll(2), &[1, 2], &[0, 1, 2]);
    assert_eq!(seen, [told(250, 1, 50, PollEnd::Pending)]);
    // A path cut short in a known way is what is known.
    let truncated = PollEvent { to_flags: PATH_TRUNCATED, ..poll(3) };
    assert_eq!(events(&mut over, truncated, &[1], &[1, 2]).len(), 2);
    // One that could not be read is not told.
    let unreadable = PollEvent { to_flags: PATH_UNREADABLE, ..poll(4) };
    assert_eq!(events(&mut over, unreadable, &[], &[1]), [told(450, 1, 50, PollEnd::Pending)]);
}

#[test]
fn where_a_task_stands_that_never_moves() {
    let mut over = translator();
    let stands = |t_ns| TraceEvent::Stands { t_ns, task: TASK, at: path(&[10]) };
    // Another poll had begun when this one ended: where it left the task that one says.
    let disturbed = PollEvent { flags: FIRST | EVENT_DISTURBED, ..poll(1) };
    assert_eq!(events(&mut over, disturbed, &[], &[1]), [spawn(100), told(150, 1, 50, PollEnd::Pending)]);
    let again = PollEvent { flags: EVENT_WALKED, ..poll(2) };
    assert_eq!(events(&mut over, again, &[1], &[1]), [stands(250), told(250, 1, 50, PollEnd::Pending)]);
    let again = PollEvent { flags: EVENT_WALKED, ..poll(3) };
    assert_eq!(events(&mut over, again, &[1], &[1]), [told(350, 1, 50, PollEnd::Pending)], "told once");

    let mut over = translator();
    over.entry_only = true;
    let entry = PollEvent { flags: FIRST | EVENT_START_ONLY, ..poll(1) };
    assert_eq!(events(&mut over, entry, &[1], &[])[..2], [spawn(100), stands(100)]);
}

#[test]
fn polls_that_nobody_told_are_in_the_sums() {
    let mut over = translator();
    events(&mut over, PollEvent { flags: FIRST, ..poll(1) }, &[1], &[1]);
    let seen = events(&mut over, poll(10), &[2], &[1]);
    assert_eq!(seen, [state(1050, &[10], &[20]), told(1050, 9, 450, PollEnd::Pending)]);
    let account =
        Account { task: 7, polls: 12, busy_ns: 700, last_end_ns: 1900, begun: 12, ..Account::default() };
    let mut out = Vec::new();
    over.read(Reading { t_ns: 2000, header: 0, account }, |_| 3, &mut out);
    assert_eq!(out, [told(1900, 2, 200, PollEnd::Pending)]);
    over.read(Reading { t_ns: 3000, header: 0, account }, |_| 3, &mut out);
    assert_eq!(out.len(), 1, "nothing new");
    // A straggler's sums are older.
    assert_eq!(events(&mut over, PollEvent { flags: EVENT_DISTURBED, ..poll(11) }, &[], &[2]), []);
}

#[test]
fn an_end_that_was_lost_is_in_the_account() {
    let mut over = translator();
    events(&mut over, PollEvent { flags: FIRST, ..poll(1) }, &[1], &[1]);
    let account = Account {
        task: 7,
        polls: 2,
        busy_ns: 100,
        last_end_ns: 250,
        begun: 2,
        ended: 2,
        ..Account::default()
    };
    let mut out = Vec::new();
    for t_ns in [1000, 2000] {
        over.read(Reading { t_ns, header: 0, account }, |_| 3, &mut out);
    }
    assert_eq!(out, [told(250, 1, 50, PollEnd::Pending)], "once");
    assert_eq!(given_up(&mut over, u64::MAX), [told(1000, 0, 0, PollEnd::Gone)]);
}

#[test]
fn an_account_that_was_removed_begins_anew() {
    let mut over = translator();
    events(&mut over, PollEvent { flags: FIRST, ..poll(100) }, &[1], &[1]);
    over.forget_account(0);
    let seen = events(&mut over, PollEvent { flags: FIRST, ..poll(1) }, &[2], &[1]);
    assert_eq!(seen, [state(150, &[10], &[20]), told(150, 1, 50, PollEnd::Pending)]);
}

#[test]
fn a_place_that_a_lost_record_told_is_passed_over() {
    let mut over = translator();
    events(&mut over, PollEvent { flags: FIRST, ..poll(1) }, &[1], &[1]);
    // The second poll's record, of a move to 0 → 2, was lost.
    let seen = events(&mut over, poll(3), &[0, 1, 2], &[0, 2]);
    assert_eq!(seen, [state(350, &[10], &[10, 20]), told(350, 2, 100, PollEnd::Pending)]);
}

/// The end of task 7 was told by nobody, nor were its last two polls. Then task 8 stands at its address.
#[test]
fn a_task_in_the_place_of_another() {
    let mut over = translator();
    events(&mut over, PollEvent { flags: FIRST, ..poll(1) }, &[1], &[1]);
    let first = PollEvent { task: 8, flags: FIRST, polls_before: 3, ..poll(4) };
    let seen = events(&mut over, first, &[1], &[1]);
    let name = "app::serve".into();
    let task = TaskId { id: 8, ..TASK };
    let end = PollEnd::Pending;
    assert_eq!(
        seen,
        [
            told(400, 2, 100, PollEnd::Pending),
            TraceEvent::Spawn { t_ns: 400, task, name, parent: None },
            TraceEvent::Stands { t_ns: 450, task, at: path(&[10]) },
            TraceEvent::Poll { t_ns: 450, task, tid: 3, count: 1, duration_ns: Some(50), end, off_cpu: None },
        ]
    );
    assert_eq!(given_up(&mut over, 400 + LATE_NS - 1), [], "its record may be on its way");
    assert_eq!(given_up(&mut over, 400 + LATE_NS), [told(400, 0, 0, PollEnd::Gone)]);
}

/// The thread was preempted between the end of the task's last poll and its record.
#[test]
fn an_end_that_is_told_late() {
    let mut over = translator();
    events(&mut over, PollEvent { flags: FIRST, ..poll(1) }, &[1], &[1]);
    let next = PollEvent { task: 8, flags: FIRST, polls_before: 1, polls: 2, busy_ns: 100, ..poll(4) };
    let told_first = events(&mut over, next, &[1], &[1]);
    assert!(!told_first.iter().any(|event| matches!(event, TraceEvent::Poll { task: TASK, .. })));
    let flags = EVENT_ALONE | EVENT_OVER | EVENT_ENDED;
    let late = PollEvent { flags, polls: 1, busy_ns: 50, ..poll(2) };
    assert_eq!(events(&mut over, late, &[3, 4], &[1]), [told(250, 1, 50, PollEnd::Panicked)]);
    assert_eq!(given_up(&mut over, u64::MAX), []);
}

fn given_up(over: &mut Translator, horizon_ns: u64) -> Vec<TraceEvent> {
    let mut out = Vec::new();
    over.give_up_missing(horizon_ns, &mut out);
    out
}

/// All of task 7 was told. Its address is task 8's by now, whose first poll is told when two more have ended; or the account is read.
#[test]
fn polls_that_overtook_the_first_of_a_task_are_its_own() {
    let task = TaskId { id: 8, ..TASK };
    let end = PollEnd::Pending;
    let told = |t_ns, count, duration_ns| {
        let duration_ns = Some(duration_ns);
        TraceEvent::Poll { t_ns, task, tid: 3, count, duration_ns, end, off_cpu: None }
    };
    let name: Arc<str> = "app::serve".into();
    let mut over = translator();
    events(&mut over, PollEvent { flags: FIRST | EVENT_ENDED, ..poll(1) }, &[3], &[1]);
    let flags = FIRST | EVENT_DISTURBED;
    let first = PollEvent { task: 8, flags, number: 2, polls_before: 1, ..poll(4) };
    let spawn = TraceEvent::Spawn { t_ns: 400, task, name: name.clone(), parent: None };
    assert_eq!(events(&mut over, first, &[], &[1]), [spawn, told(450, 3, 150)]);

    let mut over = translator();
    events(&mut over, PollEvent { flags: FIRST | EVENT_ENDED, ..poll(1) }, &[3], &[1]);
    let (polls_before, last_end_ns) = (2, 500);
    let account = Account {
        task: 8,
        polls: 4,
        polls_before,
        busy_ns: 200,
        last_end_ns,
        begun: 4,
        ..Account::default()
    };
    let mut out = Vec::new();
    over.read(Reading { t_ns: 600, header: 0, account }, |_| 3, &mut out);
    let duration_ns = Some(50);
    let straggler =
        TraceEvent::Poll { t_ns: 600, task: TASK, tid: 0, count: 1, duration_ns, end, off_cpu: None };
    assert_eq!(
        out,
        [straggler, TraceEvent::Spawn { t_ns: 600, task, name, parent: None }, told(500, 2, 100)]
    );
}

/// 1 → 2 → 1: the first poll's end was seen when the second had begun, which looked for itself.
#[test]
fn a_move_that_the_next_poll_saw() {
    let mut over = translator();
    events(&mut over, PollEvent { flags: FIRST, ..poll(1) }, &[1], &[1]);
    let second = PollEvent { flags: EVENT_WALKED, ..poll(3) };
    let seen = events(&mut over, second, &[1], &[2]);
    let moves = [state(300, &[10], &[20]), state(350, &[20], &[10])];
    assert_eq!(seen, [moves[0].clone(), moves[1].clone(), told(350, 2, 100, PollEnd::Pending)]);
    // What the first one read, if it comes now, is old.
    assert_eq!(events(&mut over, poll(2), &[2], &[1]), []);
    assert_eq!(events(&mut over, poll(4), &[2], &[1]).len(), 2);
}

#[test]
fn a_poll_without_an_account_tells_all_of_itself() {
    let mut over = translator();
    let alone = PollEvent { number: 0, polls: 1, busy_ns: 50, flags: EVENT_ALONE | EVENT_WALKED, ..poll(1) };
    let seen = events(&mut over, alone, &[2], &[1]);
    assert_eq!(seen, [spawn(100), state(150, &[10], &[20]), told(150, 1, 50, PollEnd::Pending)]);
    assert_eq!(events(&mut over, alone, &[1], &[2]).len(), 2);
}

fn end_of(event: PollEvent, to: &[u32]) -> PollEnd {
    end_by(&mut translator(), event, to)
}

fn end_by(over: &mut Translator, event: PollEvent, to: &[u32]) -> PollEnd {
    let event = PollEvent { flags: event.flags | EVENT_ENDED | FIRST, ..event };
    match events(over, event, to, &[1]).pop() {
        Some(TraceEvent::Poll { end, .. }) => end,
        other => panic!("{other:?}"),
    }
}

#[test]
fn how_a_poll_ended() {
    let poll = poll(1);
    assert_eq!(end_of(poll, &[3]), PollEnd::Complete);
    assert_eq!(end_of(poll, &[3, 4]), PollEnd::Panicked);
    assert_eq!(end_of(PollEvent { flags: EVENT_GONE, ..poll }, &[]), PollEnd::Gone);
    assert_eq!(end_of(poll, &[5]), PollEnd::Gone);
    assert_eq!(end_of(poll, &[3, 3]), PollEnd::Complete);
    let start = PollEvent { state_before: CANCELLED | RUNNING, ..poll };
    assert_eq!(end_of(start, &[3]), PollEnd::Cancelled);
    let end = |state_after| end_of(PollEvent { state_after, ..poll }, &[3]);
    assert_eq!(end(COMPLETE | CANCELLED | 2 << REFS_SHIFT), PollEnd::Cancelled);
    assert_eq!(end(COMPLETE | 2 << REFS_SHIFT), PollEnd::Complete);
    // An allocator's pointer in freed memory, bits and all.
    assert_eq!(end(0x7f12_3456_7000 | COMPLETE | CANCELLED), PollEnd::Complete);
}

/// Seen before its memory went: where the task was marked as complete its result is there, where its scheduler let go of it it is not.
#[test]
fn how_a_task_ended_whose_end_was_seen() {
    let over = |flags, state_after| PollEvent { flags: EVENT_OVER | flags, state_after, ..poll(1) };
    assert_eq!(end_of(over(0, RUNNING | CANCELLED), &[3]), PollEnd::Gone, "whether it panicked nobody saw");
    assert_eq!(end_of(over(0, RUNNING | CANCELLED), &[3, 3]), PollEnd::Complete, "aborted too late");
    assert_eq!(end_of(over(EVENT_PANICKED, RUNNING), &[3, 4]), PollEnd::Panicked);
    assert_eq!(end_of(over(EVENT_PANICKED, RUNNING), &[3, 3]), PollEnd::Complete, "and caught it");

    let released = |flags, state_after| {
        let mut plan = plan();
        plan.causes.panics = vec![crate::trace::CauseProbe::default()];
        let event = over(flags, state_after);
        end_by(&mut Translator::new(&plan, false, false), event, &[5])
    };
    assert_eq!(released(0, COMPLETE), PollEnd::Complete);
    assert_eq!(released(0, COMPLETE | CANCELLED), PollEnd::Cancelled);
    assert_eq!(released(EVENT_PANICKED, COMPLETE), PollEnd::Gone, "who caught it is not known");
}

/// It shut down with its runtime, or ends of polls are not watched.
#[test]
fn a_task_that_ends_outside_of_a_poll() {
    let mut over = translator();
    events(&mut over, PollEvent { flags: FIRST, ..poll(1) }, &[1], &[1]);
    let flags = EVENT_OUTSIDE | EVENT_OVER | EVENT_ENDED;
    let end = PollEvent { start_ns: 500, end_ns: 500, flags, polls: 3, busy_ns: 150, ..poll(3) };
    assert_eq!(events(&mut over, end, &[3, 4], &[]), [told(500, 2, 100, PollEnd::Panicked)]);
    over.entry_only = true;
    let alone = PollEvent { task: 8, flags: flags | EVENT_ALONE, polls: 0, busy_ns: 0, ..end };
    let seen = events(&mut over, alone, &[3, 3], &[]);
    let [TraceEvent::Spawn { .. }, TraceEvent::Poll { count: 0, duration_ns: None, end, .. }] = seen[..]
    else {
        panic!("{seen:?}");
    };
    assert_eq!(end, PollEnd::Complete);
}

#[test]
fn an_ended_task_is_forgotten_and_an_unknown_one_counted() {
    let mut over = translator();
    let last = PollEvent { flags: FIRST | EVENT_ENDED, ..poll(1) };
    assert_eq!(events(&mut over, last, &[3], &[1]).len(), 2);
    assert_eq!(
        events(&mut over, PollEvent { flags: FIRST, ..poll(2) }, &[1], &[1]).len(),
        3,
        "spawned again"
    );
    assert_eq!(events(&mut over, PollEvent { flags: EVENT_UNREADABLE, ..poll(3) }, &[1], &[]), []);
    assert_eq!(events(&mut over, PollEvent { site: 1, ..poll(4) }, &[1], &[]), []);
    assert_eq!(over.unidentified(), 2);
    over.has_id[0] = false;
    assert_eq!(events(&mut over, poll(7), &[1], &[]), [], "id 0 would be one task for all");
    assert_eq!((over.anonymous(), over.unidentified()), (3, 2));
}

proptest! {
    #[test]
    fn any_bytes_are_a_record_or_none(bytes in prop::collection::vec(any::<u8>(), 0..MAX_EVENT + 8)) {
        // Aligned as in the ring buffer.
        let mut words = vec![0u64; bytes.len().div_ceil(8)];
        words.as_mut_bytes()[..bytes.len()].copy_from_slice(&bytes);
        let mut over = translator();
        let record = Record::parse(&words.as_bytes()[..bytes.len()]);
        let arms = |at: usize| bytes.get(at).copied().map_or(0, usize::from);
        // The lengths stand where the ABI puts them.
        let arms = arms(offset_of!(PollEvent, to_len)) + arms(offset_of!(PollEvent, from_len));
        prop_assert_eq!(record.is_some(), size_of::<PollEvent>() + 4 * arms <= bytes.len());
        if let Some(record) = record {
            prop_assert_eq!(record.to.len() + record.from.len(), arms);
            over.translate(record, 1, &mut Vec::new());
        }
    }
}
