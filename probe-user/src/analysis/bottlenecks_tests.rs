//! Over a made-up watch: a convoy at one lock, with the times that it must come to.

use super::*;
use crate::analysis::{Case, Diagnosis, Finding};
use crate::decode::{
    Certainty, FrameKind, Hold, HoldRole, Node, ResourceKind, SourceLine, Task, TaskId, TaskState, Wait,
};
use crate::model::sample::{MS, SECOND, Shop, tokio};
use crate::model::{Limits, Mode, sample_long_poll};
use crate::target::Avma;
use crate::trace::{Histogram, Timed, TraceEvent};
use std::sync::Arc;

const LOCK: Avma = Avma(0x7f00_2000_0050);

/// `reserve` takes the lock at line 19 and asks the database at line 20, in `query`, line 33.
struct Convoy {
    shop: Shop,
    wants: FrameId,
    acquire: FrameId,
    holds: FrameId,
    query: FrameId,
    reads: FrameId,
}

impl Convoy {
    fn new() -> Convoy {
        let shop = Shop::new();
        let stock = |line, point| Some(("/srv/shop/src/stock.rs", line, point));
        let reserve =
            |line, point| shop.frame("shop::stock::reserve", FrameKind::AsyncFn, stock(line, point));
        let query = Some(("/srv/shop/src/db.rs", 33, 0));
        Convoy {
            wants: reserve(19, 0),
            acquire: shop.frame("tokio::sync::batch_semaphore::Acquire", FrameKind::Leaf, None),
            holds: reserve(20, 1),
            query: shop.frame("shop::db::query", FrameKind::AsyncFn, query),
            reads: shop.frame("tokio::io::util::read::Read<TcpStream>", FrameKind::Leaf, None),
            shop,
        }
    }

    fn waiting(&self) -> Vec<FrameId> {
        vec![self.wants, self.acquire]
    }

    fn holding(&self) -> Vec<FrameId> {
        vec![self.holds, self.query, self.reads]
    }

    fn want(&self, kind: ResourceKind, holders: &[u64]) -> Wait {
        Wait {
            at: Some(self.wants),
            address: Some(LOCK),
            holders: holders.iter().map(|id| tokio(*id)).collect(),
            certainty: Some(Certainty::Proven),
            acquired_at: (holders.len() == 1)
                .then(|| SourceLine { file: "/srv/shop/src/stock.rs".into(), line: 19 }),
            ..Wait::of_kind(kind, self.acquire)
        }
    }

    fn hold(&self, kind: ResourceKind) -> Hold {
        let role = HoldRole::Exclusive;
        Hold { kind, role, address: LOCK, frame: self.holds, ..hold() }
    }

    /// Tasks 1 to 9 want it, `holder` has it.
    fn snapshot(&self, t_ns: u64, kind: ResourceKind, holders: &[u64]) -> Box<crate::decode::Snapshot> {
        let one = |id: u64| {
            let holds = holders.contains(&id);
            let chain = if holds { self.holding() } else { self.waiting() };
            let tree = self.shop.chain(&chain, 0x7f00_0000_0038 + id * 0x100);
            let task = self.shop.task(id, "shop::serve", TaskState::Idle, Some(tree));
            if holds {
                return Task { holds: [self.hold(kind)].into(), ..task };
            }
            Task { waits: [self.want(kind, holders)].into(), ..task }
        };
        Box::new(self.shop.snapshot(t_ns, (1..=10).map(one).collect()))
    }

    /// Five seconds; each second the lock goes to the next.
    fn watched(&self, kind: ResourceKind, many: u64) -> (Model, Profile) {
        let mut model = Model::new(Mode::Session, self.shop.frames.clone(), SECOND, Limits::default());
        let (mut profile, mut events) = (Profile::default(), Vec::new());
        for nth in 1..=5 {
            let holders: Vec<u64> = (nth..nth + many).collect();
            let t_ns = nth * SECOND;
            if nth > 1 {
                moves(&mut model, t_ns, nth - 1, &self.holding(), &self.waiting(), &mut events);
                moves(&mut model, t_ns, nth + many - 1, &self.waiting(), &self.holding(), &mut events);
            }
            model.snapshot_taken(self.snapshot(t_ns + MS, kind, &holders), &mut events);
            events.drain(..).for_each(|event| profile.take(&event, &model));
        }
        model.tick(6 * SECOND);
        (model, profile)
    }

