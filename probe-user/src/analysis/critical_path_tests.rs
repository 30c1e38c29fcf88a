//! Over a made-up server: `select!` of a handler and the end of all connections, as axum's.

use super::*;
use crate::decode::{FrameKind, Node, Snapshot, Wait};
use crate::model::sample::{SECOND, Shop, tokio};
use crate::target::Avma;

fn node(frame: FrameId, awaiting: Vec<Node>) -> Node {
    Node { frame, more: 0, address: Avma(0), awaiting: awaiting.into(), held: [].into() }
}

/// A task whose handler awaits `waits` at line 60 of `src/db.rs`, beside a `select!`'s other branch that waits for a watch
/// channel, which possibly task 2 keeps.
fn serving(shop: &Shop, waits: Vec<Wait>) -> Snapshot {
    let frame = |name, kind, line| shop.frame(name, kind, line);
    let handler = frame("shop::db::read_rows", FrameKind::AsyncFn, Some(("/srv/shop/src/db.rs", 60, 0)));
    let closed =
        frame("tokio::sync::watch::Sender<()>::closed", FrameKind::AsyncFn, Some((LIBRARY, 1347, 0)));
    let notified = frame("tokio::sync::notify::Notified", FrameKind::Leaf, None);
    let serve = frame("axum::serve::{async_block#3}", FrameKind::AsyncBlock, Some((LIBRARY, 746, 0)));
    let tree = node(serve, vec![node(handler, vec![]), node(closed, vec![node(notified, vec![])])]);
    let other_end = Wait {
        at: Some(closed),
        any: true,
        address: Some(Avma(0x10)),
        holders: [tokio(2)].into(),
        certainty: Some(Certainty::Possible),
        ..Wait::of_kind(ResourceKind::Watch, notified)
    };
    let own = waits.into_iter().map(|wait| Wait { at: Some(handler), any: true, ..wait });
    let waits = own.chain([other_end]).collect();
    let serving = Task { waits, ..shop.task(1, "axum::serve", TaskState::Idle, Some(tree)) };
    let accepting = shop.fetching(2, &shop.reading());
    let holding = shop.fetching(3, &shop.sleeping());
    shop.snapshot(SECOND, vec![serving, accepting, holding])
}

const LIBRARY: &str =
    "/home/ada/.cargo/registry/src/registry-0123456789abcdef/tokio-1.54.0/src/sync/watch.rs";

fn steps(shop: &Shop, waits: Vec<Wait>) -> Vec<(u64, Doing)> {
    let snapshot = serving(shop, waits);
    chain(&Case::of_one(&snapshot), tokio(1)).iter().map(|step| (step.task.id, step.doing)).collect()
}

#[test]
fn the_end_of_another_branch_is_not_what_a_task_waits_for() {
    let shop = Shop::new();
    let reads = Wait { fd: Some(23), ..Wait::of_kind(ResourceKind::Io, shop.reading()[0]) };
    assert_eq!(steps(&shop, vec![reads]), [(1, Doing::Waits(ResourceKind::Io))]);
    assert_eq!(steps(&shop, vec![]), [(1, Doing::Idle)], "what is not understood is not another branch's");
}

#[test]
fn a_holder_that_is_known_is_followed_and_one_that_is_only_possible_is_not() {
    let shop = Shop::new();
    let held = |id, certainty| Wait {
        address: Some(Avma(0x20)),
        holders: [tokio(id)].into(),
        certainty: Some(certainty),
        ..Wait::of_kind(ResourceKind::Mutex, shop.reading()[0])
    };
    let timer = || Wait::of_kind(ResourceKind::Timer, shop.sleeping()[1]);
    let reads = || Wait::of_kind(ResourceKind::Io, shop.reading()[0]);
    let waits_for = |kind| (1, Doing::Waits(kind));
    let then = (3, Doing::Waits(ResourceKind::Timer));
    let mutex = waits_for(ResourceKind::Mutex);
    assert_eq!(steps(&shop, vec![reads(), held(3, Certainty::Proven)]), [mutex, then]);
    assert_eq!(steps(&shop, vec![timer(), held(3, Certainty::Possible)]), [mutex, then], "in a timeout");
    let io = waits_for(ResourceKind::Io);
    assert_eq!(steps(&shop, vec![reads(), held(3, Certainty::Possible)]), [io]);
}

#[test]
fn a_recording_without_places_of_waits_is_followed_as_before() {
    let shop = Shop::new();
    let mut snapshot = serving(&shop, vec![]);
    snapshot.tasks[0].waits.iter_mut().for_each(|wait| wait.at = None);
    let chain = chain(&Case::of_one(&snapshot), tokio(1));
    assert_eq!(chain[0].doing, Doing::Waits(ResourceKind::Watch));
}