    fn finding(&self, kind: ResourceKind, many: u64) -> Finding {
        let (model, _) = self.watched(kind, many);
        let diagnosis = Diagnosis::of(&Case::of_model(&model).expect("a snapshot"));
        let found = diagnosis.findings().into_iter().find(|finding| finding.lint == "lock-convoy").cloned();
        found.expect("a convoy")
    }
}

fn hold() -> Hold {
    Hold {
        kind: ResourceKind::Mutex,
        role: HoldRole::Exclusive,
        address: LOCK,
        certainty: Certainty::Proven,
        local: "left".into(),
        frame: FrameId(0),
        acquired_at: Some(SourceLine { file: "/srv/shop/src/stock.rs".into(), line: 19 }),
        unpolled: None,
        blocks_threads: false,
        backlog: None,
        word: None,
    }
}

fn moves(
    model: &mut Model,
    t_ns: u64,
    id: u64,
    from: &[FrameId],
    to: &[FrameId],
    out: &mut Vec<crate::model::Event>,
) {
    let task: TaskId = tokio(id);
    model.trace(TraceEvent::State { t_ns, task, from: from.into(), to: to.into() }, out);
}

fn near(ns: u64, seconds: u64) -> bool {
    ns.abs_diff(seconds * SECOND) < SECOND / 10
}

#[test]
fn waits_that_began_before_the_watch_are_counted_as_those_for_the_lock_are() {
    let convoy = Convoy::new();
    let (model, profile) = convoy.watched(ResourceKind::Mutex, 1);
    let times = Bottlenecks::of(&profile, &model);
    let waited: Vec<(u32, u64)> =
        times.waits.iter().map(|rank| (rank.point.line, rank.waits.waited_ns)).collect();
    let [(19, waits), (33, holds)] = waited[..] else { panic!("{waited:?}") };
    assert!(near(waits, 45) && near(holds, 5), "nine wait for five seconds, one holds: {waited:?}");
    let [lock] = &times.locks[..] else { panic!("{:?}", times.locks) };
    assert!(near(lock.waits.waited_ns, 45), "{}", lock.waits.waited_ns);
    assert!(!times.by_snapshots);
}

#[test]
fn a_line_goes_with_the_function_that_it_is_in() {
    let convoy = Convoy::new();
    let (model, profile) = convoy.watched(ResourceKind::Mutex, 1);
    let times = Bottlenecks::of(&profile, &model);
    let told = |place: &Option<FoundPlace>| {
        place.as_ref().map(|place| (place.function.to_string(), place.line.as_ref().map(|line| line.line)))
    };
    let reserve = |line| Some(("shop::stock::reserve".to_owned(), Some(line)));
    let lock = &times.locks[0];
    assert_eq!(told(&lock.acquired), reserve(19));
    assert_eq!(told(&lock.held), reserve(20));
    assert_eq!(told(&lock.wanted), reserve(19));
    let places: Vec<_> =
        convoy.finding(ResourceKind::Mutex, 1).places.into_iter().map(|place| told(&Some(place))).collect();
    let query = Some(("shop::db::query".to_owned(), Some(33)));
    assert_eq!(places, [reserve(19), reserve(20), query]);
}

#[test]
fn a_pool_is_no_mutex() {
    let convoy = Convoy::new();
    let one = convoy.finding(ResourceKind::Mutex, 1);
    assert!(one.remedy.contains("do not await while holding it"), "{}", one.remedy);
    let pool = convoy.finding(ResourceKind::Semaphore, 2);
    assert!(pool.remedy.contains("more permits"), "{}", pool.remedy);
    let said = format!("{:?}", pool.message);
    assert!(said.contains("2 at a time") && !said.contains("one after the other"), "{said}");
}

/// In a `join!` one branch reads and the other waits for a permit: what it waits for differs by place.
#[test]
fn a_reason_is_that_of_its_place_and_a_task_is_counted_once() {
    let convoy = Convoy::new();
    let shop = &convoy.shop;
    let page = shop.frame("shop::api::page", FrameKind::AsyncFn, Some(("/srv/shop/src/api.rs", 24, 0)));
    let branch = |frames: &[FrameId]| shop.chain(frames, 0x7f00_0000_0100);
    let awaiting: Vec<Node> =
        vec![branch(&[convoy.query, convoy.reads]), branch(&convoy.waiting()), branch(&convoy.waiting())];
    let tree = Node { awaiting: awaiting.into(), ..shop.chain(&[page], 0x7f00_0000_0038) };
    let reads = Wait { at: Some(convoy.query), ..Wait::of_kind(ResourceKind::Io, convoy.reads) };
    let permit = || convoy.want(ResourceKind::Semaphore, &[2, 3]);
    let waits = [reads, permit(), permit()].map(|wait| Wait { any: true, ..wait });
    let task = || Task {
        waits: waits.clone().into(),
        ..shop.task(1, "shop::serve", TaskState::Idle, Some(tree.clone()))
    };

    let mut model = Model::new(Mode::Session, shop.frames.clone(), SECOND, Limits::default());
    let mut events = Vec::new();
    for t_ns in [SECOND, 2 * SECOND] {
        model.snapshot_taken(Box::new(shop.snapshot(t_ns, vec![task()])), &mut events);
    }
    let times = Bottlenecks::of(&Profile::default(), &model);
    let [rank] = &times.waits[..] else { panic!("{:?}", times.waits) };
    assert_eq!((rank.point.line, rank.waits.waits_for.iter().copied().collect::<Vec<_>>()), (33, vec!["io"]));
    let [lock] = &times.locks[..] else { panic!("{:?}", times.locks) };
    assert_eq!((lock.waits.waiters, lock.waits.waited_ns), (1, SECOND));
    let line = lock.wanted.as_ref().and_then(|wanted| wanted.line.as_ref()).map(|line| line.line);
    assert_eq!(line, Some(19));

    // It has moved on since the latest snapshot.
    moves(&mut model, 3 * SECOND, 1, &[page, convoy.query, convoy.reads], &convoy.waiting(), &mut events);
    let times = Bottlenecks::of(&Profile::default(), &model);
    let at = |line| times.waits.iter().find(|rank| rank.point.line == line).map(|rank| &rank.waits.waits_for);
    assert_eq!(at(19).map(|kinds| kinds.iter().copied().collect::<Vec<_>>()), Some(vec!["semaphore"]));
}

#[test]
fn polls_that_took_long_are_told_with_the_line_at_which_they_were() {
    let shop = Shop::new();
    let mut model = Model::new(Mode::Session, shop.frames.clone(), SECOND, Limits::default());
    let (mut profile, mut events) = (Profile::default(), Vec::new());
    let first = shop.snapshot(SECOND, vec![shop.fetching(1, &shop.sleeping())]);
    model.snapshot_taken(Box::new(first), &mut events);
    let name: Arc<str> = "shop::api::fetch_user".into();
    let poll = Arc::new(sample_long_poll(SECOND));
    let t_ns = SECOND + 300 * MS;
    model.trace(TraceEvent::LongPoll { t_ns, task: tokio(1), tid: 7, name: name.clone(), poll }, &mut events);
    let (polls, delays) = (Histogram::of([300 * MS]), Histogram::default());
    let of = Timed { name, at: Some(shop.sleeping().into()), polls, delays, idle_ns: 0 };
    model.trace(TraceEvent::Timed { t_ns, of: Box::new(of) }, &mut events);
    events.drain(..).for_each(|event| profile.take(&event, &model));
    let times = Bottlenecks::of(&profile, &model);
    let [rank] = &times.polls[..] else { panic!("{:?}", times.polls) };
    let long = rank.long.as_ref().expect("it is known");
    assert_eq!((rank.point.line, long.asleep, long.count, long.total_ns), (155, true, 1, 300 * MS));
    let own = sample_long_poll(0).stack.iter().find(|frame| frame.own_code).cloned().expect("own code");
    assert_eq!((long.place.line.clone(), Some(long.place.function.clone())), (own.line, own.function));
}
